"""A member of a group on Redis Streams.

Redis stores the members of a group and the owner of each partition (:mod:`.stream_membership`). Each member renews its
lease, reads the list of members, and computes the same assignment as the others. It gives back the partitions that it
should not own any more, and takes the free partitions that it should own. A member that does not renew its lease for
``eventlog.session_timeout_s`` loses all partitions. It detects this itself when it runs again: then it reads nothing
and discards its records. The next owner first reads the records that a dead member has read and not committed.

::

    heartbeat (task) ──▶ members, owners ──▶ poll: lost? revoke, take, claim unacknowledged ──▶ read ──▶ commit
"""

import asyncio
import bisect
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import structlog
from redis.exceptions import ResponseError

from airnode.bus.client import Bus, unavailable
from airnode.config.sections.eventlog import EventLogSection
from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.store.eventlog.log import Delivered, EventLogMetrics, GroupSubscription, Partition, Rebalancing
from airnode.store.eventlog.stream_layout import StreamTopics, delivered, stream_key, to_id
from airnode.store.eventlog.stream_membership import GroupMembership, assign_partitions

log = structlog.get_logger(__name__)

_HEARTBEATS_PER_SESSION = 5
_HEARTBEAT_MAX_S = 1.0
_CLAIM_RECORDS = 500
_ACK_RECORDS = 500
#: Longest read before the assignment is checked again; well below the time limit of the Redis client.
_BLOCK_MAX_S = 1.0
#: Pause of a member that drains and reads nothing.
_DRAINING_S = 0.05

#: Deletes idle consumers of a stream that have no pending entries. Arguments: group, calling member, idle time in ms.
_TIDY = """
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local reader = {}
    for i = 1, #info, 2 do reader[info[i]] = info[i + 1] end
    if reader.name ~= ARGV[2] and reader.pending == 0 and reader.idle > tonumber(ARGV[3]) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], reader.name)
    end
end
"""


