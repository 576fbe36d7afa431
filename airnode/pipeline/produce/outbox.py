"""The transactional outbox: the event of a database change is written in the same transaction, so that the row and its
event are stored both or not at all. A relay publishes it later (:mod:`airnode.pipeline.produce.outbox_relay`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airnode.pipeline.events import AnyEvent
from airnode.store.eventlog.log import Record

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

#: The channel of NOTIFY: a relay wakes up when the transaction commits.
CHANNEL = "airnode_outbox"

_ADD = """
INSERT INTO pipeline.outbox (event_id, topic, key, value)
SELECT event_id, topic, key, value
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS new (event_id, topic, key, value, nth)
ORDER BY nth
"""
#: Advisory lock of the relay. PostgreSQL releases it when the transaction ends, also if the process dies.
_LOCK_KEY = 0x6F7574626F78
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock($1)"
_OLDEST = "SELECT position, topic, key, value FROM pipeline.outbox ORDER BY position LIMIT $1"
_DELETE = "DELETE FROM pipeline.outbox WHERE position = ANY($1::bigint[])"


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """Events of the outbox, the oldest first."""

    positions: Sequence[int]
    records: Sequence[Record]


async def add(connection: "PoolConnectionProxy[Any]", *events: AnyEvent) -> None:
    """Write events into the outbox. Call it inside the transaction of the change, after the change.

    The change locks its rows. So if two transactions change the same row, the second one gets the later position, and
    the events of one key stay in order.
    """
    if not events:
        return
    records = [event.record() for event in events]
    await connection.execute(
        _ADD,
        [event.event_id for event in events],
        [record.topic for record in records],
        [record.key for record in records],
        [record.value for record in records],
    )
    await connection.execute(f"NOTIFY {CHANNEL}")


async def take(connection: "PoolConnectionProxy[Any]", most: int) -> OutboxBatch | None:
    """Lock and return the oldest events; None if another relay holds the lock."""
    if not await connection.fetchval(_TRY_LOCK, _LOCK_KEY):
        return None
    rows = await connection.fetch(_OLDEST, most)
    return OutboxBatch(
        [row["position"] for row in rows], [Record(row["topic"], row["key"], bytes(row["value"])) for row in rows]
    )


async def delete(connection: "PoolConnectionProxy[Any]", positions: Sequence[int]) -> None:
    """Delete published events."""
    await connection.execute(_DELETE, positions)
