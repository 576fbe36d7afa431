"""What a client sent cannot be read; each error ends at the session or connection that it came from."""


class WireError(ValueError):
    """A client broke a protocol; the text is for the log and never quotes what it sent."""
