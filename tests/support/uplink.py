"""A publisher's uplink: a TCP link on loopback that a test makes slow, cuts, or refuses connections on."""

import asyncio
import contextlib
from types import TracebackType

_PIECE_BYTES = 4096
_READ_BYTES = 16 << 10


class SlowUplink:
    """Forwards connections to ``to_port``. As a context manager it returns itself.

    Attributes:
        rate_bps: bits a second from the client to the server; None: no limit.
        refuses: new connections are closed at once.
    """

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        self.rate_bps: float | None = None
        self.refuses = False
        self.accepted = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._frozen: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "SlowUplink":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_READ_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def freeze(self) -> None:
        """Let nothing more through on the present connections, which stay open, as after a change of network."""
        self._frozen |= self._writers

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        inner_writer: asyncio.StreamWriter | None = None
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
            self._writers |= {writer, inner_writer}
            await asyncio.gather(self._limited(reader, inner_writer), self._forward(inner_reader, writer))
        except OSError:
            pass
        finally:
            for each in (writer, inner_writer):
                if each is not None:
                    self._writers.discard(each)
                    self._frozen.discard(each)
                    each.close()
            self._tasks.discard(task)

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
            while data := await reader.read(_READ_BYTES):
                await self._write(writer, data)
        writer.close()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if writer not in self._frozen:
            writer.write(data)
            await writer.drain()
