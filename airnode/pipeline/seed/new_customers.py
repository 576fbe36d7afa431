"""Registers new customers: each row and its ``user.registered`` event are stored both or not at all."""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable

import structlog

from airnode.errors import Conflict, Unavailable
from airnode.kernel.backoff import Backoff
from airnode.pipeline.event import new_id_and_time
from airnode.pipeline.events import UserRegistered
from airnode.pipeline.produce import outbox
from airnode.pipeline.produce.pace import Pace
from airnode.pipeline.seed.people import person
from airnode.store.postgres import Postgres
from airnode.store.postgres_errors import StatementRefused, translated

log = structlog.get_logger(__name__)

_MOST = 500
_INSERT = """
INSERT INTO pipeline.users (name, email, locale)
SELECT name, email, locale
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS new (name, email, locale, nth)
ORDER BY nth
RETURNING user_id, name, email
"""
_WAITING = "SELECT count(*) FROM (SELECT 1 FROM pipeline.outbox LIMIT $1) AS few"
WAITING_MOST = 100_000


async def register(postgres: Postgres, count: int, rng: random.Random) -> list[int]:
    """Insert customers and their events in one transaction and return their ids.

    Raises:
        Unavailable: the database does not answer.
        Conflict: the table has constraints that generated customers violate.
    """
    try:
        with translated("The database takes no customers now."):
            return await _register(postgres, count, rng)
    except StatementRefused as error:
        raise Conflict(f"The table of users refuses a customer: {error}.") from error


async def _register(postgres: Postgres, count: int, rng: random.Random) -> list[int]:
    people = [person(rng.getrandbits(50)) for _ in range(count)]
    emails = [f"{local}.{secrets.token_hex(6)}@example.com" for _, local, _ in people]
    async with postgres.transaction() as connection:
        rows = await connection.fetch(_INSERT, [each[0] for each in people], emails, [each[2] for each in people])
        events = []
        for row in rows:
            event_id, occurred_at = new_id_and_time()
            events.append(
                UserRegistered(
                    event_id=event_id,
                    occurred_at=occurred_at,
                    key=str(row["user_id"]),
                    user_id=row["user_id"],
                    name=row["name"],
                    email=row["email"],
                )
            )
        await outbox.add(connection, *events)
    return [row["user_id"] for row in rows]


async def follow(
    postgres: Postgres, rate_per_s: float, rng: random.Random, report: Callable[[int, str], Awaitable[None]]
) -> None:
    """Register customers until cancelled.

    Args:
        rate_per_s: customers per second; 0: as fast as possible.
        report: called after each group with the number of registered customers, and the reason of a failure or "".
    """
    loop = asyncio.get_running_loop()
    pace, backoff, total = Pace(rate_per_s), Backoff(), 0
    due = 0
    while True:
        due = due or pace.take(loop.time(), _MOST)
        try:
            if due:
                total += len(await register(postgres, due, rng))
        except Unavailable as error:
            log.info("customers_not_registered", error=error.detail, debug=error.debug)
            await report(total, error.detail)
            await backoff.pause()
            continue
        due = 0
        backoff.reset()
        await report(total, "")
        await asyncio.sleep(pace.wait_s(loop.time()))


async def count_waiting(postgres: Postgres) -> int:
    """Return the number of events that no producer has published yet, at most :data:`WAITING_MOST`."""
    return int(await postgres.fetchval(_WAITING, WAITING_MOST))
