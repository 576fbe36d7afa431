"""WebSocket frames of a server (RFC 6455), without I/O: messages in, frames out. No extension is negotiated."""

import enum
import struct
from dataclasses import dataclass

from airnode.chat.engineio.wire_errors import WireError

_MAX_CONTROL_BYTES = 125
#: Codes that a peer may send in a close frame (RFC 6455 section 7.4), besides those of libraries and applications.
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


class Opcode(enum.IntEnum):
    """The opcodes (RFC 6455 section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(enum.IntEnum):
    """The codes with which this server closes (RFC 6455 section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    TOO_LARGE = 1009
    TRY_AGAIN_LATER = 1013


class FrameError(WireError):
    """The peer broke RFC 6455; ``code`` is what the connection closes with."""

    def __init__(self, code: CloseCode, problem: str) -> None:
        super().__init__(problem)
        self.code = code


@dataclass(frozen=True, slots=True)
class WebSocketMessage:
    """A message or a control frame. ``text`` of a TEXT message is decoded; ``data`` has the bytes of all others."""

    opcode: Opcode
    data: bytes
    text: str = ""


def server_frame(opcode: Opcode, payload: bytes) -> bytes:
    """Return one unfragmented, unmasked frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame; the reason is cut to what a control frame can hold."""
    text = reason.encode()[: _MAX_CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return server_frame(Opcode.CLOSE, struct.pack("!H", code) + text)


def close_answer(data: bytes) -> bytes:
    """Return the frame that answers a close frame with this payload: the same code (RFC 6455 section 5.5.1).

    Raises:
        FrameError: the payload is half a code, a code that nobody may send, or a reason that is not UTF-8.
    """
    if not data:
        return server_frame(Opcode.CLOSE, b"")
    if len(data) == 1:
        raise FrameError(CloseCode.PROTOCOL_ERROR, "a close frame with half a code")
    code = int.from_bytes(data[:2], "big")
    if code not in _CLOSE_CODES and not 3000 <= code < 5000:
        raise FrameError(CloseCode.PROTOCOL_ERROR, f"a close frame with code {code}")
    _utf8(data[2:])
    return close_frame(code)


class FrameParser:
    """Takes a client's bytes apart into messages, one at a time, so that a reader can stop in between.

    Attributes:
        max_bytes: largest message, all its fragments together.
    """

    __slots__ = ("_at", "_data", "_fragments", "_kind", "_needed", "_pending", "_pending_bytes", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        #: Bytes that are not taken yet: ``_data`` from ``_at``, then ``_pending``. They are joined once ``_needed``
        #: bytes are there, so that a large message in many small pieces is not copied for each piece.
        self._data, self._at = b"", 0
        self._pending: list[bytes] | None = None
        self._pending_bytes = 0
        self._needed = 2
        #: The fragments so far of a message of the kind ``_kind``; None: no message is open.
        self._fragments: bytearray | None = None
        self._kind = Opcode.TEXT

    @property
    def is_empty(self) -> bool:
        """Return whether the next bytes begin a frame, and no message is open."""
        return not self._data and self._fragments is None

    def push(self, data: bytes) -> None:
        """Add bytes of the client."""
        if self._at == len(self._data):
            self._data, self._at = data, 0
            return
        if self._pending is None:
            self._pending = []
        self._pending.append(data)
        self._pending_bytes += len(data)

    def next(self) -> WebSocketMessage | None:
        """Return the next message or control frame; None: more bytes are needed.

        Raises:
            FrameError: the peer broke the protocol, or a message is too large; the parser must not be used again.
        """
        while True:
            left = len(self._data) - self._at
            if left + self._pending_bytes < self._needed:
                return None
            if self._pending:
                self._data, self._at = b"".join((self._data[self._at :], *self._pending)), 0
                self._pending, self._pending_bytes = None, 0
            data, at = self._data, self._at
            start, size = self._header(data, at)
            end = start + 4 + size
            if end > len(data):
                self._needed = end - at
                continue
            self._at, self._needed = end, 2
            if end == len(data):
                self._data, self._at = b"", 0
            message = self._take(data[at], _unmasked(data[start : start + 4], data[start + 4 : end]))
            if message is not None:
                return message

    def _header(self, data: bytes, at: int) -> tuple[int, int]:
        """Return where the mask starts and the payload's size, after checks; 0 if its bytes are not all there."""
        first, second = data[at], data[at + 1]
        opcode, size, start = first & 0x0F, second & 0x7F, at + 2
        if first & 0x70:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "reserved bits without an extension")
        if not second & 0x80:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "a client's frame without a mask")
        if opcode >= Opcode.CLOSE:
            if opcode > Opcode.PONG or not first & 0x80 or size > _MAX_CONTROL_BYTES:
                raise FrameError(CloseCode.PROTOCOL_ERROR, f"a control frame {opcode} that is not allowed")
        elif opcode > Opcode.BINARY or (opcode == Opcode.CONTINUATION) != (self._fragments is not None):
            raise FrameError(CloseCode.PROTOCOL_ERROR, f"a data frame {opcode} out of turn")
        if size >= 126:
            length_bytes = 2 if size == 126 else 8
            if len(data) - start < length_bytes:
                return start + length_bytes, 0
            size = int.from_bytes(data[start : start + length_bytes], "big")
            start += length_bytes
        if size + (len(self._fragments) if self._fragments is not None else 0) > self.max_bytes:
            raise FrameError(CloseCode.TOO_LARGE, f"a message above {self.max_bytes} bytes")
        return start, size

    def _take(self, first: int, payload: bytes) -> WebSocketMessage | None:
        opcode, is_last = Opcode(first & 0x0F), bool(first & 0x80)
        if opcode >= Opcode.CLOSE:
            return WebSocketMessage(opcode, payload)
        if self._fragments is None:
            if is_last:
                return _message(opcode, payload)
            self._kind, self._fragments = opcode, bytearray(payload)
            return None
        self._fragments += payload
        if not is_last:
            return None
        whole, self._fragments = bytes(self._fragments), None
        return _message(self._kind, whole)


def _message(kind: Opcode, data: bytes) -> WebSocketMessage:
    if kind is Opcode.TEXT:
        return WebSocketMessage(kind, b"", _utf8(data))
    return WebSocketMessage(kind, data)


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FrameError(CloseCode.INVALID_TEXT, "text that is not UTF-8") from None


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    """Return the payload without its mask (RFC 6455 section 5.3), by one XOR of two long integers."""
    size = len(payload)
    pad = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(pad, "little")).to_bytes(size, "little")
