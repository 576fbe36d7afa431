"""Places that are reserved for viewers who have not connected yet: in Redis, so that all masters count the same.

A session has at most one reservation; it ends when the viewer connects to a slave, or when its time is over. The
counts per node are kept apart, so that masters read one number per node.
"""

from collections.abc import Sequence

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable

# Keys of all scripts: values, ends, counts.
_FREE = """
local function free(session)
    local node = redis.call('HGET', KEYS[1], session)
    redis.call('HDEL', KEYS[1], session)
    redis.call('ZREM', KEYS[2], session)
    if node and redis.call('HINCRBY', KEYS[3], node, -1) <= 0 then redis.call('HDEL', KEYS[3], node) end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, session in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)) do free(session) end
"""
# Arguments: session, node, milliseconds, places that are free there.
_RESERVE = (
    _FREE
    + """
local count = tonumber(redis.call('HGET', KEYS[3], ARGV[2]) or '0')
if count >= tonumber(ARGV[4]) then return {0, count} end
free(ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], 2 * ARGV[3]) end
return {1, redis.call('HINCRBY', KEYS[3], ARGV[2], 1)}
"""
)
# Arguments: node, sessions.
_RELEASE = (
    _FREE
    + """
for i = 2, #ARGV do free(ARGV[i]) end
return tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or '0')
"""
)
_COUNTS = _FREE + "return redis.call('HGETALL', KEYS[3])"


class Reservations:
    """Reserves and releases places. All methods raise ``Unavailable`` (503) when Redis does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._keys = tuple(keys.places(part) for part in ("values", "ends", "counts"))

    async def reserve(self, session: str, node_id: str, ttl_s: float, free: int) -> tuple[bool, int]:
        """Reserve a place on ``node_id`` for ``ttl_s`` if fewer than ``free`` are reserved.

        Return (whether it was reserved, how many are reserved there now).
        """
        with unavailable():
            granted, count = await self._bus.client.eval(
                _RESERVE, 3, *self._keys, session, node_id, round(ttl_s * 1000), free
            )
        return bool(granted), int(count)

    async def release(self, node_id: str, sessions: Sequence[str]) -> int:
        """End the reservations of viewers who connected. Return how many are left on ``node_id``."""
        with unavailable():
            return int(await self._bus.client.eval(_RELEASE, 3, *self._keys, node_id, *sessions))

    async def counts(self) -> dict[str, int]:
        """Return {node_id: reserved places}, without nodes that have none."""
        with unavailable():
            flat = await self._bus.client.eval(_COUNTS, 3, *self._keys)
        return {name.decode(): int(count) for name, count in zip(flat[::2], flat[1::2], strict=True)}
