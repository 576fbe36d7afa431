"""The catalogue: random users and products from the cache, and single ones, from PostgreSQL if they are not cached."""

import asyncio
import contextlib
import logging
from collections import Counter
from typing import Any, TypeVar

import asyncpg
import msgspec

from airnode.bus.client import Bus, unavailable
from airnode.errors import Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.pipeline import keys
from airnode.pipeline.cache.metrics import CatalogueMetrics, ReaderMetrics
from airnode.pipeline.cache.read_through import Read, ReadThrough
from airnode.pipeline.cache.tables import PRODUCTS, USERS, CachedProduct, CachedTable, CachedUser, TableName
from airnode.store.postgres import Postgres
from airnode.store.postgres_errors import translated

__all__ = ["CachedProduct", "CachedUser", "Catalogue", "CatalogueMetrics"]

C = TypeVar("C", CachedUser, CachedProduct)

_REPORT_EVERY_S = 1.0
#: For how long a row from PostgreSQL is fresh, and up to which age it is served stale while it is read again.
_FRESH_S, _STALE_S = 5.0, 300.0
_REMEMBERED = 10_000
#: Time limits for one row: for an answer of a store, and for returning a connection to the pool.
_ANSWER_S, _RELEASE_S = 2.0, 0.5
_NOT_NOW = "The cache does not have it, or is away, and the database does not answer."

_ONE = "SELECT {columns} FROM pipeline.{table} WHERE {id} = $1"


class Catalogue(Service):
    """Reads the cache. Counts hits and misses and adds them to ``cache:stats`` once a second.

    Args:
        postgres: source of single rows that are not cached, with one statement at a time per row; None: no source.
        fresh_s: seconds for which such a row is served without reading it again.
    """

    name = "catalogue"

    def __init__(
        self, bus: Bus, postgres: Postgres | None, metrics: ReaderMetrics, *, fresh_s: float = _FRESH_S
    ) -> None:
        super().__init__()
        self._bus = bus
        self._postgres = postgres
        self._metrics = metrics
        self._tasks = TaskScope("catalogue")
        #: Hits and misses that are not in cache:stats yet, by field.
        self._unreported: Counter[str] = Counter()
        self._reporting = asyncio.Lock()
        #: {(cached, id): row, or None}. Rows that are not in the cache in Redis.
        self._rows: ReadThrough[tuple[CachedTable[Any], int], Any] = ReadThrough(
            self._load,
            self._tasks,
            fresh_s=fresh_s,
            stale_s=_STALE_S,
            most=_REMEMBERED,
            clock=lambda: asyncio.get_running_loop().time(),
        )

    async def start(self) -> None:
        reporting = repeat_every(_REPORT_EVERY_S, self._report, failed="cache_reads_not_reported", level=logging.DEBUG)
        self._tasks.spawn("report", reporting)

    async def stop(self) -> None:
        """Report the remaining counts. A report that is cut off would be added twice: it may end first."""
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_REPORT_EVERY_S), self._reporting:
                await self._tasks.aclose()
                await self._add_counts()
        await self._tasks.aclose()

    # -- random rows --------------------------------------------------------------------------------------------------

    async def users(self, count: int) -> list[CachedUser]:
        """Return ``count`` random users from the cache, possibly with repeats; none if it is empty.

        Raises:
            Unavailable: Redis does not answer.
        """
        return await self._some(USERS, count)

    async def products(self, count: int) -> list[CachedProduct]:
        """Return ``count`` random products; see :meth:`users`."""
        return await self._some(PRODUCTS, count)

    async def _some(self, cached: CachedTable[C], count: int) -> list[C]:
        with unavailable():
            # With a negative count, Redis returns exactly this number, and may return a row twice.
            flat: Any = await self._bus.client.hrandfield(keys.cache(cached.name), -count, withvalues=True)
        values = [self._bus.decode_value(data, cached.kind, keys.cache(cached.name)) for data in flat[1::2]]
        found = [value for value in values if value is not None]
        # A reader that polls an empty cache counts one miss per poll, not hundreds.
        self._count(cached.name, hits=len(found), misses=count - len(found) if found else min(count, 1))
        return found

    # -- single rows --------------------------------------------------------------------------------------------------

    async def user(self, user_id: int) -> Read[CachedUser | None]:
        """Return one user, or None if it does not exist; ``user_id`` is a positive bigint.

        Raises:
            Unavailable: neither cache nor database answers, and no earlier value is known. HTTP 503.
        """
        return await self._one(USERS, user_id)

    async def product(self, product_id: int) -> Read[CachedProduct | None]:
        """Return one product; see :meth:`user`."""
        return await self._one(PRODUCTS, product_id)

    async def _one(self, cached: CachedTable[C], row_id: int) -> Read[C | None]:
        found = await self._cached(cached, row_id)
        self._count(cached.name, hits=int(found is not None), misses=int(found is None))
        if found is not None:
            return Read(found, hit=True)
        if self._postgres is None:
            return Read(None, hit=False)
        return await self._rows.get((cached, row_id))

    async def _cached(self, cached: CachedTable[C], row_id: int) -> C | None:
        """Return the cached row, or None. With a database, also None while Redis does not answer."""
        try:
            with unavailable():
                async with asyncio.timeout(_ANSWER_S):
                    data = await self._bus.client.hget(keys.cache(cached.name), str(row_id))
        except Unavailable:
            if self._postgres is None:
                raise
            return None
        return None if data is None else self._bus.decode_value(data, cached.kind, keys.cache(cached.name))

    async def _load(self, key: tuple[CachedTable[C], int]) -> C | None:
        cached, row_id = key
        self._metrics.loads.labels(cached.name).inc()
        statement = _ONE.format(columns=cached.columns, table=cached.name, id=cached.id_column)
        with translated(_NOT_NOW):
            row = await self._fetch(statement, row_id)
        return None if row is None else msgspec.convert(dict(row), cached.kind)

    async def _fetch(self, statement: str, row_id: int) -> asyncpg.Record | None:
        """Return one row. Every step has a short time limit, because other requests wait for this load."""
        assert self._postgres is not None  # noqa: S101 - checked by the caller
        pool = self._postgres.pool
        connection = await pool.acquire(timeout=_ANSWER_S)
        try:
            return await connection.fetchrow(statement, row_id, timeout=_ANSWER_S)
        finally:
            await pool.release(connection, timeout=_RELEASE_S)

    # -- counting -----------------------------------------------------------------------------------------------------

    def _count(self, table: TableName, *, hits: int, misses: int) -> None:
        for result, count in (("hit", hits), ("miss", misses)):
            if count > 0:
                self._metrics.reads.add(count, table, result)
                self._unreported[f"{table}_{'hits' if result == 'hit' else 'misses'}"] += count

    async def _report(self) -> None:
        async with self._reporting:
            await self._add_counts()

    async def _add_counts(self) -> None:
        """Add the counts to ``cache:stats``. If this fails, they are added later."""
        if not (counts := Counter(self._unreported)):
            return
        with unavailable():
            async with self._bus.client.pipeline(transaction=True) as pipeline:
                for field, count in counts.items():
                    pipeline.hincrby(keys.cache_stats(), field, count)
                await pipeline.execute()
        self._unreported -= counts
