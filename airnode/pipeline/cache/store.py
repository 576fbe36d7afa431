"""The cache in the Redis, as its worker writes it: built beside and swapped in, so that no reader sees half of it.

Two workers may act for a moment, as one that was paused does not know what it missed. All that they write carries the
epoch of their time in office, and a table's cache takes nothing from an earlier one than it has seen.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.pipeline.cache.aging import Rounds
from airnode.pipeline.cache.tables import Table

_BATCH = 500
#: A half-built cache that nobody finishes goes after this.
_UNFINISHED_TTL_S = 600

# Key: state. Argument: epoch. Returns the rounds, or nothing to whom a later epoch has replaced.
_BEGIN = """
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') > tonumber(ARGV[1]) then
    return false
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
return redis.call('HGET', KEYS[1], 'rounds') or ''
"""
# Keys: state, what was built, the cache; in one slot. Arguments: epoch, rounds, rows. Returns the generation, or 0.
_SWAP = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
    redis.call('UNLINK', KEYS[2])
    return 0
end
if ARGV[3] == '0' then
    redis.call('UNLINK', KEYS[3])
else
    redis.call('PERSIST', KEYS[2])
    redis.call('RENAME', KEYS[2], KEYS[3])
end
redis.call('HSET', KEYS[1], 'rounds', ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'generation', 1)
"""


class Replaced(Exception):
    """A later worker has taken over."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did, told to ``cache:stats`` for ``airnode cache-monitor`` and the admin page.

    Attributes:
        rows: {table: rows in the cache}. oldest_s: {table: no row has been out of the cache for longer, seconds}.
        statements: sent to the database.
        worker: name of the node.
    """

    rows: Mapping[Table, int]
    oldest_s: Mapping[Table, float]
    statements: int
    took_s: float
    worker: str
    interval_s: float
    batch_size: int


class CacheStore:
    """Writes the cache. All methods raise ``Unavailable`` when the Redis does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def begin(self, table: Table, epoch: int) -> Rounds:
        """Shut out earlier epochs; returns where the turns are. Raises Replaced when there is a later one."""
        with unavailable():
            data = await self._bus.client.eval(_BEGIN, 1, keys.cache_state(table), epoch)
        if data is None:
            raise Replaced
        return (self._bus.decode_value(data, Rounds, keys.cache_state(table)) if data else None) or Rounds()

    async def replace(self, table: Table, epoch: int, rows: Mapping[str, bytes], rounds: bytes) -> int:
        """Put exactly these rows, {id: JSON}, in place of the cache; returns its generation.

        Raises:
            Replaced: a later worker has begun; nothing is changed.
        """
        beside, items = keys.cache_next(table, uuid.uuid4().hex), list(rows.items())
        client = self._bus.client
        with unavailable():
            for start in range(0, len(items), _BATCH):
                async with client.pipeline(transaction=True) as pipeline:
                    pipeline.hset(beside, mapping=dict(items[start : start + _BATCH]))
                    pipeline.expire(beside, _UNFINISHED_TTL_S)
                    await pipeline.execute()
            generation = await client.eval(
                _SWAP, 3, keys.cache_state(table), beside, keys.cache(table), epoch, rounds, len(items)
            )
        if not generation:
            raise Replaced
        return int(generation)

    async def now_s(self) -> float:
        """The Redis's clock, unix seconds: one clock for all workers."""
        with unavailable():
            seconds, micros = await self._bus.client.time()
        return float(seconds) + micros / 1e6

    async def tell(self, done: Refreshed) -> None:
        """Write what monitors show. ``refreshed_at`` is on the Redis's clock, unix seconds."""
        fields: dict[Any, Any] = {
            "worker": done.worker,
            "interval_s": done.interval_s,
            "batch_size": done.batch_size,
            "refresh_ms": round(done.took_s * 1000, 2),
            "statements": done.statements,
        }
        for table, count in done.rows.items():
            fields[table] = count
            fields[f"{table}_oldest_uncached_s"] = round(done.oldest_s[table], 3)
        fields["refreshed_at"] = round(await self.now_s(), 3)
        with unavailable():
            async with self._bus.client.pipeline(transaction=True) as pipeline:
                pipeline.hset(keys.cache_stats(), mapping=fields)
                pipeline.hincrby(keys.cache_stats(), "swaps", int(any(done.rows.values())))
                await pipeline.execute()
