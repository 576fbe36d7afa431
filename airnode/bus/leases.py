"""Leases (values that expire) and claims (values with an epoch), by the clock of the Redis server."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from redis.asyncio.client import Pipeline

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.bus.envelope import MAX_BYTES, encode
from airnode.errors import InvalidInput, TooLarge

T = TypeVar("T", bound=msgspec.Struct)

#: Largest epoch. Lua's numbers are doubles, which represent integers exactly up to this value.
MAX_EPOCH = 2**53 - 1

# A group is a hash of values and a sorted set of the leases' ends. A read touches only the keys of that group. Every
# script first removes expired leases. Both keys expire with the last lease, so a group that nobody reads expires too.
_SWEEP = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)
for _, member in ipairs(over) do
    redis.call('HDEL', KEYS[1], member)
    redis.call('ZREM', KEYS[2], member)
end
"""
#: Keys: values, ends. Arguments: member, value, milliseconds.
PUT = (
    _SWEEP
    + """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2]
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', last))
redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', last))
"""
)
_READ = _SWEEP + "return redis.call('HGETALL', KEYS[1])"
_GET = _SWEEP + "return redis.call('HGET', KEYS[1], ARGV[1])"
_DROP = _SWEEP + "redis.call('ZREM', KEYS[2], ARGV[1]) return redis.call('HDEL', KEYS[1], ARGV[1])"

_CLAIM_FIELDS = ["owner", "epoch", "value"]
_CLAIM = """
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '-1')
local owner = redis.call('HGET', KEYS[1], 'owner')
local wanted = tonumber(ARGV[2])
local granted = 0
if wanted > epoch or (wanted == epoch and owner == ARGV[1]) then
    redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', ARGV[2], 'value', ARGV[3])
    granted = 1
end
return {granted, redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'value')}
"""
# The epoch is kept, so that a late claim with an old epoch is always refused.
_RELEASE = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[2] then
    return 0
end
redis.call('HSET', KEYS[1], 'owner', '', 'value', '')
return 1
"""


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    """The owner of a key. After a release ``owner`` is empty and ``value`` is None. The epoch never decreases."""

    owner: str
    epoch: int
    value: T | None


class Leases:
    """Leases and claims on the bus. All methods raise ``Unavailable`` (503) when the server does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def put_lease(self, group: str, member: str, value: msgspec.Struct, ttl_s: float) -> None:
        """Write or renew the lease of ``member``. It expires ``ttl_s`` (1 ms or more) after the last renewal.

        Raises:
            TooLarge: the value is above 256 KiB.
        """
        await self._run_script(PUT, group, member, encode_value(value), max(1, round(ttl_s * 1000)))

    async def report(self, group: str, member: str, value: msgspec.Struct, ttl_s: float) -> None:
        """Renew a lease, and publish its value on the channel of the group's name, in one round trip.

        A :class:`airnode.bus.leased_view.LeasedView` reads both.

        Raises:
            TooLarge: the value is above 256 KiB.
        """
        data = encode(value)
        with unavailable():
            pipeline = self._bus.client.pipeline(transaction=False)
            self._put(pipeline, group, member, value, ttl_s)
            pipeline.publish(keys.channel(group), data)
            await pipeline.execute()
        self._bus.count_published()

    async def renew_and_read_claim(self, group: str, member: str, value: T, ttl_s: float) -> Claim[T] | None:
        """Renew a lease, and return the claim on the key ``group``, in one round trip; None: it was never claimed."""
        with unavailable():
            pipeline = self._bus.client.pipeline(transaction=False)
            self._put(pipeline, group, member, value, ttl_s)
            pipeline.hmget(keys.claim(group), _CLAIM_FIELDS)
            _, fields = await pipeline.execute()
        return None if fields[1] is None else self._to_claim(fields, type(value), group)

    async def read_leases(self, group: str, kind: type[T]) -> dict[str, T]:
        """Return the leases of a group, {member: value}, without values that are not of this type."""
        flat: list[bytes] = await self._run_script(_READ, group)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        found = {member.decode(): self._bus.decode_value(data, kind, f"lease {group}") for member, data in pairs}
        return {member: value for member, value in found.items() if value is not None}

    async def read_lease(self, group: str, member: str, kind: type[T]) -> T | None:
        """Return one lease; None if there is none, or if it is not of this type."""
        data: bytes | None = await self._run_script(_GET, group, member)
        return None if data is None else self._bus.decode_value(data, kind, f"lease {group}")

    async def drop_lease(self, group: str, member: str) -> bool:
        """Remove a lease; return False if there was none."""
        return bool(await self._run_script(_DROP, group, member))

    async def claim(self, key: str, owner: str, epoch: int, value: T) -> tuple[bool, Claim[T]]:
        """Claim ``key`` for ``owner``, or renew the claim; return whether it was granted, and the current claim.

        It is granted if ``epoch`` is higher than the current one, or if it is the same and ``owner`` is the current
        owner. So the first of two claims with the same epoch wins, and a late claim with a lower epoch is refused.

        Raises:
            InvalidInput: no owner, or an epoch outside 0 to 2**53 - 1.
            TooLarge: the value is above 256 KiB.
        """
        if not owner or not 0 <= epoch <= MAX_EPOCH:
            raise InvalidInput(f"A claim needs an owner and an epoch from 0 to {MAX_EPOCH}.")
        with unavailable():
            answer = await self._bus.client.eval(_CLAIM, 1, keys.claim(key), owner, epoch, encode_value(value))
        granted, fields = answer
        return bool(granted), self._to_claim(fields, type(value), key)

    async def read_claim(self, key: str, kind: type[T]) -> Claim[T] | None:
        """Return the claim on ``key``; None if it was never claimed."""
        with unavailable():
            fields: Any = await self._bus.client.hmget(keys.claim(key), _CLAIM_FIELDS)
        return None if fields[1] is None else self._to_claim(fields, kind, key)

    async def release_claim(self, key: str, owner: str, epoch: int) -> bool:
        """Release ``key`` and keep its epoch; return False if it has another owner or epoch."""
        with unavailable():
            return bool(await self._bus.client.eval(_RELEASE, 1, keys.claim(key), owner, epoch))

    def _put(self, pipeline: Pipeline, group: str, member: str, value: msgspec.Struct, ttl_s: float) -> None:
        lease_keys = keys.lease_values(group), keys.lease_ends(group)
        pipeline.eval(PUT, 2, *lease_keys, member, encode_value(value), max(1, round(ttl_s * 1000)))

    async def _run_script(self, script: str, group: str, *arguments: str | bytes | int) -> Any:
        with unavailable():
            return await self._bus.client.eval(script, 2, keys.lease_values(group), keys.lease_ends(group), *arguments)

    def _to_claim(self, fields: list[bytes], kind: type[T], key: str) -> Claim[T]:
        owner, epoch, data = fields
        value = self._bus.decode_value(data, kind, f"claim {key}") if data else None
        return Claim(owner.decode(), int(epoch), value)


def encode_value(value: msgspec.Struct) -> bytes:
    """Return a struct as JSON, to be stored.

    Raises:
        TooLarge: above 256 KiB.
    """
    data = msgspec.json.encode(value)
    if len(data) > MAX_BYTES:
        raise TooLarge(f"A value of {len(data)} bytes is above the limit of {MAX_BYTES}.")
    return data
