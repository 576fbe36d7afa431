"""Values that are loaded when first asked for: one load at a time for each key, stale ones served meanwhile."""

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
    """A value, and how it was come by, in the words of RFC 9211 (the HTTP field ``Cache-Status``).

    Attributes:
        hit: it was there; otherwise it was loaded.
        ttl_s: what was there stays fresh for so long, seconds; negative: it is stale. None: not known.
        collapsed: loaded for somebody who had asked for it before.
    """

    value: V
    hit: bool
    ttl_s: float | None = None
    collapsed: bool = False


class ReadThrough(Generic[K, V]):
    """Remembers what ``load`` returned.

    A value is served as it is for ``fresh_s``. After that, up to ``stale_s``, it is still served at once, while one
    load fetches the next. Whoever asks for a key that is being loaded waits for that load. That there is nothing, None,
    is believed while it is fresh, and not after.

    Args:
        load: may raise an AirnodeError, which everyone who waits for it gets; nothing is remembered then.
        most: entries kept; beyond, the one that was loaded first goes.
        clock: seconds that never go back.
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
        #: {key: (value, when it was loaded)}, the first loaded first.
        self._entries: dict[K, tuple[V, float]] = {}
        #: Loads under way.
        self._loads: dict[K, asyncio.Task[V | AirnodeError]] = {}

    async def get(self, key: K) -> Read[V]:
        """The value, from memory or loaded. Raises what ``load`` raises."""
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
        # Whoever goes away while waiting does not take the load along.
        result = await asyncio.shield(self._begin(key))
        if isinstance(result, AirnodeError):
            raise result
        return Read(result, hit=False, collapsed=collapsed)

    def _begin(self, key: K) -> "asyncio.Task[V | AirnodeError]":
        """The load of this key that is under way, or else a new one."""
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = self._tasks.spawn("load", self._loaded(key))
            load.add_done_callback(lambda _: self._loads.pop(key, None))
        return load

    async def _loaded(self, key: K) -> V | AirnodeError:
        try:
            value = await self._load(key)
        except AirnodeError as error:
            return error  # for those who wait; a task that fails would fail its service
        self._entries.pop(key, None)
        self._entries[key] = (value, self._clock())
        while len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]
        return value
