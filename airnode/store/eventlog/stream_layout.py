"""How the event log is stored in Redis: one stream per partition (docs/adr/0014).

=============================  =====================================================================================
key                            content
=============================  =====================================================================================
``airnode:log:topics``         hash {topic: number of partitions}
``airnode:log:{topic/n}``      stream with the fields ``k`` (key), ``v`` (value), ``h`` (headers, MessagePack); its
                               consumer groups are the log's groups
``airnode:log:group:{g}:…``    the members of a group, and which of them owns which partition
                               (:mod:`.stream_membership`)
=============================  =====================================================================================

An offset is the id of a stream entry as one number: milliseconds times 2**20, plus the number within the millisecond.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from airnode.bus.client import Bus, unavailable
from airnode.errors import StartupError
from airnode.store.eventlog.log import Delivered, Partition

TOPICS_KEY = "airnode:log:topics"
_SEQUENCE_BITS = 20


def stream_key(partition: Partition) -> str:
    """Return the key of a partition's stream."""
    return f"airnode:log:{{{partition.topic}/{partition.number}}}"


def to_offset(stream_id: bytes) -> int:
    """Return an id such as ``b"1763784000123-4"`` as an offset."""
    milliseconds, _, sequence = stream_id.partition(b"-")
    return int(milliseconds) << _SEQUENCE_BITS | int(sequence or b"0")


def to_id(offset: int) -> str:
    """Return the id of the entry at an offset."""
    return f"{offset >> _SEQUENCE_BITS}-{offset & ((1 << _SEQUENCE_BITS) - 1)}"


def delivered(partition: Partition, stream_id: bytes, fields: Mapping[bytes, bytes]) -> Delivered:
    """Return an entry of a stream as a record, without headers if they cannot be decoded."""
    headers: tuple[tuple[str, bytes], ...] = ()
    if packed := fields.get(b"h"):
        with contextlib.suppress(msgspec.DecodeError):
            headers = msgspec.msgpack.decode(packed, type=tuple[tuple[str, bytes], ...])
    return Delivered(
        partition,
        to_offset(stream_id),
        fields.get(b"k", b"").decode(errors="replace"),
        fields.get(b"v", b""),
        headers,
        int(stream_id.partition(b"-")[0]) / 1000,
    )


class StreamTopics:
    """The topics in Redis. All methods raise ``Unavailable`` while Redis does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        #: {topic: number of partitions}, as last read from Redis.
        self.partition_counts: dict[str, int] = {}

    async def read(self) -> dict[str, int]:
        """Return all topics, {name: number of partitions}."""
        with unavailable():
            counts: Any = await self._bus.client.hgetall(TOPICS_KEY)
        self.partition_counts = {topic.decode(): int(count) for topic, count in counts.items()}
        return self.partition_counts

    async def ensure(self, partitions: Mapping[str, int]) -> list[str]:
        """Create missing topics, and return them. Raises StartupError if a topic exists with fewer partitions."""
        created = []
        with unavailable():
            for topic, count in partitions.items():
                if await self._bus.client.hsetnx(TOPICS_KEY, topic, str(count)):
                    created.append(topic)
        existing = await self.read()
        for topic, count in partitions.items():
            if existing[topic] < count:
                raise StartupError(
                    f"The topic {topic} has {existing[topic]} partitions, and {count} are wanted (eventlog.partitions)"
                    ": stop all producers and consumers, then run: airnode pipeline init --grow"
                )
        return created

    async def grow(self, partitions: Mapping[str, int]) -> None:
        """Add partitions to topics that have fewer."""
        existing = await self.read()
        with unavailable():
            for topic, count in partitions.items():
                if existing.get(topic, 0) < count:
                    await self._bus.client.hset(TOPICS_KEY, topic, str(count))

    async def partitions_of(self, topics: Sequence[str]) -> list[Partition]:
        """Return all partitions of these topics.

        Raises:
            StartupError: a topic does not exist.
        """
        existing = await self.read()
        for topic in topics:
            if topic not in existing:
                raise StartupError(f"There is no topic {topic}: make the topics with: airnode pipeline init")
        return [Partition(topic, number) for topic in topics for number in range(existing[topic])]
