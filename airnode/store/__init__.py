"""The durable store: a PostgreSQL pool and its schema."""
