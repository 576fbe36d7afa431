"""The event log on Redis Streams: topics, publishing, lag, trimming (:mod:`.stream_layout`)."""

import asyncio
import contextlib
import itertools
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from airnode.bus.client import Bus, unavailable
from airnode.config.sections.eventlog import EventLogSection
from airnode.errors import StartupError, Unavailable
from airnode.kernel.logging import LogLimiter
from airnode.store.eventlog.log import EventLogMetrics, Lag, Partition, Rebalancing, Record, check_sizes
from airnode.store.eventlog.stream_group import StreamSubscription
from airnode.store.eventlog.stream_layout import StreamTopics, stream_key, to_id, to_offset

log = structlog.get_logger(__name__)

# Appends all records, or none if too many wait for readers. Arguments: limit, then key, value, headers of each record.
# While the server's clock does not advance, or was set back, Redis only increments the number within the millisecond.
# The script moves to the next millisecond long before that number needs more bits than it has in an offset.
_APPEND = """
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return -1 end
local id = '0-0'
for i = 2, #ARGV, 3 do
    if ARGV[i + 2] == '' then
        id = redis.call('XADD', KEYS[1], '*', 'k', ARGV[i], 'v', ARGV[i + 1])
    else
        id = redis.call('XADD', KEYS[1], '*', 'k', ARGV[i], 'v', ARGV[i + 1], 'h', ARGV[i + 2])
    end
end
local ms, number = string.match(id, '(%d+)-(%d+)')
if tonumber(number) >= 524288 then redis.call('XSETID', KEYS[1], string.format('%.0f-0', ms + 1)) end
return redis.call('XLEN', KEYS[1])
"""
#: Pause between two checks whether readers have caught up.
_FULL_PAUSE_S = 0.1
_LOG_FULL_EVERY_S = 10.0
#: A partition is trimmed again after this many new records.
_TRIM_EVERY = 5_000


