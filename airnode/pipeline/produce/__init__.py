"""From the cache and the outbox to the event log."""
