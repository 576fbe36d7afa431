"""Disconnects publishers from MediaMTX, and tries again at growing intervals while MediaMTX still lists them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import structlog

from airnode.errors import Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.tasks import TaskScope
from airnode.media.mediamtx.api import MediaMtxApi, PathSource

log = structlog.get_logger(__name__)

#: First and last interval between two attempts to disconnect a publisher that is still listed.
_FIRST_RETRY_S, _LAST_RETRY_S = 2.0, 60.0


@dataclass(slots=True)
class _Kick:
    """A publisher to disconnect. The next attempt is made at ``retry_at_s`` (loop time)."""

    room: str
    backoff: Backoff = field(default_factory=lambda: Backoff(_FIRST_RETRY_S, _LAST_RETRY_S))
    retry_at_s: float = 0.0


class Kicks:
    """The publishers that MediaMTX was asked to disconnect, and still lists."""

    def __init__(self, api: MediaMtxApi, tasks: TaskScope, now_s: Callable[[], float]) -> None:
        self._api = api
        self._tasks = tasks
        self._now_s = now_s
        #: {publisher: attempts}. Bounded: only publishers that MediaMTX lists are kept.
        self._kicks: dict[PathSource, _Kick] = {}

    def __contains__(self, source: PathSource) -> bool:
        return source in self._kicks

    def kick(self, source: PathSource, room: str, reason: str) -> None:
        """Disconnect a publisher, unless this was already tried."""
        if source in self._kicks:
            return
        self._kicks[source] = _Kick(room)
        if source.collection is None:
            log.info("mediamtx_source_ignored", source=source.type, reason="MediaMTX pulls it itself")
            return
        log.warning("mediamtx_publisher_kicked", room=room or None, protocol=source.protocol, reason=reason)
        self._try(source)

    def update(self, listed: Collection[PathSource]) -> None:
        """Forget the publishers that are no longer listed, and try again with the others when their time has come."""
        for source, kick in list(self._kicks.items()):
            if source not in listed:
                del self._kicks[source]
            elif source.collection is not None and self._now_s() >= kick.retry_at_s:
                self._try(source)

    def clear(self) -> None:
        """Forget all publishers: MediaMTX does not answer, or has restarted."""
        self._kicks.clear()

    def _try(self, source: PathSource) -> None:
        kick = self._kicks[source]
        kick.retry_at_s = self._now_s() + kick.backoff.next_s()
        self._tasks.spawn("kick", self._end(source))

    async def _end(self, source: PathSource) -> None:
        try:
            await self._api.kick(source)
        except Unavailable as error:
            log.warning("mediamtx_kick_failed", protocol=source.protocol, error=error.detail)
