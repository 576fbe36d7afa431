"""What a client sent cannot be read; each error ends at the session or connection that it came from."""


class WireError(ValueError):
    """A client broke a protocol; the text is for the log and never quotes what it sent."""


class LimitError(WireError):
    """A client reached a limit.

    Attributes:
        limit: its key in the section ``chat``.
    """

    def __init__(self, limit: str, problem: str) -> None:
        super().__init__(f"{problem} (chat.{limit})")
        self.limit = limit
