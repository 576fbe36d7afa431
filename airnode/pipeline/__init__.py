"""The data of the platform: users, products (courses), orders; from PostgreSQL through cache and event log back."""
