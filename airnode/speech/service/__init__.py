"""Transcripts as a service: uploads over HTTP, jobs for many workers, results in PostgreSQL."""
