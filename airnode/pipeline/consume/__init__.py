"""From the event log to rows in PostgreSQL."""
