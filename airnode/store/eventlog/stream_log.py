"""The event log in the Redis: one stream a partition (docs/adr/0014).

=============================  =====================================================================================
key                            content
=============================  =====================================================================================
``airnode:log:topics``         hash {topic: partitions}
``airnode:log:{topic/n}``      stream of fields ``k`` (key), ``v`` (value), ``h`` (headers, MessagePack); its consumer
                               groups are the log's groups
``airnode:log:group:{g}:…``    who is in the group, and who owns which partition (:mod:`.streamgroup`)
=============================  =====================================================================================
"""

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
from airnode.store.eventlog.stream_layout import stream_key, to_id, to_offset

log = structlog.get_logger(__name__)

TOPICS = "airnode:log:topics"
# Appends all records or, where too many wait for readers, none. Arguments: limit, then key, value, headers of each.
# While the server's clock stands, or was set back, ids count on within one millisecond; here they go on to the next
# one long before an offset runs out of room for that (:mod:`.streamids`).
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
#: Between two looks at whether readers have caught up.
_FULL_PAUSE_S = 0.1
_LOG_FULL_EVERY_S = 10.0
#: A partition is trimmed each time so many records have come to what was left.
_TRIM_EVERY = 5_000


class StreamLog:
    """See :class:`airnode.store.eventlog.log.EventLog`. Durable as the Redis is: see its append-only file."""

    name = "eventlog"

    def __init__(self, bus: Bus, section: EventLogSection, metrics: EventLogMetrics) -> None:
        self._bus = bus
        self._section = section
        self._metrics = metrics
        #: {topic: partitions}, as read from the server.
        self._partitions: dict[str, int] = {}
        self._any_key = itertools.count()
        #: {partition: length at which it is trimmed}.
        self._trim_at: dict[Partition, int] = {}
        self._full_limiter = LogLimiter(_LOG_FULL_EVERY_S)

    @property
    def address(self) -> str:
        """Where the log is; for people."""
        return f"Redis Streams at {self._bus.address}"

    async def start(self) -> None:
        """The bus is connected by its node.

        Raises:
            StartupError: it is a Redis Cluster: members read all their partitions at once, and those lie in many slots.
        """
        with contextlib.suppress(RedisError, OSError, TimeoutError):  # away, or a user who may not ask: that says ping
            if (await self._bus.client.info("cluster"))["cluster_enabled"]:
                raise StartupError(
                    f"The Redis at {self._bus.address} is a cluster, which can hold the cache and not the event log: "
                    "set kafka.bootstrap (KAFKA_BOOTSTRAP_SERVERS), or give this node a Redis of its own (redis.url)."
                )

    async def stop(self) -> None:
        """Nothing is buffered."""

    async def ping(self) -> None:
        """Raises Unavailable while the Redis does not answer."""
        await self._bus.ping()

    async def ensure_topics(self, partitions: Mapping[str, int]) -> list[str]:
        """Make topics. Raises StartupError for one that has fewer partitions already."""
        made = []
        with unavailable():
            for topic, count in partitions.items():
                if await self._bus.client.hsetnx(TOPICS, topic, str(count)):
                    made.append(topic)
        there = await self.topics()
        for topic, count in partitions.items():
            if there[topic] < count:
                raise StartupError(
                    f"The topic {topic} has {there[topic]} partitions, and {count} are wanted (eventlog.partitions): "
                    f"stop all producers and consumers, then run: airnode pipeline init --grow"
                )
        return made

    async def grow_topics(self, partitions: Mapping[str, int]) -> None:
        """Give topics more partitions. Keys move to others: nobody may publish meanwhile, to keep their order."""
        there = await self.topics()
        with unavailable():
            for topic, count in partitions.items():
                if there.get(topic, 0) < count:
                    await self._bus.client.hset(TOPICS, topic, str(count))

    async def topics(self) -> dict[str, int]:
        """All topics, {name: partitions}."""
        with unavailable():
            flat: Any = await self._bus.client.hgetall(TOPICS)
        self._partitions = {topic.decode(): int(count) for topic, count in flat.items()}
        return self._partitions

    async def partitions_of(self, topics: Sequence[str]) -> list[Partition]:
        """All partitions of these topics.

        Raises:
            StartupError: there is no such topic.
        """
        there = await self.topics()
        for topic in topics:
            if topic not in there:
                raise StartupError(f"There is no topic {topic}: make the topics with: airnode pipeline init")
        return [Partition(topic, number) for topic in topics for number in range(there[topic])]

    async def publish(self, records: Sequence[Record]) -> None:
        """Append all, in one round trip; waits while readers are too far behind."""
        check_sizes(records, self._section.max_record_bytes)
        if any(record.topic not in self._partitions for record in records):
            await self.partitions_of(sorted({record.topic for record in records}))
        waiting = self._place(records)
        while waiting:
            waiting = await self._append(waiting)
            if waiting:
                await self._make_room(waiting)

    async def _append(self, batches: "Mapping[Partition, list[Record]]") -> "dict[Partition, list[Record]]":
        """Append what there is room for; returns the rest."""
        with unavailable(), _full_in_words():
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
        """A new member of the group."""
        return StreamSubscription(self, self._bus, self._section, self._metrics, topics, group, rebalancing)

    async def lag(self, group: str, topics: Sequence[str]) -> dict[Partition, Lag]:
        """How far the group is behind."""
        partitions = await self.partitions_of(topics)
        return {partition: await self._lag(group, partition) for partition in partitions}

    async def _lag(self, group: str, partition: Partition) -> Lag:
        key = stream_key(partition)
        with unavailable():
            try:
                stream = await self._bus.client.xinfo_stream(key)
                groups = await self._bus.client.xinfo_groups(key)
            except ResponseError:  # no record was ever published there
                return Lag(0, 0, 0)
            end = to_offset(stream["last-generated-id"]) + 1
            for each in groups:
                if each["name"] == group.encode():
                    pending = await self._bus.client.xpending(key, group)
                    oldest = pending["min"] if pending["pending"] else None
                    committed = to_offset(oldest) if oldest else to_offset(each["last-delivered-id"]) + 1
                    unread = each.get("lag")
                    behind = (unread if unread is not None else await self._unread(key, each)) + each["pending"]
                    return Lag(committed, end, behind)
        return Lag(0, end, stream["length"])

    async def _unread(self, key: str, group: Mapping[str, Any]) -> int:
        """Count what the server cannot tell, as records were deleted from the middle."""
        after = b"(" + group["last-delivered-id"]
        unread: Any = await self._bus.client.xrange(key, min=after, max="+", count=self._section.stream_max_records)
        return len(unread)

    # -- room ---------------------------------------------------------------------------------------------------------

    async def trim(self, partition: Partition) -> int:
        """Let go of what every group has committed; without a group nothing goes. Returns how many are left."""
        key = stream_key(partition)
        with unavailable():
            try:
                groups = await self._bus.client.xinfo_groups(key)
            except ResponseError:
                return 0
            positions = [await self._position(key, each) for each in groups]
            if positions:
                # From this id on everything stays; the last one delivered is kept too.
                trimmed = await self._bus.client.xtrim(key, approximate=False, minid=to_id(min(positions)))
                self._metrics.trimmed.labels(partition.topic).inc(int(trimmed))
            left = int(await self._bus.client.xlen(key))
        self._trim_at[partition] = left + _TRIM_EVERY
        return left

    async def _position(self, key: str, group: Mapping[str, Any]) -> int:
        """The oldest record that the group still needs, or the last one that it was given."""
        if not group["pending"]:
            return to_offset(group["last-delivered-id"])
        summary: Any = await self._bus.client.xpending(key, group["name"])
        return to_offset(summary["min"] or b"0-0")

    async def _make_room(self, partitions: Collection[Partition]) -> None:
        left = {partition: await self.trim(partition) for partition in partitions}
        for partition, length in left.items():
            if length >= self._section.stream_max_records:
                self._metrics.full.labels(partition.topic).inc()
                await self._log_full(partition)
                await asyncio.sleep(_FULL_PAUSE_S)
                return

    async def _log_full(self, partition: Partition) -> None:
        """Log the group that is the furthest behind: perhaps nobody runs it any more."""
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

    def _place(self, records: Sequence[Record]) -> dict[Partition, list[Record]]:
        placed: dict[Partition, list[Record]] = {}
        for record in records:
            number = zlib.crc32(record.key.encode()) if record.key else next(self._any_key)
            placed.setdefault(Partition(record.topic, number % self._partitions[record.topic]), []).append(record)
        return placed


def _fields(record: Record) -> tuple[str, bytes, bytes]:
    return record.key, record.value, msgspec.msgpack.encode(record.headers) if record.headers else b""


@contextlib.contextmanager
def _full_in_words() -> Iterator[None]:
    try:
        yield
    except OutOfMemoryError as error:
        raise Unavailable(
            "The Redis is full (embedded.redis_maxmemory_bytes, or its own maxmemory).", retry_after_s=5
        ) from error
