"""A member of a group on Redis Streams.

Who is in a group and who owns which partition stands in the Redis, on its clock. Each member renews its lease, sees the
others, computes the same shares (:mod:`.assignment`), gives back what is no longer its own, and takes what is free.
A member that was silent for ``eventlog.session_timeout_s`` has lost everything, and finds that out itself when it is
back: it neither reads nor keeps anything then. What a dead one had read and not committed, the next owner reads first.

::

    beat (task) ──▶ view: members, owners ──▶ poll: lost? revoke, take, claim what was left ──▶ read ──▶ commit
"""

import asyncio
import bisect
import contextlib
import os
import socket
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import ResponseError

from airnode.bus.client import Bus, unavailable
from airnode.config.sections.eventlog import EventLogSection
from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.store.eventlog.log import Delivered, EventLogMetrics, GroupSubscription, Partition, Rebalancing
from airnode.store.eventlog.stream_layout import delivered, stream_key, to_id
from airnode.store.eventlog.stream_membership import share

if TYPE_CHECKING:
    from airnode.store.eventlog.stream_log import StreamLog

log = structlog.get_logger(__name__)
_BEATS_PER_SESSION = 5
_BEAT_MAX_S = 1.0
_CLAIM_RECORDS = 500
_ACK_RECORDS = 500
#: Between two looks at the group while reading; well below the client's own time limit.
_BLOCK_MAX_S = 0.5
_IDLE_S = 0.05

# Keys: members (sorted set {member: end of its lease, ms}), topics (hash {member: topics}), owners (hash {partition:
# member}); all in one slot. Whoever comes along first removes those whose lease is over, and those whose lease is
# longer than any can be (eventlog.session_timeout_s): the server's clock was set back, and they may be dead since.
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
#: Arguments: member, its topics, milliseconds. Returns whether it was a member already, topics, owners.
_BEAT = (
    _SWEEP
    + """
local there = redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return {there, redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3])}
"""
)
#: Arguments: member, partitions. Returns those that are the member's now.
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
_GIVE = """
for i = 2, #ARGV do
    if redis.call('HGET', KEYS[3], ARGV[i]) == ARGV[1] then redis.call('HDEL', KEYS[3], ARGV[i]) end
end
"""
#: Arguments: member, partitions that it owned.
_LEAVE = _GIVE + "redis.call('ZREM', KEYS[1], ARGV[1]) redis.call('HDEL', KEYS[2], ARGV[1])"

#: Returns how many members there are.
_COUNT = _SWEEP + "return redis.call('ZCARD', KEYS[1])"

#: Forgets readers of a stream that hold nothing and were silent. Arguments: group, member that asks, milliseconds.
_TIDY = """
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local reader = {}
    for i = 1, #info, 2 do reader[info[i]] = info[i + 1] end
    if reader.name ~= ARGV[2] and reader.pending == 0 and reader.idle > tonumber(ARGV[3]) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], reader.name)
    end
end
"""


@dataclass(frozen=True, slots=True)
class _View:
    """The group as the last beat saw it."""

    members: Mapping[str, Sequence[str]]
    owners: Mapping[Partition, str]


