"""The catalogue: random users and products from the cache; single ones from PostgreSQL too, where the cache has not."""

import asyncio
import contextlib
from collections import Counter
from typing import Any, TypeVar

import asyncpg
import msgspec
import structlog

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.errors import Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.cache.metrics import CatalogueMetrics, ReaderMetrics
from airnode.pipeline.cache.read_through import Read, ReadThrough
from airnode.pipeline.cache.tables import PRODUCTS, USERS, CachedProduct, CachedUser, Shelf, Table
from airnode.store.postgres import Postgres
from airnode.store.postgres_errors import in_our_words

__all__ = ["CachedProduct", "CachedUser", "Catalogue", "CatalogueMetrics"]

log = structlog.get_logger(__name__)

C = TypeVar("C", CachedUser, CachedProduct)

_TELL_EVERY_S = 1.0
#: A row read from PostgreSQL in place of the cache is good for so long, and served on while it is read anew.
_FRESH_S, _STALE_S = 5.0, 300.0
_REMEMBERED = 10_000
#: For one row: a store that has not answered by then is away. A connection that does not become idle is cut off.
_ANSWER_S, _RELEASE_S = 2.0, 0.5
_NOT_NOW = "The cache does not have it, or is away, and the database does not answer."

_ONE = "SELECT {columns} FROM pipeline.{table} WHERE {id} = $1"


class Catalogue(Service):
    """A reader of the cache. Counts what the cache had and had not, and tells it to ``cache:stats`` once a second.

    Args:
        postgres: where single rows come from that the cache has not, one statement at a time for each; None: nowhere.
        fresh_s: seconds that such a row is remembered before it is read anew.
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
        #: Hits and misses that cache:stats has not been told of, by field.
        self._untold: Counter[str] = Counter()
        #: {(shelf, id): row, or None}. What the cache had not.
        self._rows: ReadThrough[tuple[Shelf[Any], int], Any] = ReadThrough(
            self._load,
            self._tasks,
            fresh_s=fresh_s,
            stale_s=_STALE_S,
            most=_REMEMBERED,
            clock=lambda: asyncio.get_running_loop().time(),
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

    # -- random ones --------------------------------------------------------------------------------------------------

    async def users(self, count: int) -> list[CachedUser]:
        """``count`` random users out of the cache, repeats allowed; none where it is empty.

        Raises:
            Unavailable: the Redis does not answer.
        """
        return await self._some(USERS, count)

    async def products(self, count: int) -> list[CachedProduct]:
        """``count`` random products; see :meth:`users`."""
        return await self._some(PRODUCTS, count)

    async def _some(self, shelf: Shelf[C], count: int) -> list[C]:
        with unavailable():
            # A negative count: exactly so many, and a row may come twice.
            flat: Any = await self._bus.client.hrandfield(keys.cache(shelf.table), -count, withvalues=True)
        values = [self._bus.decode_value(data, shelf.kind, keys.cache(shelf.table)) for data in flat[1::2]]
        found = [value for value in values if value is not None]
        # Who only waits for the cache to be filled asks again and again: each time is one miss, not hundreds.
        self._count(shelf.table, hits=len(found), misses=count - len(found) if found else min(count, 1))
        return found

    # -- single ones --------------------------------------------------------------------------------------------------

    async def user(self, user_id: int) -> Read[CachedUser | None]:
        """One user, or None: there is none; ``user_id`` is a positive bigint.

        Raises:
            Unavailable: neither cache nor database can be asked, and nothing is remembered. HTTP 503.
        """
        return await self._one(USERS, user_id)

    async def product(self, product_id: int) -> Read[CachedProduct | None]:
        """One product; see :meth:`user`."""
        return await self._one(PRODUCTS, product_id)

    async def _one(self, shelf: Shelf[C], row_id: int) -> Read[C | None]:
        found = await self._cached(shelf, row_id)
        self._count(shelf.table, hits=int(found is not None), misses=int(found is None))
        if found is not None:
            return Read(found, hit=True)
        if self._postgres is None:
            return Read(None, hit=False)
        return await self._rows.get((shelf, row_id))

    async def _cached(self, shelf: Shelf[C], row_id: int) -> C | None:
        """What the cache has; None also while it is away, if there is a database to ask."""
        try:
            with unavailable():
                async with asyncio.timeout(_ANSWER_S):
                    data = await self._bus.client.hget(keys.cache(shelf.table), str(row_id))
        except Unavailable:
            if self._postgres is None:
                raise
            return None
        return None if data is None else self._bus.decode_value(data, shelf.kind, keys.cache(shelf.table))

    async def _load(self, key: tuple[Shelf[C], int]) -> C | None:
        shelf, row_id = key
        self._metrics.loads.labels(shelf.table).inc()
        statement = _ONE.format(columns=shelf.columns, table=shelf.table, id=shelf.id_column)
        with in_our_words(_NOT_NOW):
            row = await self._fetch(statement, row_id)
        return None if row is None else msgspec.convert(dict(row), shelf.kind)

    async def _fetch(self, statement: str, row_id: int) -> asyncpg.Record | None:
        """One row; whatever the database does, within a few seconds: others wait for this very load."""
        assert self._postgres is not None  # noqa: S101 - who calls has looked
        pool = self._postgres.pool
        connection = await pool.acquire(timeout=_ANSWER_S)
        try:
            return await connection.fetchrow(statement, row_id, timeout=_ANSWER_S)
        finally:
            await pool.release(connection, timeout=_RELEASE_S)

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
