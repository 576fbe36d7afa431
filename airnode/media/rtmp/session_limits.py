"""The limits of one RTMP peer."""

from dataclasses import dataclass, field, replace
from typing import Final

from airnode.media.rtmp.chunks import ChunkLimits

#: Commands fit in this; a peer that has not published yet cannot make the server hold more.
_MAX_COMMAND_BYTES: Final = 64 << 10
#: The total that a peer may send before it requests a publish: encoders need 5 KiB and a dozen messages.
MAX_PREAMBLE_BYTES: Final = 128 << 10
MAX_PREAMBLE_MESSAGES: Final = 1000


def before_publishing(limits: ChunkLimits) -> ChunkLimits:
    """Return the limits of a peer that has not published yet."""
    return replace(
        limits,
        max_message_bytes=min(limits.max_message_bytes, _MAX_COMMAND_BYTES),
        max_buffered_bytes=min(limits.max_buffered_bytes, 4 * _MAX_COMMAND_BYTES),
    )


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The limits of one peer."""

    chunks: ChunkLimits = field(default_factory=ChunkLimits)
    max_streams: int = 8
    max_amf_depth: int = 16
    max_amf_items: int = 1024
    handshake_timeout_s: float = 5.0
    publish_timeout_s: float = 10.0
    idle_timeout_s: float = 30.0