class StreamSubscription(GroupSubscription):
    """See :class:`airnode.store.eventlog.log.GroupSubscription`."""

    name = "eventlog-subscription"

    def __init__(
        self,
        streams: "StreamLog",
        bus: Bus,
        section: EventLogSection,
        metrics: EventLogMetrics,
        topics: Sequence[str],
        group: str,
        rebalancing: Rebalancing | None,
    ) -> None:
        super().__init__()
        self._log = streams
        self._bus = bus
        self._session_s = section.session_timeout_s
        self._metrics = metrics
        self._topics = tuple(topics)
        self._group = group
        self._member = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._rebalancing = rebalancing or Rebalancing()
        self._tasks = TaskScope(f"eventlog-{group}")
        self._partitions: list[Partition] = []
        self._view: _View | None = None
        #: Loop time at which the last successful beat was sent.
        self._beat_s = float("-inf")
        self._lost = False
        self._draining = False
        #: {partition: offsets handed out and not committed, in order}.
        self._owned: dict[Partition, list[int]] = {}
        self._paused: set[Partition] = set()
        #: {partition: where taking over what was read before goes on}.
        self._claiming: dict[Partition, bytes] = {}
        #: {partition: loop time of the next look for what a former owner left}.
        self._look_s: dict[Partition, float] = {}

    @property
    def assigned(self) -> frozenset[Partition]:
        """What this member owns now."""
        return frozenset(self._owned)

    async def start(self) -> None:
        """Join the group.

        Raises:
            StartupError: a topic is not there.
        """
        self._partitions = await self._log.partitions_of(self._topics)
        await self._beat()
        self._tasks.spawn("beat", self._beat_for_ever())

    async def drain(self) -> None:
        """Fetch no more; what was handed out can still be committed."""
        self._draining = True

    async def stop(self) -> None:
        """Leave; others take over at their next beat."""
        await self._tasks.aclose()
        if self._view is None:
            return
        self._view = None
        owned, self._owned = list(self._owned), {}
        with contextlib.suppress(Unavailable):
            await self._script(_LEAVE, self._member, *map(_name, owned))

    # -- membership ---------------------------------------------------------------------------------------------------

    async def _beat_for_ever(self) -> None:
        pause_s = min(self._session_s / _BEATS_PER_SESSION, _BEAT_MAX_S)
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._beat()
            except Unavailable as error:
                log.info("eventlog_beat_failed", group=self._group, error=error.debug)

    async def _beat(self) -> None:
        sent_s = _now_s()
        there, topics, owners = await self._script(
            _BEAT, self._member, ",".join(self._topics), round(self._session_s * 1000)
        )
        if not there and self._owned:
            self._lost = True
        self._beat_s = sent_s
        self._view = _View(
            {member.decode(): names.decode().split(",") for member, names in _pairs(topics)},
            {_partition(name): member.decode() for name, member in _pairs(owners)},
        )

    async def _settle(self) -> None:
        """Own what is this member's share: called between two reads only."""
        if self._lost or (self._owned and _now_s() - self._beat_s > self._session_s):
            await self._lose()
        view = self._view
        if view is None:
            return
        shares = share(self._partitions, view.members, view.owners)
        mine = {partition for partition, member in shares.items() if member == self._member}
        # Also what is no longer read here, and the group was not told so, as the server did not answer.
        held = self._owned.keys() | {each for each, member in view.owners.items() if member == self._member}
        if surplus := held - mine:
            await self._give(surplus)
        free = {each for each in mine - self._owned.keys() if view.owners.get(each, self._member) == self._member}
        if free and not self._draining:
            await self._take(free)

    async def _lose(self) -> None:
        lost, self._owned, self._lost = frozenset(self._owned), {}, False
        self._paused.clear()
        self._metrics.rebalanced.labels("lost").inc(len(lost))
        log.warning("eventlog_partitions_lost", group=self._group, partitions=len(lost))
        await self._rebalancing.lost(lost)
        await self._beat()

    async def _give(self, partitions: Collection[Partition]) -> None:
        if owned := self._owned.keys() & partitions:
            await self._rebalancing.revoked(frozenset(owned))
            self._metrics.rebalanced.labels("revoked").inc(len(owned))
        for partition in owned:
            del self._owned[partition]
            self._paused.discard(partition)
        await self._script(_GIVE, self._member, *map(_name, partitions))
        await self._beat()

    async def _take(self, partitions: Collection[Partition]) -> None:
        names = await self._script(_TAKE, self._member, *map(_name, sorted(partitions)))
        taken = [_partition(name) for name in names]
        if not taken:
            return
        for partition in taken:
            await self._make_group(partition)
        for partition in taken:
            self._own(partition)
        self._metrics.rebalanced.labels("assigned").inc(len(taken))
        log.info("eventlog_partitions_assigned", group=self._group, partitions=len(taken))
        await self._rebalancing.assigned(frozenset(taken))
        await self._beat()

    def _own(self, partition: Partition) -> None:
        self._owned[partition] = []
        self._claiming[partition] = b"0-0"
        self._look_s[partition] = _now_s() + self._session_s

    async def _make_group(self, partition: Partition) -> None:
        with unavailable():
            try:
                await self._bus.client.xgroup_create(stream_key(partition), self._group, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    # -- reading ------------------------------------------------------------------------------------------------------

    async def poll(self, *, max_records: int, wait_s: float) -> list[Delivered]:
        """What was left behind by others first, then what is new."""
        deadline_s = _now_s() + wait_s
        while True:
            try:
                await self._settle()
                found = await self._read(max_records, max(0.0, deadline_s - _now_s()))
            except Unavailable as error:
                log.info("eventlog_read_failed", group=self._group, error=error.debug)
                self._look_s = dict.fromkeys(self._look_s, _now_s())  # the answer may be what was lost
                found = []
                await asyncio.sleep(min(0.2, max(0.0, deadline_s - _now_s())))
            if found or _now_s() >= deadline_s or self._draining:
                return found

    async def _read(self, max_records: int, wait_s: float) -> list[Delivered]:
        reading = [] if self._draining else [each for each in self._owned if each not in self._paused]
        for partition in reading:
            if partition in self._claiming:
                return await self._claim(partition, max_records)
            if self._look_s[partition] <= _now_s():
                await self._look_for_strays(partition)
        if not reading:
            await asyncio.sleep(min(wait_s, _IDLE_S))
            return []
        return await self._read_new(reading, max_records, wait_s)

    async def _claim(self, partition: Partition, max_records: int) -> list[Delivered]:
        """Take over what was read before and not committed, by whomever."""
        with unavailable():
            cursor, entries, _deleted = await self._bus.client.xautoclaim(
                stream_key(partition), self._group, self._member, 0, self._claiming[partition], count=max_records
            )
        if cursor == b"0-0":
            del self._claiming[partition]
        else:
            self._claiming[partition] = cursor
        self._metrics.reclaimed.labels(partition.topic).inc(len(entries))
        return self._hand_out(partition, entries)

    async def _look_for_strays(self, partition: Partition) -> None:
        """Begin the partition anew where something was given out and nobody has it.

        A former owner read after it had lost the partition, or an answer to this one was lost on its way.
        """
        self._look_s[partition] = _now_s() + self._session_s
        session_ms, held = round(self._session_s * 1000), len(self._owned[partition])
        with unavailable():
            summary: Any = await self._bus.client.xpending(stream_key(partition), self._group)
            pending = await self._bus.client.xpending_range(
                stream_key(partition), self._group, "-", "+", _CLAIM_RECORDS, idle=session_ms
            )
            await self._bus.client.eval(_TIDY, 1, stream_key(partition), self._group, self._member, session_ms)
        me = self._member.encode()
        given = sum(each["pending"] for each in summary["consumers"] if each["name"] == me)
        # What is committed meanwhile makes the first one smaller: then the next look finds it.
        if given > held or any(each["consumer"] != me for each in pending):
            await self._rebalancing.revoked(frozenset([partition]))
            self._own(partition)
            await self._rebalancing.assigned(frozenset([partition]))

    async def _read_new(self, reading: Sequence[Partition], max_records: int, wait_s: float) -> list[Delivered]:
        with unavailable():
            try:
                answer: Any = await self._bus.client.xreadgroup(
                    self._group,
                    self._member,
                    {stream_key(partition): ">" for partition in reading},
                    count=max(1, max_records // len(reading)),
                    block=round(min(wait_s, _BLOCK_MAX_S) * 1000) or None,
                )
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                for partition in reading:
                    await self._make_group(partition)
                return []
        by_key = {stream_key(partition).encode(): partition for partition in reading}
        return [record for key, entries in answer for record in self._hand_out(by_key[key], entries)]

    def _hand_out(
        self, partition: Partition, entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]
    ) -> list[Delivered]:
        records = [delivered(partition, stream_id, fields) for stream_id, fields in entries if fields]
        self._owned[partition].extend(record.offset for record in records)
        self._metrics.received.labels(partition.topic).inc(len(records))
        return records

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """Acknowledge what was handed out below these offsets."""
        done: list[tuple[Partition, list[int], int]] = []
        with unavailable():
            pipeline = self._bus.client.pipeline(transaction=False)
            for partition, position in positions.items():
                if partition not in self._owned:
                    self._metrics.commit_failed.inc()
                    continue
                offsets = self._owned[partition]
                done.append((partition, offsets, position))
                count = bisect.bisect_left(offsets, position)
                for start in range(0, count, _ACK_RECORDS):
                    ids = map(to_id, offsets[start : min(start + _ACK_RECORDS, count)])
                    pipeline.xack(stream_key(partition), self._group, *ids)
            await pipeline.execute()
        for partition, offsets, position in done:
            # Not where the partition was begun anew meanwhile, nor twice where two commits were under way.
            if self._owned.get(partition) is offsets:
                del offsets[: bisect.bisect_left(offsets, position)]

    def pause(self, partitions: Collection[Partition]) -> None:
        """Fetch nothing of these."""
        self._paused.update(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        """Fetch them again."""
        self._paused.difference_update(partitions)

    async def _script(self, script: str, *arguments: str | int) -> Any:
        with unavailable():
            return await self._bus.client.eval(script, 3, *_keys(self._group), *arguments)


async def members_of(bus: Bus, group: str) -> int:
    """How many members a group has now. Raises Unavailable."""
    with unavailable():
        return int(await bus.client.eval(_COUNT, 3, *_keys(group)))


def _keys(group: str) -> list[str]:
    return [f"airnode:log:group:{{{group}}}:{part}" for part in ("members", "topics", "owners")]


def _name(partition: Partition) -> str:
    return f"{partition.topic}/{partition.number}"


def _partition(name: bytes) -> Partition:
    topic, _, number = name.decode().rpartition("/")
    return Partition(topic, int(number))


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
