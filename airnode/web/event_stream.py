"""Server-sent events (HTML Living Standard, 9.2)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web


class EventStream:
    """The open response to one client.

    Attributes:
        is_stuck: it was cut, because its client read nothing for ``write_timeout_s``.
    """

    def __init__(self, response: web.StreamResponse, write_timeout_s: float) -> None:
        self.response = response
        self.is_stuck = False
        self._write_timeout_s = write_timeout_s

    async def write(self, text: bytes) -> None:
        """Write whole events or comments, each with its empty line."""
        async with asyncio.timeout(self._write_timeout_s):
            await self.response.write(text)


@contextlib.asynccontextmanager
async def event_stream(request: web.Request, *, write_timeout_s: float) -> AsyncIterator[EventStream]:
    """Open a stream, and end it quietly when its client leaves; a client that reads nothing is disconnected."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    await response.prepare(request)
    stream = EventStream(response, write_timeout_s)
    try:
        yield stream
    except ConnectionError:
        pass
    except TimeoutError:
        stream.is_stuck = True
        if request.transport is not None:
            request.transport.abort()
