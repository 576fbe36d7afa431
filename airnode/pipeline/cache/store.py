"""Writes the cache to Redis: a new hash is filled and then renamed, so that readers never see an incomplete one.

Two workers may act for a moment: a worker that was paused does not know yet that it was replaced. So every write to a
cached table carries the epoch of its term, and is refused if a later epoch has begun.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airnode.bus.client import Bus, unavailable
from airnode.pipeline import keys
from airnode.pipeline.cache.aging import RotationState
from airnode.pipeline.cache.tables import TableName

_BATCH = 500
#: An incomplete hash expires after this.
_UNFINISHED_TTL_S = 600

# Key: state. Argument: epoch. Returns the rotation state, or false if a later epoch was seen.
_BEGIN = """
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') > tonumber(ARGV[1]) then
    return false
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
return redis.call('HGET', KEYS[1], 'rounds') or ''
"""
# Keys, in one slot: state, new hash, cache. Arguments: epoch, rotation state, rows. Returns the generation, or 0.
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


class LeaderReplaced(Exception):
    """A worker with a later epoch has taken over."""


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """The result of a refresh, written to ``cache:stats`` for ``airnode cache-monitor`` and the admin page.

    Attributes:
        rows: {table: number of rows in the cache}.
        oldest_s: {table: longest time that a row was not cached, seconds}.
        statements: number of statements sent to the database.
        worker: name of the node.
    """

    rows: Mapping[TableName, int]
    oldest_s: Mapping[TableName, float]
    statements: int
    took_s: float
    worker: str
    interval_s: float
    batch_size: int


class CacheStore:
    """Writes the cache. All methods raise ``Unavailable`` if Redis does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def begin(self, table: TableName, epoch: int) -> RotationState:
        """Refuse earlier epochs from now on, and return the rotation state.

        Raises:
            LeaderReplaced: a later worker has begun.
        """
        with unavailable():
            data = await self._bus.client.eval(_BEGIN, 1, keys.cache_state(table), epoch)
        if data is None:
            raise LeaderReplaced
        return (
            self._bus.decode_value(data, RotationState, keys.cache_state(table)) if data else None
        ) or RotationState()

    async def replace(self, table: TableName, epoch: int, rows: Mapping[str, bytes], rounds: bytes) -> int:
        """Replace the content of the cache by these rows, {id: JSON}, and return its generation.

        Raises:
            LeaderReplaced: a later worker has begun; nothing was changed.
        """
        new_key, items = keys.cache_next(table, uuid.uuid4().hex), list(rows.items())
        client = self._bus.client
        with unavailable():
            for start in range(0, len(items), _BATCH):
                async with client.pipeline(transaction=True) as pipeline:
                    pipeline.hset(new_key, mapping=dict(items[start : start + _BATCH]))
                    pipeline.expire(new_key, _UNFINISHED_TTL_S)
                    await pipeline.execute()
            generation = await client.eval(
                _SWAP, 3, keys.cache_state(table), new_key, keys.cache(table), epoch, rounds, len(items)
            )
        if not generation:
            raise LeaderReplaced
        return int(generation)

    async def now_s(self) -> float:
        """Return the time of Redis, unix seconds: one clock for all workers."""
        with unavailable():
            seconds, micros = await self._bus.client.time()
        return float(seconds) + micros / 1e6

    async def write_stats(self, done: RefreshResult) -> None:
        """Write the statistics that monitors show. ``refreshed_at`` is the time of Redis, unix seconds."""
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
