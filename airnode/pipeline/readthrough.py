"""Values that are loaded when first asked for: one load at a time for each key, stale ones served meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from airnode.errors import AirnodeError
from airnode.runtime.tasks import TaskScope

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ReadThrough(Generic[K, V]):
    """Remembers what ``load`` returned.

    A value is served as it is for ``fresh_s``. After that, up to ``stale_s``, it is still served at once, while one
    load fetches the next. Whoever asks for a key that is being loaded waits for that load.

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

    async def get(self, key: K) -> V:
        """The value, from memory or loaded. Raises what ``load`` raises."""
        if (entry := self._entries.get(key)) is not None:
            value, loaded_s = entry
            age_s = self._clock() - loaded_s
            if age_s < self._fresh_s:
                return value
            if age_s < self._stale_s:
                self._begin(key)
                return value
        result = await asyncio.shield(self._begin(key))
        if isinstance(result, AirnodeError):
            raise result
        return result

    def _begin(self, key: K) -> "asyncio.Task[V | AirnodeError]":
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = self._tasks.spawn(f"load-{key}", self._loaded(key))
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
