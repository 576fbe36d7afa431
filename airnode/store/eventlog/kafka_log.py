"""The event log on Kafka, through aiokafka (KIP-98 idempotent producer, KIP-62 heartbeats in the background)."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from airnode.config.sections.eventlog import EventLogSection
from airnode.config.sections.kafka import KafkaSection
from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.store.eventlog.kafka_batches import InFlightLimit, KafkaBatches
from airnode.store.eventlog.kafka_client import KafkaClient
from airnode.store.eventlog.kafka_group import KafkaSubscription
from airnode.store.eventlog.log import EventLogMetrics, Lag, Partition, Rebalancing, Record, check_sizes

_LINGER_MS = 5
_BATCH_BYTES = 512 << 10
#: Upper limit of the bytes that the frame of a record and the header of a batch add to a value.
_FRAME_BYTES = 4 << 10


class KafkaLog:
    """The event log on Kafka. A record is durable when all in-sync replicas have it (``acks=all``)."""

    name = "eventlog"

    def __init__(
        self, kafka: KafkaSection, section: EventLogSection, metrics: EventLogMetrics, *, connect_timeout_s: float = 10
    ) -> None:
        self._client = KafkaClient(kafka, section.request_timeout_s, connect_timeout_s)
        self._section = section
        self._metrics = metrics
        self._batches: KafkaBatches | None = None
        #: A consumer without a group. It reads the first and last offsets of partitions.
        self._offsets_reader: AIOKafkaConsumer | None = None
        self._tasks = TaskScope("kafka")
        self._retiring: set[asyncio.Task[None]] = set()
        self._in_flight = InFlightLimit(section.max_unsent_bytes)

    @property
    def address(self) -> str:
        """Return the address of the log, for logs and error messages."""
        return self._client.address

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect.

        Raises:
            StartupError: no broker answers in time, or the brokers refuse us.
        """
        await self._client.start()

    async def stop(self) -> None:
        """Send the records that are being published, and disconnect."""
        batches, self._batches = self._batches, None
        reader, self._offsets_reader = self._offsets_reader, None
        for client in (batches, reader):
            if client is not None:
                with contextlib.suppress(TimeoutError, KafkaError):
                    async with asyncio.timeout(self._section.request_timeout_s):
                        await client.stop()
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=self._section.request_timeout_s)
        await self._tasks.aclose()
        await self._client.stop()

    async def ping(self) -> None:
        """Raise Unavailable while no broker answers or accepts us, or while a group refuses us."""
        await self._client.ping()

    # -- topics -------------------------------------------------------------------------------------------------------

    async def ensure_topics(self, partitions: Mapping[str, int]) -> list[str]:
        """See :class:`airnode.store.eventlog.log.EventLog`."""
        return await self._client.ensure_topics(partitions)

    async def grow_topics(self, partitions: Mapping[str, int]) -> None:
        """See :class:`airnode.store.eventlog.log.EventLog`."""
        await self._client.grow_topics(partitions)

    async def topics(self) -> dict[str, int]:
        """See :class:`airnode.store.eventlog.log.EventLog`."""
        return await self._client.topics()

    async def partitions_of(self, topics: Sequence[str]) -> list[Partition]:
        """Return all partitions of these topics. Raises StartupError if a topic does not exist."""
        return await self._client.partitions_of(topics)

    # -- publishing ---------------------------------------------------------------------------------------------------

    async def publish(self, records: Sequence[Record]) -> None:
        """Store all records, in few batches. Waits while too many bytes are being published."""
        check_sizes(records, self._section.max_record_bytes)
        batches = self._batches or await self._connect_producer()
        async with self._in_flight.reserve(sum(len(record.value) for record in records)):
            with self._client.available():
                try:
                    await batches.publish(records)
                except KafkaError:
                    self._retire(batches)
                    raise
        for topic in {record.topic for record in records}:
            self._metrics.published.labels(topic).inc(sum(record.topic == topic for record in records))

    async def _connect_producer(self) -> KafkaBatches:
        producer = await self._client.connect(
            lambda: AIOKafkaProducer(
                **self._client.arguments,
                acks="all",
                enable_idempotence=True,
                linger_ms=_LINGER_MS,
                max_batch_size=max(_BATCH_BYTES, self._section.max_record_bytes + _FRAME_BYTES),
                max_request_size=max(1 << 20, self._section.max_record_bytes + _FRAME_BYTES),
            ),
            Unavailable,
        )
        if (existing := self._batches) is not None:  # another call connected at the same time
            await producer.stop()
            return existing
        self._batches = KafkaBatches(producer)
        return self._batches

    def _retire(self, batches: KafkaBatches) -> None:
        """Replace a producer that failed: its sequence numbers have a gap, and Kafka rejects everything after the gap.

        aiokafka retries by itself as long as this can help. Only errors after its last retry arrive here.
        """
        if self._batches is not None and self._batches is batches:
            self._batches = None
            retiring = self._tasks.spawn("retire", batches.stop())
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)

    # -- reading ------------------------------------------------------------------------------------------------------

    def subscribe(self, topics: Sequence[str], group: str, rebalancing: Rebalancing | None = None) -> KafkaSubscription:
        """Return a new member of the group."""
        return KafkaSubscription(self._client, self._section, self._metrics, topics, group, rebalancing)

    async def lag(self, group: str, topics: Sequence[str]) -> dict[Partition, Lag]:
        """See :class:`airnode.store.eventlog.log.EventLog`."""
        partitions = await self.partitions_of(topics)
        wanted = [TopicPartition(*each) for each in partitions]
        with self._client.available():
            committed = await self._client.admin.list_consumer_group_offsets(group)
            reader = await self._connect_offsets_reader()
            begins, ends = await reader.beginning_offsets(wanted), await reader.end_offsets(wanted)
        found = {}
        for partition, tp in zip(partitions, wanted, strict=True):
            known = committed.get(tp)
            position = known.offset if known is not None and known.offset >= 0 else begins[tp]
            found[partition] = Lag(position, ends[tp], max(0, ends[tp] - position))
        return found

    async def _connect_offsets_reader(self) -> AIOKafkaConsumer:
        if self._offsets_reader is None:
            reader = await self._client.connect_consumer()
            if self._offsets_reader is not None:  # another call connected at the same time
                await reader.stop()
            else:
                self._offsets_reader = reader
        return self._offsets_reader
