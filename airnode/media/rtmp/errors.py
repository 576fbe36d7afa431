"""Errors in the bytes of an RTMP peer."""

from airnode.errors import AirnodeError


class ProtocolViolation(AirnodeError):
    """The peer broke the protocol or a limit; only its connection ends.

    Args:
        reason: a short stable label (``chunk_size``, ``amf_depth``), used as a metric's label value.
        detail: a sentence for the log.
    """

    code, title, status = "rtmp_protocol_violation", "RTMP protocol violation", 400

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class MalformedMedia(AirnodeError):
    """One audio or video message is malformed; the messages around it may be valid."""

    code, title, status = "malformed_media", "Malformed media", 400
