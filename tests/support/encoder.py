"""ffmpeg in the loop that users write: request a node, publish, and repeat when that ends."""

import asyncio
import time
from pathlib import Path
from typing import Any

from tests.support.background import Background
from tests.support.cluster import Cluster
from tests.support.ffmpeg import Publisher

_PAUSE_S = 0.5
#: In microseconds. Without it ffmpeg never stops to wait for a hanging machine.
_TIMEOUT = ("-rw_timeout", "3000000")


class Encoder:
    """Publishes to the node that ``GET /cluster/best-node?room=`` names, until it is closed.

    Args:
        url: always publish there instead; it contains the stream key.

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
        self._task.start(self._run())
        return self

    async def close(self) -> None:
        await self._task.stop()
        if self.publisher is not None:
            await self.publisher.kill()

    async def _run(self) -> None:
        while True:
            if (found := await self._target()) is not None:
                target, url = found
                self.tries.append((time.monotonic(), target))
                clip = ("-re", "-stream_loop", "-1", "-i", str(self._clip), "-c", "copy")
                self.publisher = await Publisher(url, *clip, *_TIMEOUT).start()
                _, errors = await self.publisher.result(3600)
                self.errors.append(errors)
            await asyncio.sleep(_PAUSE_S)

    async def _target(self) -> tuple[str, str] | None:
        if self._url:
            return self._url.rpartition("/")[0], self._url
        status, body = await self._best_node()
        if status != 200:
            return None
        return body["node_id"], f"{body['rtmp_url']}/{self._cluster.master['stream_key']}"

    async def _best_node(self) -> tuple[int, dict[str, Any]]:
        return await self._cluster.call("GET", f"/cluster/best-node?room={self._room}")
