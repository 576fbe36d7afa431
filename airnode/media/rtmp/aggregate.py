"""Aggregate messages: several FLV tags in one RTMP message (Adobe RTMP 1.0 section 7.1.6)."""

from collections.abc import Iterator
from typing import Final

from airnode.media.rtmp.chunks import Message
from airnode.media.rtmp.errors import ProtocolViolation

_HEADER_SIZE: Final = 11
_BACK_POINTER_SIZE: Final = 4
_MAX_PARTS: Final = 4096


def split_aggregate(message: Message) -> Iterator[Message]:
    """The messages inside. Their times are moved so that the first one has the aggregate's own time.

    Raises:
        ProtocolViolation: ``aggregate``: cut short, or too many parts.
    """
    data, pos, offset = message.payload, 0, None
    for _ in range(_MAX_PARTS):
        if pos == len(data):
            return
        end = pos + _HEADER_SIZE + int.from_bytes(data[pos + 1 : pos + 4], "big")
        if end > len(data):
            raise ProtocolViolation("aggregate", "an aggregate message ends early")
        time = int.from_bytes(data[pos + 4 : pos + 7], "big") | data[pos + 7] << 24
        if offset is None:
            offset = message.timestamp - time
        payload = data[pos + _HEADER_SIZE : end]
        yield Message(data[pos], message.stream_id, (time + offset) & 0xFFFFFFFF, payload)
        # Some encoders leave out the last back pointer.
        pos = min(end + _BACK_POINTER_SIZE, len(data))
    raise ProtocolViolation("aggregate", f"more than {_MAX_PARTS} messages in one aggregate")
