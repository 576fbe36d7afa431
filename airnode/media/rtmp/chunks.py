"""The RTMP chunk stream, sans-IO: bytes to messages and back (Adobe RTMP 1.0 section 5.3).

A message is cut into chunks, chunks of several chunk streams interleave, and headers of four formats leave out what did
not change on their chunk stream. Two protocol control messages change how the bytes are read and are handled here: Set
Chunk Size (1) and Abort Message (2).
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from airnode.media.rtmp.errors import ProtocolViolation

DEFAULT_CHUNK_SIZE: Final = 128
#: A message length is 24 bits, so a larger chunk size means the same as this one (section 5.4.1).
MAX_USEFUL_CHUNK_SIZE: Final = 0xFFFFFF
SET_CHUNK_SIZE, ABORT = 1, 2
_EXTENDED: Final = 0xFFFFFF
#: {header format: bytes of its message header}
_HEADER_SIZE: Final = (11, 7, 3, 0)


class Message(NamedTuple):
    """One RTMP message. ``timestamp`` is in milliseconds, modulo 2**32."""

    type_id: int
    stream_id: int
    timestamp: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """What a peer may make us hold.

    Attributes:
        max_buffered_bytes: of all messages that are not complete yet, together.
    """

    max_message_bytes: int = 8 << 20
    max_chunk_size_bytes: int = 16 << 20
    max_chunk_streams: int = 64
    max_buffered_bytes: int = 16 << 20


class _ChunkStream:
    """What the last header on a chunk stream said, and its message so far."""

    __slots__ = ("csid", "delta", "extended", "length", "partial", "stream_id", "timestamp", "type_id")

    def __init__(self, csid: int) -> None:
        self.csid = csid
        self.timestamp = 0
        self.delta = 0
        self.length = 0
        self.type_id = 0
        self.stream_id = 0
        self.extended = False
        #: None between two messages.
        self.partial: bytearray | None = None


class ChunkDecoder:
    """Bytes in with :meth:`feed`, messages out with :meth:`next_message`.

    Payload is moved out of the input at once, so the input that waits is at most one header, unless the owner stops
    asking for messages.
    """

    def __init__(self, limits: ChunkLimits) -> None:
        self.limits = limits
        self.chunk_size = DEFAULT_CHUNK_SIZE
        #: {chunk stream id: its state}. Owned by this class.
        self._streams: dict[int, _ChunkStream] = {}
        self._data = b""
        self._pos = 0
        #: The chunk whose payload is being read, and how much of that chunk is still to come.
        self._current: _ChunkStream | None = None
        self._chunk_left = 0
        self._buffered = 0

    @property
    def buffered_bytes(self) -> int:
        """Bytes held: input not looked at yet, and messages not complete yet."""
        return self._buffered + len(self._data) - self._pos

    def feed(self, data: bytes) -> None:
        """Add input. Ask for messages until there is none before the next call, or input piles up."""
        self._data = self._data[self._pos :] + data if self._pos < len(self._data) else data
        self._pos = 0

    def peek(self, data: bytes) -> tuple[int, int] | None:
        """Type of the message that ``data``, were it fed now, would begin with, and how many bytes it is short of it.

        Told only where a header says it by itself (formats 0 and 1, no extended timestamp) and one chunk is enough.
        """
        if len(data) < 8 or data[0] >> 6 > 1 or self._current is not None or self._pos < len(self._data):
            return None
        stream = self._streams.get(data[0] & 0x3F)
        length = int.from_bytes(data[4:7], "big")
        if stream is None or stream.partial is not None or length > self.chunk_size or data[1:4] == b"\xff\xff\xff":
            return None
        return data[7], 1 + _HEADER_SIZE[data[0] >> 6] + length - len(data)

    def next_message(self) -> Message | None:
        """The next complete message, or None until more is fed.

        Raises:
            ProtocolViolation: the decoder is of no use afterwards.
        """
        while True:
            if self._current is None and (self._pos >= len(self._data) or not self._begin_chunk()):
                return None
            message = self._read_payload()
            if message is None:
                if self._current is not None:
                    return None
            elif message.type_id == SET_CHUNK_SIZE:
                self._set_chunk_size(message.payload)
            elif message.type_id == ABORT:
                self._abort(message.payload)
            else:
                return message

    def _begin_chunk(self) -> bool:
        """Read one chunk's headers; False, and nothing is consumed, while they are not all there."""
        data, pos, end = self._data, self._pos, len(self._data)
        fmt, csid = data[pos] >> 6, data[pos] & 0x3F
        pos += 1
        if csid < 2:
            if end - pos <= csid:
                return False
            high = data[pos + 1] << 8 if csid else 0
            csid, pos = 64 + data[pos] + high, pos + 1 + csid
        stream = self._streams.get(csid) or self._open(csid, fmt)
        header_end = pos + _HEADER_SIZE[fmt]
        if end < header_end:
            return False
        extended = data[pos : pos + 3] == b"\xff\xff\xff" if fmt < 3 else stream.extended
        if extended and end < header_end + 4:
            return False
        time = int.from_bytes(data[header_end : header_end + 4] if extended else data[pos : pos + 3], "big")
        if stream.partial is not None:
            self._pos = header_end + self._continue_message(stream, fmt, time)
            return True
        if fmt < 2:
            stream.length = int.from_bytes(data[pos + 3 : pos + 6], "big")
            stream.type_id = data[pos + 6]
        if fmt == 0:
            stream.stream_id = int.from_bytes(data[pos + 7 : pos + 11], "little")
        self._begin_message(stream, fmt, time, extended)
        self._pos = header_end + (4 if extended else 0)
        return True

    def _open(self, csid: int, fmt: int) -> _ChunkStream:
        # A first chunk of format 1 is against the letter; librtmp does it on chunk stream 2, where the stream id is 0.
        if fmt > 1:
            raise ProtocolViolation("chunk_format", f"chunk stream {csid} begins with a header of format {fmt}")
        if len(self._streams) >= self.limits.max_chunk_streams:
            raise ProtocolViolation("chunk_streams", f"more than {self.limits.max_chunk_streams} chunk streams")
        stream = self._streams[csid] = _ChunkStream(csid)
        return stream

    def _begin_message(self, stream: _ChunkStream, fmt: int, time: int, extended: bool) -> None:
        if stream.length > self.limits.max_message_bytes:
            raise ProtocolViolation("message_size", f"a message of {stream.length} bytes")
        if fmt == 3 and not extended:
            time = stream.delta
        # After a format 0 header its timestamp is the delta of a following format 3 message (section 5.3.1.2.4).
        stream.delta = time
        stream.timestamp = time if fmt == 0 else (stream.timestamp + time) & 0xFFFFFFFF
        stream.extended = extended
        stream.partial = bytearray()
        self._current = stream
        self._chunk_left = min(stream.length, self.chunk_size)

    def _continue_message(self, stream: _ChunkStream, fmt: int, time: int) -> int:
        """Go on with a message; returns the size of the extended timestamp that was there."""
        partial = stream.partial
        if fmt != 3 or partial is None:
            raise ProtocolViolation("chunk_interrupted", f"a message on chunk stream {stream.csid} was left incomplete")
        self._current = stream
        self._chunk_left = min(stream.length - len(partial), self.chunk_size)
        # Some encoders leave the extended timestamp out of the chunks after the first: those four bytes are payload.
        return 4 if stream.extended and time == stream.delta else 0

    def _read_payload(self) -> Message | None:
        """Move payload of the current chunk; a message if that completed one."""
        stream = self._current
        if stream is None or stream.partial is None:
            return None
        partial, start = stream.partial, self._pos
        stop = min(start + self._chunk_left, len(self._data))
        moved = stop - start
        if moved == stream.length:  # the whole message at once: the usual case, one copy
            self._end_message(stream, stop)
            return Message(stream.type_id, stream.stream_id, stream.timestamp, self._data[start:stop])
        partial += self._data[start:stop]
        self._pos = stop
        self._chunk_left -= moved
        self._buffered += moved
        if len(partial) == stream.length:
            self._buffered -= stream.length
            self._end_message(stream, stop)
            return Message(stream.type_id, stream.stream_id, stream.timestamp, bytes(partial))
        if self._buffered > self.limits.max_buffered_bytes:
            raise ProtocolViolation("buffered_bytes", "too many incomplete messages at once")
        if self._chunk_left == 0:
            self._current = None
        return None

    def _end_message(self, stream: _ChunkStream, pos: int) -> None:
        stream.partial = None
        self._current = None
        self._chunk_left = 0
        self._pos = pos

    def _set_chunk_size(self, payload: bytes) -> None:
        size = _control_value(payload)
        if not 1 <= size <= self.limits.max_chunk_size_bytes:
            raise ProtocolViolation("chunk_size", f"a chunk size of {size} bytes")
        self.chunk_size = size

    def _abort(self, payload: bytes) -> None:
        stream = self._streams.get(_control_value(payload))
        if stream is not None and stream.partial is not None:
            self._buffered -= len(stream.partial)
            stream.partial = None


