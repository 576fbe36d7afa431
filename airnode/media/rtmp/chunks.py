"""The RTMP chunk stream, sans-IO: bytes to messages and back (Adobe RTMP 1.0 section 5.3).

A message is cut into chunks, chunks of several chunk streams interleave, and headers of four formats omit fields that
did not change on their chunk stream. Two protocol control messages change how the bytes are read and are handled here:
Set Chunk Size (1) and Abort Message (2).

A chunk size may be huge: a chunk is never longer than its message, and only the message is limited. On a slow network
encoders leave messages incomplete: such a message is dropped when the next one begins on its chunk stream.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from airnode.media.rtmp.errors import ProtocolViolation

DEFAULT_CHUNK_SIZE_BYTES: Final = 128
SET_CHUNK_SIZE, ABORT = 1, 2
_CONTROL_CSID: Final = 2
#: Types of data messages (AMF3, AMF0): one that is longer than the limit is skipped.
_SKIPPABLE: Final = frozenset({15, 18})
#: With this value of a 24-bit timestamp, the 32-bit extended timestamp follows.
_EXTENDED: Final = 0xFFFFFF
#: {header format: size of its message header}
_HEADER_BYTES: Final = (11, 7, 3, 0)


class Message(NamedTuple):
    """One RTMP message. ``timestamp_ms`` is modulo 2**32."""

    type_id: int
    stream_id: int
    timestamp_ms: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Limits of the data that a peer can make the decoder hold.

    Attributes:
        max_buffered_bytes: of all incomplete messages together.
    """

    max_message_bytes: int = 8 << 20
    max_chunk_size_bytes: int = 0x7FFFFFFF
    max_chunk_streams: int = 64
    max_buffered_bytes: int = 16 << 20


class _ChunkStream:
    """The last header of a chunk stream, and the message that is being received on it."""

    __slots__ = (
        "csid",
        "delta_ms",
        "extended",
        "length_bytes",
        "partial",
        "skipped_bytes",
        "stream_id",
        "timestamp_ms",
        "type_id",
    )

    def __init__(self, csid: int) -> None:
        self.csid = csid
        self.timestamp_ms = 0
        self.delta_ms = 0
        self.length_bytes = 0
        self.type_id = 0
        self.stream_id = 0
        self.extended = False
        #: None between two messages.
        self.partial: bytearray | None = None
        #: Bytes left to skip, if the current message is too long to keep.
        self.skipped_bytes = 0


