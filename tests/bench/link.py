"""A TCP link between the media port and a player: it delays the server's data, or holds it for a while."""

import asyncio
import random
from collections import deque

from tests.support.forwarder import READ_BYTES, Forwarder


class ShapedLink(Forwarder):
    """Forwards connections on loopback. As a context manager it returns itself.

    Bytes keep their order, as in TCP: bytes that are read later never arrive earlier.

    Args:
        to_port: port to which it forwards.
        delay_ms: least and most delay of each piece that the server sends, evenly distributed.
    """

    def __init__(self, to_port: int, delay_ms: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__()
        self._to_port = to_port
        self._delay_ms = delay_ms
        self._random = random.Random(1)
        self._held_until_s = 0.0

    def hold(self, seconds: float) -> None:
        """Deliver nothing for ``seconds``, then all of it at once."""
        self._held_until_s = asyncio.get_running_loop().time() + seconds

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._to_port)
        try:
            await asyncio.gather(_forward(reader, to_server), self._delayed(from_server, writer))
        finally:
            to_server.close()

    async def _delayed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        pieces: deque[tuple[float, bytes]] = deque()
        arrived = asyncio.Event()
        deliver = asyncio.create_task(self._deliver(pieces, arrived, writer))
        try:
            while data := await reader.read(READ_BYTES):
                pieces.append((loop.time() + self._random.uniform(*self._delay_ms) / 1000, data))
                arrived.set()
            pieces.append((loop.time(), b""))
            arrived.set()
            await deliver
        finally:
            deliver.cancel()

    async def _deliver(
        self, pieces: deque[tuple[float, bytes]], arrived: asyncio.Event, writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not pieces:
                arrived.clear()
                await arrived.wait()
            due_s, data = pieces.popleft()
            while (wait_s := max(due_s, self._held_until_s) - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            if not data:
                return writer.close()
            writer.write(data)
            await writer.drain()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()
    writer.close()
