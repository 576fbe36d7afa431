"""A read-through cache: one load at a time per key; stale values are served during the load."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from airnode.errors import AirnodeError
from airnode.kernel.tasks import TaskScope

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Read(Generic[V]):
    """A value and its origin, in the terms of RFC 9211 (the HTTP field ``Cache-Status``).

    Attributes:
        hit: the value was in memory; otherwise it was loaded.
        ttl_s: remaining freshness of a hit, seconds; negative: it is stale; None: unknown.
        collapsed: the request waited for the load of an earlier request.
    """

    value: V
    hit: bool
    ttl_s: float | None = None
    collapsed: bool = False


class ReadThrough(Generic[K, V]):
    """Keeps the values that ``load`` returned.

    A value is fresh for ``fresh_s``. After that, up to ``stale_s``, it is still served at once while one load fetches
    the next value. A request for a key that is being loaded waits for that load. None (the row does not exist) is never
    served stale.

    Args:
        load: returns the value of a key. It may raise an AirnodeError: all waiting requests get it, nothing is stored.
        most: largest number of entries; beyond it, the entry that was loaded first is removed.
        clock: returns the time of a monotonic clock, seconds.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]],
        tasks: TaskScope,
        *,
        fresh_s: float,
        stale_s: float,
        most: int,
        clock: Callable[[], float],
    ) -> None:
        self._load = load
        self._tasks = tasks
        self._fresh_s = fresh_s
        self._stale_s = stale_s
        self._most = most
        self._clock = clock
        #: {key: (value, time when it was loaded)}, the oldest first.
        self._entries: dict[K, tuple[V, float]] = {}
        #: Running loads.
        self._loads: dict[K, asyncio.Task[V | AirnodeError]] = {}

    async def get(self, key: K) -> Read[V]:
        """Return the value, from memory or loaded. Raises the errors of ``load``."""
        if (entry := self._entries.get(key)) is not None:
            value, loaded_s = entry
            age_s = self._clock() - loaded_s
            ttl_s = self._fresh_s - age_s
            if ttl_s > 0:
                return Read(value, hit=True, ttl_s=ttl_s)
            if age_s < self._stale_s and value is not None:
                self._begin(key)
                return Read(value, hit=True, ttl_s=ttl_s)
        collapsed = key in self._loads
        # A cancelled request must not cancel the load.
        result = await asyncio.shield(self._begin(key))
        if isinstance(result, AirnodeError):
            raise result
        return Read(result, hit=False, collapsed=collapsed)

    def _begin(self, key: K) -> "asyncio.Task[V | AirnodeError]":
        """Return the running load of this key, or start one."""
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = self._tasks.spawn("load", self._loaded(key))
            load.add_done_callback(lambda _: self._loads.pop(key, None))
        return load

    async def _loaded(self, key: K) -> V | AirnodeError:
        try:
            value = await self._load(key)
        except AirnodeError as error:
            return error  # for the waiting requests; a failed task would fail its service
        self._entries.pop(key, None)
        self._entries[key] = (value, self._clock())
        while len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]
        return value
