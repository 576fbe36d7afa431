"""An RTMP publisher for tests: it can send any bytes, right or wrong, and reads the answers of the server.

Its bytes are made here and not by the code under test.
"""

import asyncio
import contextlib
import hmac
import os
import ssl
import struct
from collections.abc import Sequence

from airnode.media.rtmp import amf0
from airnode.media.rtmp.chunks import ChunkDecoder, ChunkLimits, Message

PLAYER_KEY = b"Genuine Adobe Flash Player 001"
DEFAULT_CHUNK = 128


def chunk(
    type_id: int,
    payload: bytes,
    *,
    timestamp_ms: int = 0,
    stream_id: int = 0,
    csid: int = 3,
    chunk_size_bytes: int = DEFAULT_CHUNK,
    extended_in_continuations: bool = True,
) -> bytes:
    """Return one message, header format 0, with all its continuation chunks."""
    extension = struct.pack(">I", timestamp_ms) if timestamp_ms >= 0xFFFFFF else b""
    head = bytes([csid]) + min(timestamp_ms, 0xFFFFFF).to_bytes(3, "big") + len(payload).to_bytes(3, "big")
    head += bytes([type_id]) + struct.pack("<I", stream_id) + extension
    continuation = bytes([0xC0 | csid]) + (extension if extended_in_continuations else b"")
    pieces = [payload[at : at + chunk_size_bytes] for at in range(0, len(payload), chunk_size_bytes)] or [b""]
    return head + continuation.join(pieces)


def command(name: str, transaction: float, *arguments: object, stream_id: int = 0) -> bytes:
    return chunk(20, amf0.encode((name, transaction, *arguments)), stream_id=stream_id)  # type: ignore[arg-type]


def simple_c1() -> bytes:
    return bytes(8) + os.urandom(1528)


def complex_c1(scheme: int) -> bytes:
    """Return a C1 with a right digest, computed from the description of the two schemes."""
    packet = bytearray(struct.pack(">I", 1000) + bytes([128, 0, 7, 2]) + os.urandom(1528))
    base = 8 if scheme == 0 else 772
    at = sum(packet[base : base + 4]) % 728 + base + 4
    without = bytes(packet[:at] + packet[at + 32 :])
    packet[at : at + 32] = hmac.digest(PLAYER_KEY, without, "sha256")
    return bytes(packet)


def tag_video(packet_type: int, body: bytes, *, key: bool = False, cts: int = 0) -> bytes:
    return bytes([0x17 if key else 0x27, packet_type]) + cts.to_bytes(3, "big", signed=True) + body


def tag_enhanced(packet_type: int, fourcc: bytes, body: bytes, *, key: bool = False) -> bytes:
    return bytes([0x80 | (1 if key else 2) << 4 | packet_type]) + fourcc + body


def tag_audio(packet_type: int, body: bytes) -> bytes:
    return bytes([0xAF, packet_type]) + body


class RtmpPublisher:
    """The connection of a publisher; :meth:`publish` does all steps up to the answer of the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = ChunkDecoder(ChunkLimits())
        self.closed = False

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext | None = None) -> "RtmpPublisher":
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        return cls(reader, writer)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def handshake(self, c1: bytes | None = None) -> bytes:
        """Return S1 and S2."""
        self.send(b"\x03" + (c1 or simple_c1()))
        answer = await self.reader.readexactly(1 + 2 * 1536)
        self.send(answer[1:1537])
        return answer[1:]

    async def message(self) -> Message | None:
        """Return the server's next message; None: the server closed the connection."""
        while (message := self._decoder.next_message()) is None:
            data = await self.reader.read(65536)
            if not data:
                self.closed = True
                return None
            self._decoder.feed(data)
        return message

    async def answer(self, name: str) -> list[object]:
        """Return the arguments of the server's next command of this name.

        Raises:
            ConnectionError: the server closed the connection before.
        """
        while (message := await self.message()) is not None:
            if message.type_id == 20:
                values = amf0.decode(message.payload)
                if values[0] == name:
                    return list(values[1:])
        raise ConnectionError(f"the server hung up before {name}")

    async def open_stream(self, app: str = "live", options: dict[str, object] | None = None) -> int:
        """Do the handshake, connect and createStream; return the stream id."""
        await self.handshake()
        self.send(command("connect", 1.0, {"app": app, "tcUrl": f"rtmp://127.0.0.1/{app}", **(options or {})}))
        await self.answer("_result")
        self.send(command("createStream", 2.0, None))
        result = await self.answer("_result")
        stream_id = result[2]
        assert isinstance(stream_id, float)
        return int(stream_id)

    async def publish(self, name: str, app: str = "live") -> tuple[int, str]:
        """Publish and return the (stream id, status code)."""
        stream_id = await self.open_stream(app)
        self.send(command("publish", 3.0, None, name, "live", stream_id=stream_id))
        return stream_id, await self.status()

    async def status(self) -> str:
        """Return the code of the server's next status."""
        arguments = await self.answer("onStatus")
        info = arguments[2]
        assert isinstance(info, dict)
        return str(info["code"])

    async def closes(self) -> bool:
        """Return True after the server closed the connection."""
        try:
            while await self.message() is not None:
                pass
        except ConnectionError:
            self.closed = True
        return self.closed

    async def aclose(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


def boxes(data: bytes) -> Sequence[tuple[bytes, bytes]]:
    """Return the (type, body) of the MP4 boxes in ``data``."""
    found, pos = [], 0
    while pos + 8 <= len(data):
        size = int.from_bytes(data[pos : pos + 4], "big")
        found.append((data[pos + 4 : pos + 8], data[pos + 8 : pos + size]))
        pos += size
    return found


def box_body(data: bytes, name: bytes) -> bytes:
    """Return the body of the first box of this name, at any depth."""
    at = data.index(name)
    size = int.from_bytes(data[at - 4 : at], "big")
    return data[at + 4 : at - 4 + size]
