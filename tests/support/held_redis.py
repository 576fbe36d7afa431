"""A Redis whose confirmations of SUBSCRIBE a test holds back; everything else passes at once."""

import asyncio

from tests.support.forwarder import READ_BYTES, Forwarder


class HeldRedis(Forwarder):
    """Forwards connections to the unix socket of a Redis. As a context manager it returns itself.

    Attributes:
        url: its address, with the same database.
        asked: set once a client sent SUBSCRIBE for ``channel``; the answers of that connection then wait.
        confirms: set to let them through.
    """

    def __init__(self, url: str, channel: str) -> None:
        super().__init__()
        self._path, _, self._query = url.removeprefix("unix://").partition("?")
        self._channel = channel.encode()
        self.asked = asyncio.Event()
        self.confirms = asyncio.Event()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}?{self._query}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._path)
        held = asyncio.Event()
        try:
            await asyncio.gather(self._ask(reader, inner_writer, held), self._answer(inner_reader, writer, held))
        finally:
            inner_writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: asyncio.Event) -> None:
        while data := await reader.read(READ_BYTES):
            if b"SUBSCRIBE" in data and self._channel in data:
                held.set()
                self.asked.set()
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: asyncio.Event) -> None:
        while data := await reader.read(READ_BYTES):
            if held.is_set():
                await self.confirms.wait()
            writer.write(data)
            await writer.drain()
        writer.close()
