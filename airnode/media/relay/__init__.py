"""Rooms that another node is the origin of, fetched once and served here."""
