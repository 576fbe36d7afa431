"""The durable stores: PostgreSQL, the event log, files on disk."""