class StreamLog:
    """The event log on Redis Streams. It is as durable as the Redis server (append-only file)."""

    name = "eventlog"

    def __init__(self, bus: Bus, section: EventLogSection, metrics: EventLogMetrics) -> None:
        self._bus = bus
        self._section = section
        self._metrics = metrics
        self._topics = StreamTopics(bus)
        #: Spreads records without a key over the partitions.
        self._next_number = itertools.count()
        #: {partition: length at which it is trimmed}.
        self._trim_at: dict[Partition, int] = {}
        self._full_limiter = LogLimiter(_LOG_FULL_EVERY_S)

    @property
    def address(self) -> str:
        """Return the address of the log, for logs and error messages."""
        return f"Redis Streams at {self._bus.address}"

    async def start(self) -> None:
        """Check that the server is not a Redis Cluster. The node connects the bus.

        Raises:
            StartupError: it is a Redis Cluster. There, the partitions are in different slots, but a member reads all
                its partitions in one command.
        """
        with contextlib.suppress(RedisError, OSError, TimeoutError):  # unreachable or not permitted: ping reports it
            if (await self._bus.client.info("cluster"))["cluster_enabled"]:
                raise StartupError(
                    f"The Redis at {self._bus.address} is a cluster, which can hold the cache and not the event log: "
                    "set kafka.bootstrap (KAFKA_BOOTSTRAP_SERVERS), or give this node a Redis of its own (redis.url)."
                )

    async def stop(self) -> None:
        """Do nothing: no records are buffered."""

    async def ping(self) -> None:
        """Raise Unavailable while Redis does not answer."""
        await self._bus.ping()

    async def ensure_topics(self, partitions: Mapping[str, int]) -> list[str]:
        """See :class:`airnode.store.eventlog.log.EventLog`."""
        return await self._topics.ensure(partitions)

    async def grow_topics(self, partitions: Mapping[str, int]) -> None:
        """See :class:`airnode.store.eventlog.log.EventLog`."""
        await self._topics.grow(partitions)

    async def topics(self) -> dict[str, int]:
        """See :class:`airnode.store.eventlog.log.EventLog`."""
        return await self._topics.read()

    async def partitions_of(self, topics: Sequence[str]) -> list[Partition]:
        """Return all partitions of these topics. Raises StartupError if a topic does not exist."""
        return await self._topics.partitions_of(topics)

    async def publish(self, records: Sequence[Record]) -> None:
        """Append all records, in one round trip. Waits while readers are too far behind."""
        check_sizes(records, self._section.max_record_bytes)
        if any(record.topic not in self._topics.partition_counts for record in records):
            await self.partitions_of(sorted({record.topic for record in records}))
        waiting = self._by_partition(records)
        while waiting:
            waiting = await self._append(waiting)
            if waiting:
                await self._make_room(waiting)

    async def _append(self, batches: "Mapping[Partition, list[Record]]") -> "dict[Partition, list[Record]]":
        """Append to the partitions that have room; return the others."""
        with unavailable(), _full_as_unavailable():
            pipeline = self._bus.client.pipeline(transaction=False)
            for partition, records in batches.items():
                fields = [field for record in records for field in _fields(record)]
                pipeline.eval(_APPEND, 1, stream_key(partition), self._section.stream_max_records, *fields)
            lengths = await pipeline.execute()
        refused = {}
        for (partition, records), length in zip(batches.items(), lengths, strict=True):
            if length < 0:
                refused[partition] = records
                continue
            self._metrics.published.labels(partition.topic).inc(len(records))
            if length >= self._trim_at.get(partition, _TRIM_EVERY):
                await self.trim(partition)
        return refused

    def subscribe(
        self, topics: Sequence[str], group: str, rebalancing: Rebalancing | None = None
    ) -> StreamSubscription:
        """Return a new member of the group."""
        return StreamSubscription(
            topics,
            group,
            rebalancing,
            existing_topics=self._topics,
            bus=self._bus,
            section=self._section,
            metrics=self._metrics,
        )

    async def lag(self, group: str, topics: Sequence[str]) -> dict[Partition, Lag]:
        """See :class:`airnode.store.eventlog.log.EventLog`."""
        partitions = await self.partitions_of(topics)
        with unavailable():
            pipeline = self._bus.client.pipeline(transaction=False)
            for key in map(stream_key, partitions):
                pipeline.xinfo_stream(key)
                pipeline.xinfo_groups(key)
                pipeline.xpending(key, group)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            # {partition: its stream, the groups of it, the pending records of this group}
            found = zip(partitions, answers[::3], answers[1::3], answers[2::3], strict=True)
            return {partition: await self._lag(group, partition, *each) for partition, *each in found}

    async def _lag(self, group: str, partition: Partition, stream: Any, groups: Any, pending: Any) -> Lag:
        """Return the lag in a partition. The last three are answers of Redis, or its errors."""
        if isinstance(stream, ResponseError) or isinstance(groups, ResponseError):
            return Lag(0, 0, 0)  # no record was ever published there
        end = to_offset(stream["last-generated-id"]) + 1
        for each in groups:
            if each["name"] == group.encode():
                if isinstance(pending, ResponseError):
                    raise pending
                oldest = pending["min"] if pending["pending"] else None
                committed = to_offset(oldest) if oldest else to_offset(each["last-delivered-id"]) + 1
                unread = each.get("lag")
                if unread is None:
                    unread = await self._unread(stream_key(partition), each)
                return Lag(committed, end, unread + each["pending"])
        return Lag(0, end, stream["length"])

    async def _unread(self, key: str, group: Mapping[str, Any]) -> int:
        """Return the number of unread records. Redis does not know it after records in the middle were deleted."""
        after = b"(" + group["last-delivered-id"]
        unread: Any = await self._bus.client.xrange(key, min=after, max="+", count=self._section.stream_max_records)
        return len(unread)

    # -- trimming -----------------------------------------------------------------------------------------------------

    async def trim(self, partition: Partition) -> int:
        """Delete the records that every group has committed; return the number of the others.

        Without a group, nothing is deleted.
        """
        key = stream_key(partition)
        with unavailable():
            try:
                groups = await self._bus.client.xinfo_groups(key)
            except ResponseError:
                return 0
            positions = [await self._position(key, each) for each in groups]
            if positions:
                # Everything from this id on is kept, including the last record that was delivered.
                trimmed = await self._bus.client.xtrim(key, approximate=False, minid=to_id(min(positions)))
                self._metrics.trimmed.labels(partition.topic).inc(int(trimmed))
            left = int(await self._bus.client.xlen(key))
        self._trim_at[partition] = left + _TRIM_EVERY
        return left

    async def _position(self, key: str, group: Mapping[str, Any]) -> int:
        """Return the offset of the oldest record that the group still needs, or of the last one delivered to it."""
        if not group["pending"]:
            return to_offset(group["last-delivered-id"])
        summary: Any = await self._bus.client.xpending(key, group["name"])
        return to_offset(summary["min"] or b"0-0")

    async def _make_room(self, partitions: Collection[Partition]) -> None:
        lengths = {partition: await self.trim(partition) for partition in partitions}
        for partition, length in lengths.items():
            if length >= self._section.stream_max_records:
                self._metrics.full.labels(partition.topic).inc()
                await self._log_full(partition)
                await asyncio.sleep(_FULL_PAUSE_S)
                return

    async def _log_full(self, partition: Partition) -> None:
        """Log the group with the largest lag: it may have no members any more."""
        if self._full_limiter.held_back() is None:
            return
        key = stream_key(partition)
        with unavailable():
            groups = await self._bus.client.xinfo_groups(key)
            positions = {each["name"].decode(errors="replace"): await self._position(key, each) for each in groups}
        log.warning(
            "eventlog_full",
            topic=partition.topic,
            partition=partition.number,
            limit=self._section.stream_max_records,
            waits_for=min(positions, key=positions.__getitem__, default="a first group"),
            detail="airnode pipeline groups shows who reads, airnode pipeline forget lets go of one that is not needed",
        )

    def _by_partition(self, records: Sequence[Record]) -> dict[Partition, list[Record]]:
        counts = self._topics.partition_counts
        batches: dict[Partition, list[Record]] = {}
        for record in records:
            number = zlib.crc32(record.key.encode()) if record.key else next(self._next_number)
            batches.setdefault(Partition(record.topic, number % counts[record.topic]), []).append(record)
        return batches


def _fields(record: Record) -> tuple[str, bytes, bytes]:
    return record.key, record.value, msgspec.msgpack.encode(record.headers) if record.headers else b""


@contextlib.contextmanager
def _full_as_unavailable() -> Iterator[None]:
    try:
        yield
    except OutOfMemoryError as error:
        raise Unavailable(
            "The Redis is full (embedded.redis_maxmemory_bytes, or its own maxmemory).", retry_after_s=5
        ) from error
