"""A Redis whose confirmations of SUBSCRIBE a test holds back; everything else passes at once."""

import asyncio
import contextlib
from types import TracebackType

_READ_BYTES = 64 << 10


class HeldRedis:
    """Forwards connections to the unix socket of a Redis. As a context manager it returns itself.

    Attributes:
        url: its address, with the same database.
        asked: set once a client sent SUBSCRIBE for ``channel``; the answers of that connection then wait.
        confirms: set to let them through.
    """

    def __init__(self, url: str, channel: str) -> None:
        self._path, _, self._query = url.removeprefix("unix://").partition("?")
        self._channel = channel.encode()
        self.asked = asyncio.Event()
        self.confirms = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}?{self._query}"

    async def __aenter__(self) -> "HeldRedis":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._path)
        held = asyncio.Event()
        try:
            with contextlib.suppress(OSError):
                await asyncio.gather(self._ask(reader, inner_writer, held), self._answer(inner_reader, writer, held))
        finally:
            writer.close()
            inner_writer.close()
            self._tasks.discard(task)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: asyncio.Event) -> None:
        while data := await reader.read(_READ_BYTES):
            if b"SUBSCRIBE" in data and self._channel in data:
                held.set()
                self.asked.set()
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: asyncio.Event) -> None:
        while data := await reader.read(_READ_BYTES):
            if held.is_set():
                await self.confirms.wait()
            writer.write(data)
            await writer.drain()
        writer.close()
