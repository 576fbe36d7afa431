"""Errors of the browser ingest. A WebSocket's close code is 4000 + the HTTP status of the error."""

from airnode.errors import AirnodeError, Conflict, InvalidInput, RateLimited, TooLarge


class FramingViolation(InvalidInput):
    """A message breaks a rule of docs/browser-ingest.md; the connection ends.

    Attributes:
        reason: a short stable label, for the metric and the log.
    """

    code, title = "framing_violation", "Invalid message"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class MessageTooLarge(TooLarge):
    """A message is larger than a limit."""

    code, title = "message_too_large", "Message too large"


class TooFast(RateLimited):
    """A publisher sends more messages or bytes than its limits allow."""

    code, title = "too_fast", "Too much at once"


class TooSlow(AirnodeError):
    """A connection sent nothing for too long."""

    code, title, status = "publisher_silent", "Nothing came", 408


class ClassOver(Conflict):
    """The teacher ended the class elsewhere, so its publisher is disconnected."""

    code, title = "class_over", "The class is over"


def reason_of(error: AirnodeError) -> str:
    """Return the label of an error for the metrics and the log."""
    return error.reason if isinstance(error, FramingViolation) else error.code


def close_code(error: AirnodeError) -> int:
    """Return the code with which the WebSocket is closed (RFC 6455 7.4.2: 4000-4999 are private)."""
    return 4000 + error.status
