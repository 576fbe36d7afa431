"""Durable jobs on the one Redis: a port over BullMQ. Only this package imports ``bullmq``, and only when it is used."""
