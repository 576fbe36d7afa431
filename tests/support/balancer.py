"""A load balancer in front of several masters."""

import asyncio
import itertools
from collections.abc import Sequence
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.node import AirnodeProcess


class Balancer:
    """A round-robin TCP balancer on loopback that skips nodes that refuse. As a context manager it returns its URL."""

    def __init__(self, nodes: Sequence[AirnodeProcess]) -> None:
        self._ports = [urlsplit(node["api_url"]).port or 0 for node in nodes]
        self._turn = itertools.cycle(range(len(nodes)))
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await asyncio.sleep(0)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = next(self._turn)
        for port in self._ports[first:] + self._ports[:first]:
            try:
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            self._writers |= {writer, inner_writer}
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
            self._writers -= {writer, inner_writer}
            return
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()
