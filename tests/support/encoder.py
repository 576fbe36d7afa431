"""ffmpeg in the loop that people put around it: ask where to publish, publish, and again when that ends."""

import asyncio
import time
from pathlib import Path
from typing import Any

from tests.support.background import Background
from tests.support.cluster import Cluster
from tests.support.ffmpeg import Publisher

_PAUSE_S = 0.5
#: Without it ffmpeg waits for a machine that hangs for ever; microseconds.
_TIMEOUT = ("-rw_timeout", "3000000")


class Encoder:
    """Publishes to the node that ``GET /cluster/best-node?room=`` names, until it is closed.

    Args:
        url: always go there instead; a stream key is part of it.

    Attributes:
        tries: (monotonic seconds, node id or address) of each start.
    """

    def __init__(self, cluster: Cluster, clip: Path, *, room: str = "stream", url: str = "") -> None:
        self._cluster = cluster
        self._clip = clip
        self._room = room
        self._url = url
        self._task = Background()
        self.publisher: Publisher | None = None
        self.tries: list[tuple[float, str]] = []
        self.errors: list[str] = []

    async def start(self) -> "Encoder":
        self._task.start(self._go_on())
        return self

    async def close(self) -> None:
        await self._task.stop()
        if self.publisher is not None:
            await self.publisher.kill()

    async def _go_on(self) -> None:
        while True:
            if (found := await self._where()) is not None:
                where, url = found
                self.tries.append((time.monotonic(), where))
                self.publisher = await Publisher(url, "-re", "-i", str(self._clip), "-c", "copy", *_TIMEOUT).start()
                _, errors = await self.publisher.result(3600)
                self.errors.append(errors)
            await asyncio.sleep(_PAUSE_S)

    async def _where(self) -> tuple[str, str] | None:
        if self._url:
            return self._url.rpartition("/")[0], self._url
        status, body = await self._best()
        if status != 200:
            return None
        return body["node_id"], f"{body['rtmp_url']}/{self._cluster.master['stream_key']}"

    async def _best(self) -> tuple[int, dict[str, Any]]:
        return await self._cluster.call("GET", f"/cluster/best-node?room={self._room}")