class ChunkDecoder:
    """Decodes the bytes passed to :meth:`feed` into the messages that :meth:`next_message` returns.

    Payload is copied out of the input at once. If the owner calls :meth:`next_message` until it returns None, at most
    one header remains in the input.

    Attributes:
        skipped: (reason, detail) of ignored messages; the owner empties it.
    """

    def __init__(self, limits: ChunkLimits) -> None:
        self.limits = limits
        self.chunk_size_bytes = DEFAULT_CHUNK_SIZE_BYTES
        #: {chunk stream id: its state}. Owned by this class.
        self._streams: dict[int, _ChunkStream] = {}
        self._data = b""
        self._pos = 0
        #: The stream of the chunk whose payload is being read, and how much of that payload has not arrived.
        self._current: _ChunkStream | None = None
        self._chunk_left_bytes = 0
        self._partial_bytes = 0
        self.skipped: list[tuple[str, str]] = []

    @property
    def buffered_bytes(self) -> int:
        """The size of the input that is not decoded yet, plus that of the incomplete messages."""
        return self._partial_bytes + len(self._data) - self._pos

    def feed(self, data: bytes) -> None:
        """Add input. Call :meth:`next_message` until it returns None before the next call, or the input grows."""
        self._data = self._data[self._pos :] + data if self._pos < len(self._data) else data
        self._pos = 0

    def peek(self, data: bytes) -> tuple[int, int] | None:
        """Return the (type, missing bytes) of the first message in ``data`` if ``data`` were the next input.

        The number of missing bytes is negative if more follows the message. None if the header alone does not give both
        (formats 2 and 3, extended timestamps), or if the message needs more than one chunk.
        """
        if len(data) < 8 or data[0] >> 6 > 1 or self._current is not None or self._pos < len(self._data):
            return None
        stream = self._streams.get(data[0] & 0x3F)
        size_bytes = int.from_bytes(data[4:7], "big")
        if (
            stream is None
            or stream.partial is not None
            or size_bytes > self.chunk_size_bytes
            or data[1:4] == b"\xff\xff\xff"
        ):
            return None
        return data[7], 1 + _HEADER_BYTES[data[0] >> 6] + size_bytes - len(data)

    def next_message(self) -> Message | None:
        """Return the next complete message, or None if more input is needed.

        Raises:
            ProtocolViolation: the decoder cannot be used afterwards.
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
        """Read one chunk's headers. Return False, with nothing consumed, while they are incomplete."""
        data, pos, end = self._data, self._pos, len(self._data)
        fmt, csid = data[pos] >> 6, data[pos] & 0x3F
        pos += 1
        if csid < 2:
            if end - pos <= csid:
                return False
            high = data[pos + 1] << 8 if csid else 0
            csid, pos = 64 + data[pos] + high, pos + 1 + csid
        stream = self._streams.get(csid) or self._open(csid, fmt)
        header_end = pos + _HEADER_BYTES[fmt]
        if end < header_end:
            return False
        extended = data[pos : pos + 3] == b"\xff\xff\xff" if fmt < 3 else stream.extended
        if extended and end < header_end + 4:
            return False
        timestamp_ms = int.from_bytes(data[header_end : header_end + 4] if extended else data[pos : pos + 3], "big")
        if stream.partial is not None:
            if fmt == 3:
                self._pos = header_end + self._continue_message(stream, stream.partial, timestamp_ms)
                return True
            self._drop(stream, stream.partial)
        if fmt < 2:
            stream.length_bytes = int.from_bytes(data[pos + 3 : pos + 6], "big")
            stream.type_id = data[pos + 6]
        if fmt == 0:
            stream.stream_id = int.from_bytes(data[pos + 7 : pos + 11], "little")
        self._begin_message(stream, fmt, timestamp_ms, extended)
        self._pos = header_end + (4 if extended else 0)
        return True

    def _drop(self, stream: _ChunkStream, partial: bytearray) -> None:
        self._partial_bytes -= len(partial)
        stream.partial = None
        stream.skipped_bytes = 0
        self.skipped.append(("chunk_interrupted", f"a message on chunk stream {stream.csid} was left incomplete"))

    def _open(self, csid: int, fmt: int) -> _ChunkStream:
        # Format 1 in a first chunk is not allowed, but librtmp uses it on chunk stream 2, and some encoders on those
        # of media: the stream id is 0 then.
        if fmt > 1:
            raise ProtocolViolation("chunk_format", f"chunk stream {csid} begins with a header of format {fmt}")
        if len(self._streams) >= self.limits.max_chunk_streams:
            self._forget_oldest()
        stream = self._streams[csid] = _ChunkStream(csid)
        return stream

    def _forget_oldest(self) -> None:
        """Forget an idle chunk stream to make room for another: some encoders never use one twice."""
        for csid, stream in self._streams.items():
            if stream.partial is None and csid != _CONTROL_CSID:
                del self._streams[csid]
                return
        raise ProtocolViolation(
            "chunk_streams", f"more than {self.limits.max_chunk_streams} messages were begun at once"
        )

    def _begin_message(self, stream: _ChunkStream, fmt: int, timestamp_ms: int, extended: bool) -> None:
        if stream.length_bytes > self.limits.max_message_bytes:
            detail = f"a message of {stream.length_bytes} bytes is longer than rtmp.max_message_bytes allows"
            if stream.type_id not in _SKIPPABLE:
                raise ProtocolViolation("message_size", detail)
            self.skipped.append(("message_size", detail))
            stream.skipped_bytes = stream.length_bytes
        if fmt == 3 and not extended:
            timestamp_ms = stream.delta_ms
        # After a format 0 header its timestamp is the delta of a following format 3 message (section 5.3.1.2.4).
        stream.delta_ms = timestamp_ms
        stream.timestamp_ms = timestamp_ms if fmt == 0 else (stream.timestamp_ms + timestamp_ms) & 0xFFFFFFFF
        stream.extended = extended
        stream.partial = bytearray()
        self._current = stream
        self._chunk_left_bytes = min(stream.length_bytes, self.chunk_size_bytes)

    def _continue_message(self, stream: _ChunkStream, partial: bytearray, timestamp_ms: int) -> int:
        """Continue a message. Return the size of the extended timestamp in this chunk's header: 4 or 0."""
        self._current = stream
        left_bytes = stream.skipped_bytes or stream.length_bytes - len(partial)
        self._chunk_left_bytes = min(left_bytes, self.chunk_size_bytes)
        # Some encoders omit the extended timestamp in the chunks after the first: those four bytes are payload.
        return 4 if stream.extended and timestamp_ms == stream.delta_ms else 0

    def _read_payload(self) -> Message | None:
        """Copy payload of the current chunk. Return the message if it is complete now."""
        stream = self._current
        if stream is None or stream.partial is None:
            return None
        partial, start = stream.partial, self._pos
        stop = min(start + self._chunk_left_bytes, len(self._data))
        moved = stop - start
        if stream.skipped_bytes:
            self._skip_payload(stream, stop, moved)
            return None
        if moved == stream.length_bytes:  # the whole message at once: the usual case, one copy
            self._end_message(stream, stop)
            return Message(stream.type_id, stream.stream_id, stream.timestamp_ms, self._data[start:stop])
        partial += self._data[start:stop]
        self._pos = stop
        self._chunk_left_bytes -= moved
        self._partial_bytes += moved
        if len(partial) == stream.length_bytes:
            self._partial_bytes -= stream.length_bytes
            self._end_message(stream, stop)
            return Message(stream.type_id, stream.stream_id, stream.timestamp_ms, bytes(partial))
        if self._partial_bytes > self.limits.max_buffered_bytes:
            raise ProtocolViolation("buffered_bytes", "too many incomplete messages at once")
        if self._chunk_left_bytes == 0:
            self._current = None
        return None

    def _skip_payload(self, stream: _ChunkStream, stop: int, moved: int) -> None:
        self._pos = stop
        self._chunk_left_bytes -= moved
        stream.skipped_bytes -= moved
        if stream.skipped_bytes == 0:
            self._end_message(stream, stop)
        elif self._chunk_left_bytes == 0:
            self._current = None

    def _end_message(self, stream: _ChunkStream, pos: int) -> None:
        stream.partial = None
        self._current = None
        self._chunk_left_bytes = 0
        self._pos = pos

    def _set_chunk_size(self, payload: bytes) -> None:
        size_bytes = _control_value(payload) & 0x7FFFFFFF  # the first bit is reserved
        if size_bytes > self.limits.max_chunk_size_bytes:
            raise ProtocolViolation(
                "chunk_size", f"a chunk size of {size_bytes} bytes is larger than rtmp.max_chunk_size_bytes allows"
            )
        if size_bytes == 0:
            self.skipped.append(("chunk_size", "a chunk size of 0 bytes, or one that is cut short, was not used"))
            return
        self.chunk_size_bytes = size_bytes

    def _abort(self, payload: bytes) -> None:
        stream = self._streams.get(_control_value(payload))
        if stream is not None and stream.partial is not None:
            self._partial_bytes -= len(stream.partial)
            stream.partial = None
            stream.skipped_bytes = 0


