"""What the server's own refusals become."""

import asyncpg
import pytest

from airnode.config.sections.postgres import PostgresSection
from airnode.errors import Unavailable
from airnode.store.postgres import Postgres


class _Refusing:
    """Stands in for the pool: PostgreSQL cannot be brought to each of these states in a test."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def execute(self, statement: str, *values: object) -> None:
        raise self._error


@pytest.mark.parametrize(
    "refusal",
    [
        asyncpg.AdminShutdownError,
        asyncpg.CrashShutdownError,
        asyncpg.DiskFullError,
        asyncpg.ReadOnlySQLTransactionError,
    ],
)
async def test_a_server_that_stops_or_is_full_does_not_answer(refusal: type[asyncpg.PostgresError]):
    postgres = Postgres(PostgresSection())
    postgres._pool = _Refusing(refusal("not now"))
    with pytest.raises(Unavailable, match="does not answer"):
        await postgres.execute("SELECT 1")


async def test_an_invalid_row_is_the_affair_of_the_caller():
    postgres = Postgres(PostgresSection())
    postgres._pool = _Refusing(asyncpg.UniqueViolationError("twice"))
    with pytest.raises(asyncpg.UniqueViolationError):
        await postgres.execute("SELECT 1")
