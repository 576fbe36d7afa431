"""What can be wrong with the bytes of an RTMP peer."""

from airnode.errors import AirnodeError


class ProtocolViolation(AirnodeError):
    """The peer broke the protocol or a limit; its connection ends, nothing else does.

    Args:
        reason: a short stable label (``chunk_size``, ``amf_depth``), good as a metric's label value.
        detail: a sentence for the log.
    """

    code, title, status = "rtmp_protocol_violation", "RTMP protocol violation", 400

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
