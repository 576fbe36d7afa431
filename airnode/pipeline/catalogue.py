"""The catalogue: users and products as the cache has them, and from PostgreSQL what it has not."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import structlog

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.errors import Unavailable
from airnode.pipeline.cachemetrics import CatalogueMetrics
from airnode.pipeline.readthrough import ReadThrough
from airnode.pipeline.shelves import PRODUCTS, SHELVES, USERS, CachedProduct, CachedUser, Shelf, Table
from airnode.runtime.service import Service
from airnode.runtime.tasks import TaskScope
from airnode.store.postgres import Postgres

__all__ = ["CachedProduct", "CachedUser", "Catalogue", "CatalogueMetrics"]

log = structlog.get_logger(__name__)

C = TypeVar("C", CachedUser, CachedProduct)

_TELL_EVERY_S = 1.0
#: Rows read from PostgreSQL in place of the cache are good for so long, and served on while they are read anew.
_FRESH_S, _STALE_S = 5.0, 300.0
_REMEMBERED = 10_000
#: Rows that stand in for an empty cache.
_SAMPLE = 1000

# A run of rows from a random place: quick on a table of any size, unlike ORDER BY random().
_SOME = """
SELECT {columns} FROM pipeline.{table}
WHERE {id} >= (SELECT floor(random() * (max({id}) + 1))::bigint FROM pipeline.{table})
ORDER BY {id} LIMIT $1
"""
_ONE = "SELECT {columns} FROM pipeline.{table} WHERE {id} = $1"


class Catalogue(Service):
    """A reader of the cache. Counts what the cache had and had not, and tells it to ``cache:stats`` once a second.

    Args:
        postgres: where the rest comes from, one statement at a time for each row, remembered for some seconds; None:
            what the cache has not is not there.
    """

    name = "catalogue"

    def __init__(self, bus: Bus, postgres: Postgres | None, metrics: CatalogueMetrics) -> None:
        super().__init__()
        self._bus = bus
        self._postgres = postgres
        self._metrics = metrics
        self._tasks = TaskScope("catalogue")
        #: Hits and misses that cache:stats has not been told of, by field.
        self._untold: Counter[str] = Counter()

        def clock() -> float:
            return asyncio.get_running_loop().time()

        self._rows: ReadThrough[tuple[Table, int], Any] = ReadThrough(
            self._load_one, self._tasks, fresh_s=_FRESH_S, stale_s=_STALE_S, most=_REMEMBERED, clock=clock
        )
        self._samples: ReadThrough[Table, Sequence[Any]] = ReadThrough(
            self._load_some, self._tasks, fresh_s=_FRESH_S, stale_s=_STALE_S, most=len(SHELVES), clock=clock
        )

    async def start(self) -> None:
        """Begin to tell."""
        self._tasks.spawn("tell", self._tell_for_ever())

    async def stop(self) -> None:
        """Tell the rest."""
        await self._tasks.aclose()
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_TELL_EVERY_S):
                await self._tell()

    # -- reading ------------------------------------------------------------------------------------------------------

    async def users(self, count: int) -> list[CachedUser]:
        """``count`` random users, repeats allowed; none where there are none.

        While the cache is empty or away they come from PostgreSQL, where it was given.

        Raises:
            Unavailable: neither can be asked.
        """
        return await self._some(USERS, count)

    async def products(self, count: int) -> list[CachedProduct]:
        """``count`` random products; see :meth:`users`."""
        return await self._some(PRODUCTS, count)

    async def user(self, user_id: int) -> CachedUser | None:
        """One user; None: there is none. Raises Unavailable when neither cache nor database can be asked."""
        return await self._one(USERS, user_id)

    async def product(self, product_id: int) -> CachedProduct | None:
        """One product; see :meth:`user`."""
        return await self._one(PRODUCTS, product_id)

    async def _some(self, shelf: Shelf[C], count: int) -> list[C]:
        found: list[C] = []
        try:
            found = await self._cached_some(shelf, count)
        except Unavailable:
            if self._postgres is None:
                raise
        # Who only waits for the cache to be filled asks again and again: each time is one miss, not hundreds.
        misses = count - len(found) if found or self._postgres is not None else min(count, 1)
        self._count(shelf.table, hits=len(found), misses=misses)
        if found or self._postgres is None:
            return found
        rows = await self._samples.get(shelf.table)
        return random.choices(rows, k=count) if rows else []  # noqa: S311 - guards nothing

    async def _cached_some(self, shelf: Shelf[C], count: int) -> list[C]:
        with unavailable():
            # A negative count: exactly so many, and a row may come twice.
            flat: Any = await self._bus.client.hrandfield(keys.cache(shelf.table), -count, withvalues=True)
        values = [self._bus.decode_value(data, shelf.kind, keys.cache(shelf.table)) for data in flat[1::2]]
        return [value for value in values if value is not None]

    async def _one(self, shelf: Shelf[C], row_id: int) -> C | None:
        found = None
        try:
            with unavailable():
                data = await self._bus.client.hget(keys.cache(shelf.table), str(row_id))
            if data is not None:
                found = self._bus.decode_value(data, shelf.kind, keys.cache(shelf.table))
        except Unavailable:
            if self._postgres is None:
                raise
        self._count(shelf.table, hits=int(found is not None), misses=int(found is None))
        if found is not None or self._postgres is None:
            return found
        loaded: C | None = await self._rows.get((shelf.table, row_id))
        return loaded

    # -- from the database --------------------------------------------------------------------------------------------

    async def _load_one(self, key: tuple[Table, int]) -> CachedUser | CachedProduct | None:
        table, row_id = key
        rows = await self._select(_ONE, table, row_id)
        return rows[0] if rows else None

    async def _load_some(self, table: Table) -> list[CachedUser | CachedProduct]:
        return await self._select(_SOME, table, _SAMPLE)

    async def _select(self, statement: str, table: Table, value: int) -> list[CachedUser | CachedProduct]:
        assert self._postgres is not None  # noqa: S101 - the callers look
        shelf: Shelf[Any] = USERS if table == "users" else PRODUCTS
        text = statement.format(columns=shelf.columns, table=table, id=shelf.id_column)
        return [msgspec.convert(dict(row), shelf.kind) for row in await self._postgres.fetch(text, value)]

    # -- counting -----------------------------------------------------------------------------------------------------

    def _count(self, table: Table, *, hits: int, misses: int) -> None:
        for result, count in (("hit", hits), ("miss", misses)):
            if count > 0:
                self._metrics.reads.labels(table, result).inc(count)
                self._untold[f"{table}_{'hits' if result == 'hit' else 'misses'}"] += count

    async def _tell_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            try:
                await self._tell()
            except Unavailable as error:
                log.debug("cache_reads_not_told", error=error.debug)

    async def _tell(self) -> None:
        """Add what was counted to ``cache:stats``; what cannot be told now is told later."""
        if not (told := Counter(self._untold)):
            return
        with unavailable():
            async with self._bus.client.pipeline(transaction=True) as pipeline:
                for field, count in told.items():
                    pipeline.hincrby(keys.cache_stats(), field, count)
                await pipeline.execute()
        self._untold -= told