class StreamSubscription(GroupSubscription):
    """A group member on Redis Streams."""

    name = "eventlog-subscription"

    def __init__(
        self,
        topics: Sequence[str],
        group: str,
        rebalancing: Rebalancing | None,
        *,
        existing_topics: StreamTopics,
        bus: Bus,
        section: EventLogSection,
        metrics: EventLogMetrics,
    ) -> None:
        super().__init__()
        self._existing_topics = existing_topics
        self._bus = bus
        self._session_s = section.session_timeout_s
        self._metrics = metrics
        self._topics = tuple(topics)
        self._group = group
        self._membership = GroupMembership(bus, group, topics, section.session_timeout_s)
        self._rebalancing = rebalancing or Rebalancing()
        self._tasks = TaskScope(f"eventlog-{group}")
        self._partitions: list[Partition] = []
        self._lost = False
        self._draining = False
        #: {partition: offsets that were returned by :meth:`poll` and not committed, in order}.
        self._owned: dict[Partition, list[int]] = {}
        self._paused: set[Partition] = set()
        #: {partition: id of the next entry to claim from former owners}.
        self._claiming: dict[Partition, bytes] = {}
        #: {partition: loop time of the next check for entries that a former owner has read}.
        self._check_s: dict[Partition, float] = {}
        #: Set when the group was read from Redis, so that a member without partitions takes those that become free.
        self._group_read = asyncio.Event()

    @property
    def assigned(self) -> frozenset[Partition]:
        """Return the partitions that this member owns."""
        return frozenset(self._owned)

    async def start(self) -> None:
        """Join the group.

        Raises:
            StartupError: a topic does not exist.
        """
        self._partitions = await self._existing_topics.partitions_of(self._topics)
        await self._heartbeat()
        self._tasks.spawn("heartbeat", self._heartbeat_loop())

    async def drain(self) -> None:
        """Stop fetching; records that were returned can still be committed."""
        self._draining = True
        self._group_read.set()

    async def stop(self) -> None:
        """Leave the group; other members take over at their next heartbeat."""
        await self._tasks.aclose()
        if not self._membership.joined:
            return
        owned, self._owned = list(self._owned), {}
        with contextlib.suppress(Unavailable):
            await self._membership.leave(owned)

    # -- membership ---------------------------------------------------------------------------------------------------

    async def _heartbeat_loop(self) -> None:
        pause_s = min(self._session_s / _HEARTBEATS_PER_SESSION, _HEARTBEAT_MAX_S)
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._heartbeat()
            except Unavailable as error:
                log.info("eventlog_beat_failed", group=self._group, error=error.debug)

    async def _heartbeat(self) -> None:
        was_member = await self._membership.renew()
        self._group_read.set()
        if not was_member and self._owned:
            self._lost = True

    async def _rebalance(self) -> None:
        """Apply the current assignment. Called between two reads only."""
        if self._lost or (self._owned and _now_s() - self._membership.renewed_s > self._session_s):
            await self._lose()
        if not self._membership.joined:
            return
        me, owners = self._membership.member, self._membership.owners
        assignment = assign_partitions(self._partitions, self._membership.members, owners)
        mine = {partition for partition, member in assignment.items() if member == me}
        # Includes partitions that were given back here, but not in Redis, because the server did not answer.
        held = self._owned.keys() | {each for each, member in owners.items() if member == me}
        if surplus := held - mine:
            await self._give_back(surplus)
        free = {each for each in mine - self._owned.keys() if owners.get(each, me) == me}
        if free and not self._draining:
            await self._take(free)

    async def _lose(self) -> None:
        lost, self._owned, self._lost = frozenset(self._owned), {}, False
        self._paused.clear()
        self._metrics.rebalanced.labels("lost").inc(len(lost))
        log.warning("eventlog_partitions_lost", group=self._group, partitions=len(lost))
        await self._rebalancing.lost(lost)
        await self._heartbeat()

    async def _give_back(self, partitions: Collection[Partition]) -> None:
        if owned := self._owned.keys() & partitions:
            await self._rebalancing.revoked(frozenset(owned))
            self._metrics.rebalanced.labels("revoked").inc(len(owned))
        for partition in owned:
            del self._owned[partition]
            self._paused.discard(partition)
        await self._membership.give_back(partitions)
        await self._heartbeat()

    async def _take(self, partitions: Collection[Partition]) -> None:
        taken = await self._membership.take(sorted(partitions))
        if not taken:
            return
        for partition in taken:
            await self._create_group(partition)
        for partition in taken:
            self._begin(partition)
        self._metrics.rebalanced.labels("assigned").inc(len(taken))
        log.info("eventlog_partitions_assigned", group=self._group, partitions=len(taken))
        await self._rebalancing.assigned(frozenset(taken))
        await self._heartbeat()

    def _begin(self, partition: Partition) -> None:
        self._owned[partition] = []
        self._claiming[partition] = b"0-0"
        self._check_s[partition] = _now_s() + self._session_s

    async def _create_group(self, partition: Partition) -> None:
        with unavailable():
            try:
                await self._bus.client.xgroup_create(stream_key(partition), self._group, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    # -- reading ------------------------------------------------------------------------------------------------------

    async def poll(self, *, max_records: int, wait_s: float) -> list[Delivered]:
        """See the base class. Records that former owners have read and not committed come before new ones."""
        deadline_s = _now_s() + wait_s
        while True:
            self._group_read.clear()
            try:
                await self._rebalance()
                found = await self._read(max_records, max(0.0, deadline_s - _now_s()))
            except Unavailable as error:
                log.info("eventlog_read_failed", group=self._group, error=error.debug)
                self._check_s = dict.fromkeys(self._check_s, _now_s())  # the answer may have been lost
                found = []
                await asyncio.sleep(min(0.2, max(0.0, deadline_s - _now_s())))
            if found or _now_s() >= deadline_s or self._draining:
                return found

    async def _read(self, max_records: int, wait_s: float) -> list[Delivered]:
        reading = [] if self._draining else [each for each in self._owned if each not in self._paused]
        if due := [each for each in reading if each not in self._claiming and self._check_s[each] <= _now_s()]:
            await self._check_unacknowledged(due)
        for partition in reading:
            if partition in self._claiming:
                return await self._claim(partition, max_records)
        if not reading:
            await self._wait_for_group(wait_s)
            return []
        return await self._read_new(reading, max_records, wait_s)

    async def _wait_for_group(self, wait_s: float) -> None:
        """Wait for the next heartbeat; while draining, only shortly: what is committed frees partitions."""
        if self._draining:
            return await asyncio.sleep(min(wait_s, _DRAINING_S))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._group_read.wait()

    async def _claim(self, partition: Partition, max_records: int) -> list[Delivered]:
        """Claim and return records that any member has read and not committed."""
        with unavailable():
            cursor, entries, _deleted = await self._bus.client.xautoclaim(
                stream_key(partition),
                self._group,
                self._membership.member,
                0,
                self._claiming[partition],
                count=max_records,
            )
        if cursor == b"0-0":
            del self._claiming[partition]
        else:
            self._claiming[partition] = cursor
        self._metrics.reclaimed.labels(partition.topic).inc(len(entries))
        return self._deliver(partition, entries)

    async def _check_unacknowledged(self, partitions: Sequence[Partition]) -> None:
        """Restart the partitions of which Redis has delivered entries that this member did not receive.

        This happens if a former owner reads after it has lost the partition, or if an answer of the server is lost.
        """
        session_ms, name = round(self._session_s * 1000), self._membership.member
        held = {partition: len(self._owned[partition]) for partition in partitions}
        with unavailable():
            pipeline = self._bus.client.pipeline(transaction=False)
            for partition, key in zip(partitions, map(stream_key, partitions), strict=True):
                self._check_s[partition] = _now_s() + self._session_s
                pipeline.xpending(key, self._group)
                pipeline.xpending_range(key, self._group, "-", "+", _CLAIM_RECORDS, idle=session_ms)
                pipeline.eval(_TIDY, 1, key, self._group, name, session_ms)
            answers: list[Any] = await pipeline.execute()
        me = name.encode()
        for partition, summary, pending in zip(partitions, answers[::3], answers[1::3], strict=True):
            assigned_count = sum(each["pending"] for each in summary["consumers"] if each["name"] == me)
            # A commit between the two queries makes the first number smaller; then the next check detects it.
            if assigned_count > held[partition] or any(each["consumer"] != me for each in pending):
                await self._rebalancing.revoked(frozenset([partition]))
                self._begin(partition)
                await self._rebalancing.assigned(frozenset([partition]))

    async def _read_new(self, reading: Sequence[Partition], max_records: int, wait_s: float) -> list[Delivered]:
        with unavailable():
            try:
                answer: Any = await self._bus.client.xreadgroup(
                    self._group,
                    self._membership.member,
                    {stream_key(partition): ">" for partition in reading},
                    count=max(1, max_records // len(reading)),
                    block=round(min(wait_s, _BLOCK_MAX_S) * 1000) or None,
                )
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                for partition in reading:
                    await self._create_group(partition)
                return []
        by_key = {stream_key(partition).encode(): partition for partition in reading}
        return [record for key, entries in answer for record in self._deliver(by_key[key], entries)]

    def _deliver(self, partition: Partition, entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> list[Delivered]:
        records = [delivered(partition, stream_id, fields) for stream_id, fields in entries if fields]
        self._owned[partition].extend(record.offset for record in records)
        self._metrics.received.labels(partition.topic).inc(len(records))
        return records

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """Acknowledge the returned records below these offsets."""
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
            # The partition may have been restarted during the commit, and another commit may have run meanwhile.
            if self._owned.get(partition) is offsets:
                del offsets[: bisect.bisect_left(offsets, position)]

    def pause(self, partitions: Collection[Partition]) -> None:
        """See the base class."""
        self._paused.update(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        """See the base class."""
        self._paused.difference_update(partitions)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
