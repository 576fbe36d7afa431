"""Packets of Socket.IO 5: ``<type>[<attachments>-][<namespace>,][<id>][<JSON>]``, then the binary attachments."""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from airnode.chat.engineio.encoded import EncodedPacket
from airnode.chat.engineio.wire_errors import LimitError, WireError

_HEADER = re.compile(r"([0-6])(?:(\d{1,10})-)?(?:(/[^,]*),?)?(\d{1,16})?", re.ASCII)
#: Escapes in JSON: a backslash, a whole surrogate pair, or half of one, which is not valid Unicode.
_SURROGATES = re.compile(r"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD][89a-fA-F]..")
_MAX_NAMESPACE_CHARS = 128


class PacketKind(enum.IntEnum):
    """The type of a packet."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


_BINARY_KINDS = {PacketKind.EVENT: PacketKind.BINARY_EVENT, PacketKind.ACK: PacketKind.BINARY_ACK}


@dataclass(slots=True)
class SocketPacket:
    """One packet of a client. ``kind`` is never binary: the attachments stand in ``data``.

    Attributes:
        data: of EVENT and ACK a list; of CONNECT an object or None.
        ack_id: None: no acknowledgement is asked for.
        missing: attachments that are still to come.
    """

    kind: PacketKind
    namespace: str
    data: Any = None
    ack_id: int | None = None
    missing: int = 0


def decode(text: str, *, max_attachments: int) -> SocketPacket:
    """Return the packet of a text message. A binary one is complete after :func:`fill_in`.

    Raises:
        WireError: it is malformed.
    """
    header = _HEADER.match(text)
    if header is None:
        raise WireError("a packet of no known type")
    number, attachments, namespace, ack_id = header.groups()
    kind = PacketKind(int(number))
    if namespace is not None and len(namespace) > _MAX_NAMESPACE_CHARS:
        raise WireError("a name of a namespace that is too long")
    is_binary = kind in (PacketKind.BINARY_EVENT, PacketKind.BINARY_ACK)
    if is_binary != (attachments is not None):
        raise WireError("a count of attachments is missing or out of place")
    missing = int(attachments or 0)
    if missing > max_attachments:
        raise LimitError("max_attachments", f"{missing} attachments, of at most {max_attachments}")
    if is_binary:
        kind = PacketKind(kind - 3)
    data = _json(text[header.end() :])
    packet = SocketPacket(kind, namespace or "/", data, None if ack_id is None else int(ack_id), missing)
    _check(packet)
    return packet


def _json(text: str) -> Any:
    if not text:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # Half a surrogate pair (a cut emoji) is what browsers do send: it becomes U+FFFD.
        mended = _SURROGATES.sub(lambda found: found[0] if len(found[0]) != 6 else "\\ufffd", text)
        if mended == text:
            raise WireError("a packet that is not JSON") from None
    try:
        return orjson.loads(mended)
    except orjson.JSONDecodeError:
        raise WireError("a packet that is not JSON") from None


def _check(packet: SocketPacket) -> None:
    """Raise WireError unless type, id and payload go together."""
    kind, data = packet.kind, packet.data
    if kind is PacketKind.EVENT:
        good = isinstance(data, list) and bool(data) and isinstance(data[0], str)
    elif kind is PacketKind.ACK:
        good = isinstance(data, list) and packet.ack_id is not None
    elif kind is PacketKind.CONNECT:
        good = (data is None or isinstance(data, dict)) and packet.ack_id is None
    elif kind is PacketKind.DISCONNECT:
        good = data is None and packet.ack_id is None
    else:  # only servers refuse a connection
        good = False
    if not good:
        raise WireError(f"a payload that a {kind.name} packet cannot have")


def fill_in(packet: SocketPacket, attachments: Sequence[bytes]) -> None:
    """Put the attachments in the places of their placeholders.

    Raises:
        WireError: a placeholder has no attachment of its number.
    """
    try:
        packet.data = _filled(packet.data, attachments)
    except RecursionError:
        raise WireError("a packet that is nested too deeply") from None
    packet.missing = 0


def _filled(value: Any, attachments: Sequence[bytes]) -> Any:
    if isinstance(value, list):
        return [_filled(each, attachments) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is True:
        number = value.get("num")
        if type(number) is not int or not 0 <= number < len(attachments):
            raise WireError("a placeholder of an attachment that is not there")
        return attachments[number]
    return {key: _filled(each, attachments) for key, each in value.items()}


# -- encoding ----------------------------------------------------------------------------------------------------------


def encode(kind: PacketKind, namespace: str, data: Any = None, ack_id: int | None = None) -> EncodedPacket:
    """Return the packet as Engine.IO messages. Bytes anywhere in ``data`` become binary attachments.

    Raises:
        TypeError: ``data`` has something that JSON cannot have.
    """
    attachments: list[bytes] = []

    def default(value: Any) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            attachments.append(bytes(value))
            return {"_placeholder": True, "num": len(attachments) - 1}
        if isinstance(value, msgspec.Struct):
            return msgspec.structs.asdict(value)
        raise TypeError(f"a {type(value).__name__} cannot be sent")

    body = b"" if data is None else orjson.dumps(data, default=default)
    header = f"{_BINARY_KINDS[kind]:d}{len(attachments)}-" if attachments else f"{kind:d}"
    place = "" if namespace == "/" else f"{namespace},"
    number = "" if ack_id is None else str(ack_id)
    return EncodedPacket(f"4{header}{place}{number}".encode() + body, attachments)


def encode_event(namespace: str, name: str, args: Sequence[object]) -> EncodedPacket:
    """Return an event for any number of sockets: JSON and WebSocket frame are made once, here."""
    return encode(PacketKind.EVENT, namespace, [name, *args])
