"""Deletes what airnode keeps of one person: the rows of class records, and what Redis has of the chat.

What stays: votes of polls as numbers, text in which others name the person, recordings, and for a while the records of
the event log (on Redis until every group has read them; on Kafka as long as its topic keeps records).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.bus.removals import forget_removals
from airnode.store.postgres import Postgres
from airnode.store.postgres_errors import translated

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

#: {what it is: (table, condition)}; $1 is the id of the person.
_TABLES = {
    "attendance": ("classroom.attendance", "user_id = $1"),
    "messages": ("classroom.messages", "user_id = $1"),
    "questions": ("classroom.questions", "user_id = $1"),
    "poll answers": ("classroom.poll_answers", "user_id = $1"),
    "raised hands": ("classroom.hands", "user_id = $1"),
    "dead letters": (
        "pipeline.dead_letters",
        "topic = 'classroom' AND position(convert_to(to_json($1::text)::text, 'UTF8') IN value) > 0",
    ),
    "names": ("users", "user_id = $1"),
    "own ids": ("own_ids", "user_id = $1 OR student_id = $1"),
    "removals": ("removals", "user_id = $1"),
}
_SCAN = 1000
#: Members that are text of people: a message that says "kim" is not about the user kim.
_TEXTS = frozenset({"content", "name", "text", "question", "type", "role"})
#: Keys whose fields, members or values may be about a person.
_STATES = (keys.chat("state", "*"), f"{keys.PREFIX}names:*", keys.chat("here", "*"))
_DELETE_RELAYED = """
local deleted = redis.call('XDEL', KEYS[1], ARGV[1])
redis.call('INCRBY', KEYS[2], deleted)
return deleted
"""


@dataclass(frozen=True, slots=True)
class Traces:
    """How much there is, or was, of a person: {what: how many}."""

    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Return the sum of all counts."""
        return sum(self.counts.values())


async def find_traces(postgres: Postgres, bus: Bus, user_id: str) -> Traces:
    """Count what there is of a person. Raises Unavailable."""
    with translated("The database does not answer."):
        counts = {
            what: await postgres.fetchval(f"SELECT count(*) FROM {table} WHERE {condition}", user_id)  # noqa: S608
            for what, (table, condition) in _TABLES.items()
        }
    return Traces(counts | {"in Redis": await _in_redis(bus, user_id, delete=False)})


async def forget(postgres: Postgres, bus: Bus, user_id: str) -> Traces:
    """Delete what there is of a person, and return how much it was. Raises Unavailable; call it again then.

    Redis comes first, so that nothing lands in the database after it was deleted there.
    """
    in_redis = await _in_redis(bus, user_id, delete=True)
    counts = {}
    with translated("The database does not answer."):
        async with postgres.transaction() as connection:
            for what, (table, condition) in _TABLES.items():
                counts[what] = await _delete(connection, table, condition, user_id)
    return Traces(counts | {"in Redis": in_redis})


async def _delete(connection: "PoolConnectionProxy[Any]", table: str, condition: str, user_id: str) -> int:
    statement = f"WITH gone AS (DELETE FROM {table} WHERE {condition} RETURNING 1) SELECT count(*) FROM gone"  # noqa: S608
    return int(await connection.fetchval(statement, user_id))


async def _in_redis(bus: Bus, user_id: str, *, delete: bool) -> int:
    """Return how many entries and values of Redis are about a person, and delete them if it is wanted."""
    count = await forget_removals(bus, user_id, delete=delete)
    with unavailable():
        async for key in bus.client.scan_iter(keys.chat("log", "*"), count=_SCAN):
            count += await _in_stream(bus, key, user_id, delete=delete)
        count += await _in_stream(bus, keys.classroom_outbox().encode(), user_id, delete=delete)
        for pattern in _STATES:
            async for key in bus.client.scan_iter(pattern, count=_SCAN):
                count += await _in_state(bus, key, user_id, delete=delete)
    return count


async def _in_stream(bus: Bus, key: bytes, user_id: str, *, delete: bool) -> int:
    count, last = 0, "-"
    while entries := await _range(bus, key, last):
        for entry_id, fields in entries:
            if any(_is_about(value, user_id) for value in fields.values()):
                count += 1
                if not delete:
                    continue
                if key.decode() == keys.classroom_outbox():
                    await bus.client.eval(_DELETE_RELAYED, 2, key, keys.classroom_relayed(), entry_id)
                else:
                    await bus.client.xdel(key, entry_id)
        last = f"({entries[-1][0].decode()}"
    return count


async def _range(bus: Bus, key: bytes, first: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    found: Any = await bus.client.xrange(key, min=first, count=_SCAN)
    return list(found)


async def _in_state(bus: Bus, key: bytes, user_id: str, *, delete: bool) -> int:
    """Count, and delete if it is wanted, the fields of a hash or the members of a set that are about a person."""
    client, kind = bus.client, await bus.client.type(key)
    if kind == b"hash":
        pairs: Any = await client.hgetall(key)
        found = [field for field, value in pairs.items() if _is_about(field, user_id) or _is_about(value, user_id)]
        remove = client.hdel
    elif kind in (b"set", b"zset"):
        members: Any = await (client.smembers(key) if kind == b"set" else client.zrange(key, 0, -1))
        found = [member for member in members if _is_about(member, user_id)]
        remove = client.srem if kind == b"set" else client.zrem
    else:
        return 0
    if found and delete:
        await remove(key, *found)
    return len(found)


def _is_about(value: bytes, user_id: str) -> bool:
    """Return whether a value is a person's id, or JSON that names the person as its user."""
    if value == user_id.encode():
        return True
    if not value.startswith((b"{", b'"')):
        return False
    try:  # some scripts keep the inside of an object
        return _names(json.loads(value if value.startswith(b"{") else b"{" + value + b"}"), user_id)
    except (ValueError, RecursionError):
        return False


def _is_text(name: str, value: object) -> bool:
    return name in _TEXTS and isinstance(value, str)


def _names(value: object, user_id: str) -> bool:
    if isinstance(value, dict):
        return any(_names(each, user_id) for name, each in value.items() if not _is_text(name, each))
    if isinstance(value, str):
        return value == user_id
    return isinstance(value, list) and any(_names(each, user_id) for each in value)
