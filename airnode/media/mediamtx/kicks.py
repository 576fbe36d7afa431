"""Ends publishers at MediaMTX, and tries again at growing intervals while they are still there."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import structlog

from airnode.errors import Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.tasks import TaskScope
from airnode.media.mediamtx.api import MediaMtxApi, PathSource

log = structlog.get_logger(__name__)

#: Time between two attempts to end a publisher that is still listed.
_FIRST_RETRY_S, _LAST_RETRY_S = 2.0, 60.0


@dataclass(slots=True)
class _Kick:
    """A publisher that is to end. The next attempt is made at ``retry_at_s`` (loop time)."""

    room: str
    backoff: Backoff = field(default_factory=lambda: Backoff(_FIRST_RETRY_S, _LAST_RETRY_S))
    retry_at_s: float = 0.0


class Kicks:
    """The publishers that MediaMTX was asked to end and still lists."""

    def __init__(self, api: MediaMtxApi, tasks: TaskScope, now_s: Callable[[], float]) -> None:
        self._api = api
        self._tasks = tasks
        self._now_s = now_s
        #: Bounded: only what MediaMTX lists is kept.
        self._kicks: dict[PathSource, _Kick] = {}

    def __contains__(self, source: PathSource) -> bool:
        return source in self._kicks

    def kick(self, source: PathSource, room: str, reason: str) -> None:
        """End a publisher, unless that was tried already."""
        if source in self._kicks:
            return
        self._kicks[source] = _Kick(room)
        if source.collection is None:
            log.info("mediamtx_source_ignored", source=source.type, reason="MediaMTX pulls it itself")
            return
        log.warning("mediamtx_publisher_kicked", room=room or None, protocol=source.protocol, reason=reason)
        self._try(source)

    def update(self, listed: Collection[PathSource]) -> None:
        """Forget the publishers that are not listed any more, and try again with the others when it is time."""
        for source, kick in list(self._kicks.items()):
            if source not in listed:
                del self._kicks[source]
            elif source.collection is not None and self._now_s() >= kick.retry_at_s:
                self._try(source)

    def clear(self) -> None:
        """Forget all: MediaMTX has restarted."""
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