def _control_value(payload: bytes) -> int:
    if len(payload) < 4:
        raise ProtocolViolation("control_message", "a protocol control message is too short")
    return int.from_bytes(payload[:4], "big")


class ChunkEncoder:
    """Messages to bytes; every message starts with a full (format 0) header, as a server's few messages may."""

    def __init__(self, chunk_size: int = DEFAULT_CHUNK_SIZE) -> None:
        self.chunk_size = chunk_size

    def encode(self, csid: int, message: Message) -> bytes:
        """One message as chunks on chunk stream ``csid`` (2..65599)."""
        extended = message.timestamp >= _EXTENDED
        extension = message.timestamp.to_bytes(4, "big") if extended else b""
        out = bytearray(basic_header(0, csid))
        out += min(message.timestamp, _EXTENDED).to_bytes(3, "big") + len(message.payload).to_bytes(3, "big")
        out += bytes((message.type_id,)) + message.stream_id.to_bytes(4, "little") + extension
        continuation = basic_header(3, csid) + extension
        for start in range(0, len(message.payload), self.chunk_size):
            if start:
                out += continuation
            out += message.payload[start : start + self.chunk_size]
        return bytes(out)


def basic_header(fmt: int, csid: int) -> bytes:
    """A chunk's basic header, in its shortest form (section 5.3.1.1).

    Raises:
        ValueError: ``csid`` is not in 2..65599.
    """
    if not 2 <= csid <= 65599:
        raise ValueError(f"chunk stream id {csid} is not in 2..65599")
    if csid < 64:
        return bytes((fmt << 6 | csid,))
    if csid < 320:
        return bytes((fmt << 6, csid - 64))
    return bytes((fmt << 6 | 1, (csid - 64) & 0xFF, (csid - 64) >> 8))


class TimestampLine:
    """RTMP's 32-bit millisecond clock as a line that never wraps (section 5.3.1.3: compare by serial arithmetic).

    A step is the nearest one either way: interleaved audio and video, and publishers that restart, jump back.
    """

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, timestamp: int) -> int:
        """The place on the line of a 32-bit timestamp."""
        if self._last is None:
            self._last = timestamp
        else:
            step = (timestamp - self._last) & 0xFFFFFFFF
            self._last += step if step < 0x80000000 else step - 0x100000000
        return self._last
