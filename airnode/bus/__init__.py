"""The one Redis: pub/sub channels, leases, claims, records."""
