"""Publishes events: generated ones from the cache, and those of the outbox."""
