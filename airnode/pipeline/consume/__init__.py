"""Reads events from the event log and inserts them into PostgreSQL."""
