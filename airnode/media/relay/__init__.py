"""Rooms of other origins: this node fetches each one once, and serves it to its viewers and to other edges."""
