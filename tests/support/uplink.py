"""A publisher's uplink: a TCP link on loopback that a test makes slow, cuts, or refuses connections on."""

import asyncio
import contextlib

from tests.support.forwarder import READ_BYTES, Forwarder

_PIECE_BYTES = 4096


class SlowUplink(Forwarder):
    """Forwards connections to ``to_port``. As a context manager it returns itself.

    Attributes:
        rate_bps: bits a second from the client to the server; None: no limit.
        refuses: new connections are closed at once.
    """

    def __init__(self, to_port: int) -> None:
        super().__init__()
        self.to_port = to_port
        self.rate_bps: float | None = None
        self.refuses = False
        self.accepted = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._frozen: set[asyncio.StreamWriter] = set()

    def freeze(self) -> None:
        """Let nothing more through on the present connections, which stay open, as after a change of network."""
        self._frozen |= self._writers

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        self.accepted += 1
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        both = {writer, inner_writer}
        self._writers |= both
        try:
            await asyncio.gather(self._limited(reader, inner_writer), self._forward(inner_reader, writer))
        finally:
            inner_writer.close()
            self._writers -= both
            self._frozen -= both

    async def _limited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        free_s = loop.time()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_PIECE_BYTES):
                if self.rate_bps is not None:
                    free_s = max(free_s, loop.time()) + len(data) * 8 / self.rate_bps
                    await asyncio.sleep(free_s - loop.time())
                await self._write(writer, data)
        writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(READ_BYTES):
                await self._write(writer, data)
        writer.close()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if writer not in self._frozen:
            writer.write(data)
            await writer.drain()
