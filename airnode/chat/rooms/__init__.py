"""Rooms: the log of each room in Redis, the members on this node, fan-out, recovery and presence."""
