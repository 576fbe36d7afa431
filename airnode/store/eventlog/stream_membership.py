"""The members of a group on Redis Streams, and the partitions that each of them owns.

Both are stored in Redis, and leases end by the clock of the server. Every member computes the same assignment from the
same data, so no leader is needed.
"""

import asyncio
import os
import socket
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from airnode.bus.client import Bus, unavailable
from airnode.store.eventlog.log import Partition

# Keys, all in one slot of a Redis Cluster: members (sorted set {member: end of its lease, ms}), topics (hash {member:
# topics}), owners (hash {partition: member}). Every script first removes members whose lease has ended. It also removes
# members whose lease is longer than any lease can be (eventlog.session_timeout_s): then the server's clock was set
# back, and they may be dead.
_SWEEP = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function drop(members)
    for _, member in ipairs(members) do
        redis.call('ZREM', KEYS[1], member)
        redis.call('HDEL', KEYS[2], member)
        local owners = redis.call('HGETALL', KEYS[3])
        for i = 1, #owners, 2 do
            if owners[i + 1] == member then redis.call('HDEL', KEYS[3], owners[i]) end
        end
    end
end
drop(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now))
drop(redis.call('ZRANGEBYSCORE', KEYS[1], now + 310000, '+inf'))
"""
#: Arguments: member, its topics, lease in ms. Returns whether it was a member before (0 or 1), topics, owners.
_RENEW = (
    _SWEEP
    + """
local there = redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return {there, redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3])}
"""
)
#: Arguments: member, partitions. Returns those that the member owns now.
_TAKE = (
    _SWEEP
    + """
local taken = {}
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return taken end
for i = 2, #ARGV do
    redis.call('HSETNX', KEYS[3], ARGV[i], ARGV[1])
    if redis.call('HGET', KEYS[3], ARGV[i]) == ARGV[1] then table.insert(taken, ARGV[i]) end
end
return taken
"""
)
#: Arguments: member, partitions.
_GIVE_BACK = """
for i = 2, #ARGV do
    if redis.call('HGET', KEYS[3], ARGV[i]) == ARGV[1] then redis.call('HDEL', KEYS[3], ARGV[i]) end
end
"""
#: Arguments: member, partitions that it owned.
_LEAVE = _GIVE_BACK + "redis.call('ZREM', KEYS[1], ARGV[1]) redis.call('HDEL', KEYS[2], ARGV[1])"

#: Returns the number of members.
_COUNT = _SWEEP + "return redis.call('ZCARD', KEYS[1])"


class GroupMembership:
    """The membership of this process in one group. All methods raise ``Unavailable`` while Redis does not answer."""

    def __init__(self, bus: Bus, group: str, topics: Sequence[str], session_s: float) -> None:
        self._bus = bus
        self._keys = _keys(group)
        self._topics = ",".join(topics)
        self._session_ms = round(session_s * 1000)
        #: The name of this member, also as a consumer of the streams' consumer groups.
        self.member = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        #: As of the last renewal: {member: topics that it reads}, {partition: member that owns it}.
        self.members: Mapping[str, Sequence[str]] = {}
        self.owners: Mapping[Partition, str] = {}
        #: Loop time when the last successful renewal was sent.
        self.renewed_s = float("-inf")

    @property
    def joined(self) -> bool:
        """Return whether this member has joined and not left."""
        return bool(self.members)

    async def renew(self) -> bool:
        """Join, or renew the lease, and read the group; return False if this process was no member before."""
        sent_s = asyncio.get_running_loop().time()
        there, topics, owners = await self._run_script(_RENEW, self.member, self._topics, self._session_ms)
        self.renewed_s = sent_s
        self.members = {member.decode(): names.decode().split(",") for member, names in _pairs(topics)}
        self.owners = {_to_partition(name): member.decode() for name, member in _pairs(owners)}
        return bool(there)

    async def take(self, partitions: Iterable[Partition]) -> list[Partition]:
        """Become the owner of partitions that have none; return those that this member owns now."""
        names = await self._run_script(_TAKE, self.member, *map(_to_name, partitions))
        return [_to_partition(name) for name in names]

    async def give_back(self, partitions: Iterable[Partition]) -> None:
        """End the ownership of partitions."""
        await self._run_script(_GIVE_BACK, self.member, *map(_to_name, partitions))

    async def leave(self, owned: Iterable[Partition]) -> None:
        """Leave the group, and end the ownership of partitions."""
        self.members = {}
        await self._run_script(_LEAVE, self.member, *map(_to_name, owned))

    async def _run_script(self, script: str, *arguments: str | int) -> Any:
        with unavailable():
            return await self._bus.client.eval(script, 3, *self._keys, *arguments)


async def count_members(bus: Bus, group: str) -> int:
    """Return the number of members of a group. Raises Unavailable."""
    with unavailable():
        return int(await bus.client.eval(_COUNT, 3, *_keys(group)))


def assign_partitions(
    partitions: Iterable[Partition], members: Mapping[str, Collection[str]], owners: Mapping[Partition, str]
) -> dict[Partition, str]:
    """Return the assignment, {partition: member}. A partition is assigned to a member that reads its topic.

    A partition stays with its owner as long as the shares are even: no member has two partitions more than another
    member that could take one of them.

    Args:
        members: {member: topics that it reads}.
        owners: the current assignment, {partition: member}; it may contain members that have left.
    """
    readers = {part: sorted(m for m, topics in members.items() if part.topic in topics) for part in sorted(partitions)}
    owned: dict[str, list[Partition]] = {member: [] for member in members}
    for part, able in readers.items():
        if (owner := owners.get(part, "")) in able:
            owned[owner].append(part)
    kept = {part for parts in owned.values() for part in parts}
    for part, able in readers.items():
        if able and part not in kept:
            owned[min(able, key=lambda member: (len(owned[member]), member))].append(part)
    while move := _find_move(readers, owned):
        part, giver, taker = move
        owned[giver].remove(part)
        owned[taker].append(part)
    return {part: member for member, parts in owned.items() for part in parts}


def _find_move(
    readers: Mapping[Partition, list[str]], owned: Mapping[str, list[Partition]]
) -> tuple[Partition, str, str] | None:
    """Return a move that makes the shares more even: (partition, from member, to member)."""
    for giver in sorted(owned, key=lambda member: (-len(owned[member]), member)):
        for part in sorted(owned[giver], reverse=True):
            taker = min(readers[part], key=lambda member: (len(owned[member]), member))
            if len(owned[giver]) - len(owned[taker]) > 1:
                return part, giver, taker
    return None


def _keys(group: str) -> list[str]:
    return [f"airnode:log:group:{{{group}}}:{part}" for part in ("members", "topics", "owners")]


def _to_name(partition: Partition) -> str:
    return f"{partition.topic}/{partition.number}"


def _to_partition(name: bytes) -> Partition:
    topic, _, number = name.decode().rpartition("/")
    return Partition(topic, int(number))


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)
