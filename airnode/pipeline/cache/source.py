"""Reads the candidates of a refresh from the database: one statement per table, on a connection that is kept."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from airnode.errors import Unavailable
from airnode.pipeline.cache.tables import CachedTable
from airnode.store.postgres import Postgres
from airnode.store.postgres_errors import StatementRefused, translated

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

_NOT_NOW = "The database cannot be read now; the cache stays as it is."
_ACQUIRE_S, _FETCH_S = 10.0, 10.0

# Arguments: number of newest rows, the cursor, number of old rows. Each part is a backward scan of the primary key.
_CANDIDATES = """
WITH airnode_cache_newest AS MATERIALIZED (
    SELECT {columns} FROM pipeline.{table} ORDER BY {id} DESC LIMIT $1
), edge AS MATERIALIZED (
    SELECT coalesce(min({id}), 9223372036854775807) AS id FROM airnode_cache_newest
), below AS MATERIALIZED (
    SELECT {columns} FROM pipeline.{table}
    WHERE {id} < least($2::bigint, (SELECT id FROM edge)) ORDER BY {id} DESC LIMIT $3
), above AS MATERIALIZED (
    SELECT {columns} FROM pipeline.{table}
    WHERE {id} < (SELECT id FROM edge) AND {id} >= $2::bigint
    ORDER BY {id} DESC LIMIT $3 - (SELECT count(*) FROM below)
)
SELECT 0 AS part, * FROM airnode_cache_newest
UNION ALL SELECT 1, * FROM below
UNION ALL SELECT 2, * FROM above
"""
_COUNTED = """
SELECT sum(calls)::bigint FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND userid = (SELECT oid FROM pg_roles WHERE rolname = current_user)
  AND query LIKE '%airnode_cache_newest%' AND query NOT LIKE '%pg_stat_statements%'
"""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows by part, each with the highest id first; see :func:`airnode.pipeline.cache.aging.next_rotation`."""

    newest: Sequence[asyncpg.Record]
    below: Sequence[asyncpg.Record]
    above: Sequence[asyncpg.Record]


class CacheSource:
    """Reads candidates. One connection is kept: returning it to the pool would send more statements.

    All methods raise ``Unavailable`` if the database does not answer, or if its schema does not match.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._connection: PoolConnectionProxy[Any] | None = None
        #: Number of statements sent for candidates.
        self.sent = 0
        self._counts = True

    async def candidates(self, cached: CachedTable[Any], newest: int, cursor: int, old: int) -> Candidates:
        """Return the newest rows and ``old`` old rows, those below the cursor first. Sends one statement."""
        statement = _CANDIDATES.format(columns=cached.columns, table=cached.name, id=cached.id_column)
        self.sent += 1
        rows = await self._fetch(statement, newest, cursor, old)
        rows.sort(key=lambda row: (row["part"], -row[1]))
        newest_, below, above = ([row for row in rows if row["part"] == part] for part in range(3))
        return Candidates(newest_, below, above)

    async def counted(self) -> int | None:
        """Return the number of candidate statements that the database counted; None if it does not count."""
        if not self._counts:
            return None
        try:
            rows = await self._fetch(_COUNTED)
        except Unavailable:
            self._counts = False
            return None
        return int(rows[0][0] or 0)

    async def close(self) -> None:
        """Release the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(
                asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError
            ):
                await self._postgres.pool.release(connection, timeout=2)

    async def _fetch(self, statement: str, *values: int) -> list[asyncpg.Record]:
        try:
            with translated(_NOT_NOW):
                if self._connection is None:
                    self._connection = await self._postgres.pool.acquire(timeout=_ACQUIRE_S)
                return list(await self._connection.fetch(statement, *values, timeout=_FETCH_S))
        except StatementRefused as error:
            await self.close()
            raise Unavailable(_NOT_NOW, debug=str(error)) from error
        except BaseException:
            await self.close()
            raise
