"""What happens in a queue, for many listeners in this process: one reader a queue."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import structlog
from redis import asyncio as aioredis

from airnode.bus.jobs import keys
from airnode.bus.jobs.errors import REDIS_ERRORS
from airnode.bus.jobs.hashes import to_event
from airnode.bus.jobs.records import JobEvent, JobEventKind
from airnode.kernel.backoff import Backoff

log = structlog.get_logger(__name__)

#: Events that wait for one listener; at more, it gets a gap instead.
_WAITING_MAX = 1000
_BLOCK_MS = 5000
_READ_MAX = 200


class JobEvents:
    """The events of a queue for one listener: an async iterator. It does not end by itself."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        #: Events that the listener has not got yet, at most _WAITING_MAX.
        self._waiting: deque[JobEvent] = deque()
        self._wake = asyncio.Event()

    def offer(self, event: JobEvent) -> None:
        """Add an event. A listener that is too slow gets a gap instead of what waited for it."""
        if len(self._waiting) >= _WAITING_MAX:
            self._waiting.clear()
            self._waiting.append(gap(self._queue))
        self._waiting.append(event)
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[JobEvent]:
        return self

    async def __anext__(self) -> JobEvent:
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()


def gap(queue: str) -> JobEvent:
    """Return the event that says that events are missing."""
    return JobEvent(queue, "", JobEventKind.GAP)


class EventReader:
    """Reads the stream of a queue's events while there are listeners."""

    def __init__(self, client: aioredis.Redis, queue: str) -> None:
        self._client = client
        self._queue = queue
        self._key = keys.of_queue(queue, "events")
        self._last = ""
        self.listeners: set[JobEvents] = set()
        #: The place to read from is known, so that nothing is missed from now on.
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled.

        After Redis was away the listeners get a gap, and then what they missed, if it is kept.
        """
        backoff, was_away = Backoff(0.1, 2.0), False
        while True:
            try:
                entries = await self._read(None if was_away else _BLOCK_MS)
            except REDIS_ERRORS as error:
                if not was_away:
                    log.info("job_events_interrupted", queue=self._queue, error=str(error))
                was_away = True
                await backoff.pause()
                continue
            if was_away:
                self._offer(gap(self._queue))
            was_away = False
            backoff.reset()
            for entry_id, fields in entries:
                self._last = entry_id
                event = to_event(self._queue, fields)
                if event is not None:
                    self._offer(event)

    async def _read(self, block_ms: int | None) -> list[tuple[str, dict[str, str]]]:
        """Return the next entries; none after ``block_ms`` without any. None: do not wait."""
        if not self._last:
            newest: Any = await self._client.xrevrange(self._key, count=1)
            self._last = newest[0][0] if newest else "0-0"
            self.ready.set()
            return []
        answer: Any = await self._client.xread({self._key: self._last}, count=_READ_MAX, block=block_ms)
        return [entry for _, entries in answer or () for entry in entries]

    def _offer(self, event: JobEvent) -> None:
        for listener in self.listeners:
            listener.offer(event)
