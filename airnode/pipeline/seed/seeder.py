"""Fills the tables with customers and courses whose ids start at 1. A further run adds only missing rows."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from airnode.errors import Conflict, Unavailable
from airnode.kernel.service import Service
from airnode.pipeline.cache.tables import PRODUCTS, USERS, CachedTable, TableName
from airnode.pipeline.seed.people import product_rows, user_rows
from airnode.store.postgres import Postgres

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

log = structlog.get_logger(__name__)

_DEMO_USERS, _DEMO_PRODUCTS = 10_000, 20_000
_ARE_EMPTY = "SELECT NOT EXISTS (SELECT FROM pipeline.users), NOT EXISTS (SELECT FROM pipeline.products)"
_CHUNK = 5000
#: Key of an advisory lock: concurrent seeders take turns after each chunk.
_LOCK_KEY = 0x73656564
_TRY_LOCK = "SELECT pg_advisory_xact_lock($1)"
# Other inserts wait for this lock, so no id is taken between reading the sequence and advancing it.
_LOCK_TABLE = "LOCK TABLE pipeline.{table} IN SHARE ROW EXCLUSIVE MODE"
_ADVANCE_SEQUENCE = """
SELECT setval(s.name, greatest($1::bigint, (SELECT last_value FROM pipeline.{table}_{id}_seq)))
FROM (SELECT pg_get_serial_sequence('pipeline.{table}', '{id}') AS name) s
"""
_TAKEN = "SELECT {id} FROM pipeline.{table} WHERE {id} BETWEEN $1 AND $2"
_COUNT = "SELECT count(*) FROM pipeline.{table}"
_COUNT_BELOW = "SELECT count(*) FROM pipeline.{table} WHERE {id} BETWEEN 1 AND $1"

#: Called after each step with the table, the number of ids that are done, and the number of all ids.
Progress = Callable[[TableName, int, int], None]


@dataclass(frozen=True, slots=True)
class SeedResult:
    """The result for one table. ``total``: number of all its rows afterwards."""

    added: int
    total: int
    took_s: float

    @property
    def rows_per_s(self) -> float:
        """Return the rows added per second; 0 if none was added."""
        return self.added / self.took_s if self.added and self.took_s else 0.0


async def seed(
    postgres: Postgres, users: int, products: int, *, number: int = 1, progress: Progress | None = None
) -> dict[TableName, SeedResult]:
    """Add the missing rows with ids 1 to ``users`` and 1 to ``products``; return the results.

    Existing rows stay unchanged.

    Args:
        number: seed of the generated rows.

    Raises:
        Unavailable: the database stopped answering; written rows stay, and another run adds the others.
        Conflict: another row has the same unique value.
    """
    report = progress or (lambda *_: None)
    try:
        return {
            "users": await _fill(postgres, USERS, users, lambda ids: user_rows(number, ids), report),
            "products": await _fill(postgres, PRODUCTS, products, lambda ids: product_rows(number, ids), report),
        }
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"A row that is there already stands in the way: {error.detail}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise Unavailable(
            f"The database stopped taking rows: {error}. What was written stays; run it again for the rest.",
            debug=repr(error),
        ) from error


async def _fill(
    postgres: Postgres,
    cached: CachedTable[Any],
    wanted: int,
    rows: Callable[[Iterable[int]], Iterator[tuple[object, ...]]],
    report: Progress,
) -> SeedResult:
    began_s, added = asyncio.get_running_loop().time(), 0
    names = {"table": cached.name, "id": cached.id_column}
    if await postgres.fetchval(_COUNT_BELOW.format(**names), wanted) < wanted:
        await _advance_sequence(postgres, names, wanted)
        for first in range(1, wanted + 1, _CHUNK):
            last = min(first + _CHUNK - 1, wanted)
            async with postgres.transaction() as connection:
                added += await _add(connection, cached, names, first, last, rows)
            report(cached.name, last, wanted)
    report(cached.name, wanted, wanted)
    took_s = asyncio.get_running_loop().time() - began_s
    return SeedResult(added, await postgres.fetchval(_COUNT.format(**names)), took_s)


async def _advance_sequence(postgres: Postgres, names: dict[str, str], wanted: int) -> None:
    """Advance the sequence of the ids, so that other inserts get higher ids."""
    async with postgres.transaction() as connection:
        await connection.execute(_LOCK_TABLE.format(**names))
        await connection.execute(_ADVANCE_SEQUENCE.format(**names), wanted)


async def _add(
    connection: "PoolConnectionProxy[Any]",
    cached: CachedTable[Any],
    names: dict[str, str],
    first: int,
    last: int,
    rows: Callable[[Iterable[int]], Iterator[tuple[object, ...]]],
) -> int:
    """Add the missing rows with ids ``first`` to ``last``; return their number."""
    await connection.execute(_TRY_LOCK, _LOCK_KEY)
    taken = {row[0] for row in await connection.fetch(_TAKEN.format(**names), first, last)}
    missing = [row_id for row_id in range(first, last + 1) if row_id not in taken]
    if missing:
        await connection.copy_records_to_table(
            cached.name, schema_name="pipeline", columns=cached.kind.__struct_fields__, records=rows(missing)
        )
    return len(missing)


class DemoSeeder(Service):
    """Fills empty tables with customers and courses; existing rows stay unchanged."""

    name = "demo-seeder"

    def __init__(self, postgres: Postgres) -> None:
        super().__init__()
        self._postgres = postgres

    async def start(self) -> None:
        """Fill the empty tables. Raises Unavailable if the database stops answering."""
        row = await self._postgres.fetchrow(_ARE_EMPTY)
        assert row is not None  # noqa: S101 - a SELECT without FROM has a row
        no_users, no_products = row
        filled = await seed(self._postgres, _DEMO_USERS if no_users else 0, _DEMO_PRODUCTS if no_products else 0)
        log.info("demo_data_there", **{table: facts.total for table, facts in filled.items()})
