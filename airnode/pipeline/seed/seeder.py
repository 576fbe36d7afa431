"""Filling the tables: customers and courses under the ids from 1 on, each row once however often this runs."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from airnode.errors import Conflict, Unavailable
from airnode.pipeline.cache.tables import PRODUCTS, USERS, Shelf, Table
from airnode.pipeline.seed.people import product_rows, user_rows
from airnode.store.postgres import Postgres

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

_CHUNK = 5000
#: Any number that nobody else uses; two that seed at once do it chunk by chunk in turn.
_LOCK_KEY = 0x73656564
_ALONE = "SELECT pg_advisory_xact_lock($1)"
# Those who insert wait for this; so nobody takes an id between the look at the sequence and its leap.
_STILL = "LOCK TABLE pipeline.{table} IN SHARE ROW EXCLUSIVE MODE"
_LEAP = """
SELECT setval(s.name, greatest($1::bigint, (SELECT last_value FROM pipeline.{table}_{id}_seq)))
FROM (SELECT pg_get_serial_sequence('pipeline.{table}', '{id}') AS name) s
"""
_TAKEN = "SELECT {id} FROM pipeline.{table} WHERE {id} BETWEEN $1 AND $2"
_COUNT = "SELECT count(*) FROM pipeline.{table}"
_COUNT_BELOW = "SELECT count(*) FROM pipeline.{table} WHERE {id} BETWEEN 1 AND $1"

#: Told of each step: the table, how many of its ids are done, how many there are to do.
Progress = Callable[[Table, int, int], None]


@dataclass(frozen=True, slots=True)
class Filled:
    """One table. ``there``: all its rows now."""

    added: int
    there: int
    took_s: float

    @property
    def rows_per_s(self) -> float:
        """0 where nothing was added."""
        return self.added / self.took_s if self.added and self.took_s else 0.0


async def seed(
    postgres: Postgres, users: int, products: int, *, number: int = 1, progress: Progress | None = None
) -> dict[Table, Filled]:
    """See that the ids 1 to ``users`` and 1 to ``products`` have a row each; rows that are there stay as they are.

    Args:
        number: other numbers make other rows.

    Raises:
        Unavailable: the database went away; what was written stays, and another run does the rest.
        Conflict: a row of somebody else's stands in the way.
    """
    tell = progress or (lambda *_: None)
    try:
        return {
            "users": await _fill(postgres, USERS, users, lambda ids: user_rows(number, ids), tell),
            "products": await _fill(postgres, PRODUCTS, products, lambda ids: product_rows(number, ids), tell),
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
    shelf: Shelf[Any],
    wanted: int,
    rows: Callable[[Iterable[int]], Iterator[tuple[object, ...]]],
    tell: Progress,
) -> Filled:
    began_s, added = asyncio.get_running_loop().time(), 0
    names = {"table": shelf.table, "id": shelf.id_column}
    if await postgres.fetchval(_COUNT_BELOW.format(**names), wanted) < wanted:
        await _reserve(postgres, names, wanted)
        for first in range(1, wanted + 1, _CHUNK):
            last = min(first + _CHUNK - 1, wanted)
            async with postgres.transaction() as connection:
                added += await _add(connection, shelf, names, first, last, rows)
            tell(shelf.table, last, wanted)
    tell(shelf.table, wanted, wanted)
    took_s = asyncio.get_running_loop().time() - began_s
    return Filled(added, await postgres.fetchval(_COUNT.format(**names)), took_s)


async def _reserve(postgres: Postgres, names: dict[str, str], wanted: int) -> None:
    """From here on, rows that others insert get higher ids."""
    async with postgres.transaction() as connection:
        await connection.execute(_STILL.format(**names))
        await connection.execute(_LEAP.format(**names), wanted)


async def _add(
    connection: "PoolConnectionProxy[Any]",
    shelf: Shelf[Any],
    names: dict[str, str],
    first: int,
    last: int,
    rows: Callable[[Iterable[int]], Iterator[tuple[object, ...]]],
) -> int:
    """Add what is missing between two ids; returns how many rows that were."""
    await connection.execute(_ALONE, _LOCK_KEY)
    taken = {row[0] for row in await connection.fetch(_TAKEN.format(**names), first, last)}
    missing = [row_id for row_id in range(first, last + 1) if row_id not in taken]
    if missing:
        await connection.copy_records_to_table(
            shelf.table, schema_name="pipeline", columns=shelf.kind.__struct_fields__, records=rows(missing)
        )
    return len(missing)
