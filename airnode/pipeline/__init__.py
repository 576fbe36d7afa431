"""The pipeline for users, products (courses) and orders: PostgreSQL, cache, event log, and PostgreSQL again."""