def _control_value(payload: bytes) -> int:
    """Return the number in a protocol control message; 0: it is cut short, or not valid."""
    return int.from_bytes(payload[:4], "big") if len(payload) >= 4 else 0


class ChunkEncoder:
    """Encodes messages. Every message starts with a full header (format 0), since a server sends only a few."""

    def __init__(self, chunk_size_bytes: int = DEFAULT_CHUNK_SIZE_BYTES) -> None:
        self.chunk_size_bytes = chunk_size_bytes

    def encode(self, csid: int, message: Message) -> bytes:
        """Return one message as chunks on chunk stream ``csid`` (2..65599)."""
        extended = message.timestamp_ms >= _EXTENDED
        extension = message.timestamp_ms.to_bytes(4, "big") if extended else b""
        out = bytearray(basic_header(0, csid))
        out += min(message.timestamp_ms, _EXTENDED).to_bytes(3, "big") + len(message.payload).to_bytes(3, "big")
        out += bytes((message.type_id,)) + message.stream_id.to_bytes(4, "little") + extension
        continuation = basic_header(3, csid) + extension
        for start in range(0, len(message.payload), self.chunk_size_bytes):
            if start:
                out += continuation
            out += message.payload[start : start + self.chunk_size_bytes]
        return bytes(out)


def basic_header(fmt: int, csid: int) -> bytes:
    """Return a chunk's basic header in its shortest form (section 5.3.1.1).

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


class TimestampUnwrapper:
    """Turns RTMP's 32-bit timestamps into ones that never wrap (section 5.3.1.3: serial number arithmetic).

    Each step is the shorter one of forward and backward. Timestamps also go back: audio and video interleave, and
    publishers restart their clock.
    """

    def __init__(self) -> None:
        self._last_ms: int | None = None

    def unwrap(self, timestamp_ms: int) -> int:
        """Return the unwrapped form of a 32-bit timestamp."""
        if self._last_ms is None:
            self._last_ms = timestamp_ms
        else:
            step_ms = (timestamp_ms - self._last_ms) & 0xFFFFFFFF
            self._last_ms += step_ms if step_ms < 0x80000000 else step_ms - 0x100000000
        return self._last_ms
