"""New customers, one after another: each row and its ``user.registered`` event come both or not at all."""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable

import structlog

from airnode.errors import Conflict, Unavailable
from airnode.kernel.backoff import Backoff
from airnode.pipeline.events import UserRegistered, stamp
from airnode.pipeline.produce import outbox
from airnode.pipeline.produce.pace import Pace
from airnode.pipeline.seed.people import person
from airnode.store.postgres import Postgres
from airnode.store.postgres_errors import Refused, in_our_words

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


async def register(postgres: Postgres, count: int, dice: random.Random) -> list[int]:
    """Add customers and their events in one transaction; returns their ids.

    Raises:
        Unavailable: not now. Conflict: somebody has set the table rules that made-up customers do not keep.
    """
    try:
        with in_our_words("The database takes no customers now."):
            return await _register(postgres, count, dice)
    except Refused as error:
        raise Conflict(f"The table of users refuses a customer: {error}.") from error


async def _register(postgres: Postgres, count: int, dice: random.Random) -> list[int]:
    people = [person(dice.getrandbits(50)) for _ in range(count)]
    emails = [f"{local}.{secrets.token_hex(6)}@example.com" for _, local, _ in people]
    async with postgres.transaction() as connection:
        rows = await connection.fetch(_INSERT, [each[0] for each in people], emails, [each[2] for each in people])
        events = []
        for row in rows:
            event_id, occurred_at = stamp()
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
    postgres: Postgres, rate_per_s: float, dice: random.Random, tell: Callable[[int, str], Awaitable[None]]
) -> None:
    """Register customers until it is cancelled.

    Args:
        rate_per_s: 0: as fast as they can be written.
        tell: called after each group with how many there are so far, and why it does not go on, if it does not.
    """
    loop = asyncio.get_running_loop()
    pace, backoff, total = Pace(rate_per_s), Backoff(), 0
    due = 0
    while True:
        due = due or pace.take(loop.time(), _MOST)
        try:
            if due:
                total += len(await register(postgres, due, dice))
        except Unavailable as error:
            log.info("customers_not_registered", error=error.detail, debug=error.debug)
            await tell(total, error.detail)
            await backoff.pause()
            continue
        due = 0
        backoff.reset()
        await tell(total, "")
        await asyncio.sleep(pace.wait_s(loop.time()))


async def waiting(postgres: Postgres) -> int:
    """Events that wait for a producer to publish them; counted up to :data:`WAITING_MOST`."""
    return int(await postgres.fetchval(_WAITING, WAITING_MOST))
