"""Packets of Engine.IO 4, and payloads of HTTP long-polling.

A packet is ``<type><data>`` as text; a binary message is its bytes in a WebSocket frame of its own, or ``b<base64>`` in
a payload. A payload is packets with the record separator (0x1E) between them.
"""

import base64
import binascii
import enum
from typing import NamedTuple

from airnode.chat.engineio.wire_errors import WireError

SEPARATOR = "\x1e"


class PacketType(enum.StrEnum):
    """The first character of a packet."""

    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


_TYPES = {kind.value: kind for kind in PacketType}


class EnginePacket(NamedTuple):
    """One packet. ``data`` is text, or the bytes of a binary message."""

    kind: PacketType
    data: str | bytes = ""


def decode_packet(text: str) -> EnginePacket:
    """Return the packet of a text frame.

    Raises:
        WireError: it is empty or has an unknown type.
    """
    kind = _TYPES.get(text[:1])
    if kind is None:
        raise WireError("a packet of no known type")
    return EnginePacket(kind, text[1:])


def decode_record(record: str) -> EnginePacket:
    """Return the packet of one record of a payload.

    Raises:
        WireError: it is malformed.
    """
    if not record.startswith("b"):
        return decode_packet(record)
    try:
        return EnginePacket(PacketType.MESSAGE, base64.b64decode(record[1:], validate=True))
    except (binascii.Error, ValueError):
        raise WireError("a binary packet that is not base64") from None
