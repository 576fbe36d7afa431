"""Access to the Redis that all nodes share: pub/sub channels, leases, claims, records, jobs."""
