"""Publishing to Kafka in batches: concurrent calls for one partition share a batch.

The cost for Kafka and aiokafka is mostly per batch. While one batch of a partition is being sent, the next one fills.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.store.eventlog.log import Partition, Record


class KafkaBatches:
    """Passes records to a producer in batches. This is much faster than single records."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._partitioner = DefaultPartitioner()
        #: Spreads records without a key over the partitions.
        self._next_number = itertools.count()
        self._partitions: dict[Partition, _PartitionBatches] = {}
        self._tasks = TaskScope("eventlog-batches")
        self._stopped = False

    async def publish(self, records: Sequence[Record]) -> None:
        """Publish records, and wait until all are stored.

        Raises:
            KafkaError, Unavailable: some records may not be stored.
        """
        used: list[_RecordBatch] = []
        by_partition = await self._by_partition(records)
        if self._stopped:  # another call failed; the caller retries with the next producer
            raise Unavailable("The event log's connection is being renewed.")
        for partition, group in by_partition.items():
            if partition not in self._partitions:
                self._partitions[partition] = _PartitionBatches(self._producer, partition, self._tasks)
            used += self._partitions[partition].add(group)
        if used:
            await asyncio.wait([batch.stored for batch in used])
        for batch in used:
            batch.stored.result()

    async def stop(self) -> None:
        """Send the records that are being published, and disconnect."""
        self._stopped = True
        try:
            await self._producer.stop()
        finally:
            await self._tasks.aclose()

    async def _by_partition(self, records: Sequence[Record]) -> dict[Partition, list[Record]]:
        numbers: dict[str, list[int]] = {}
        by_partition: dict[Partition, list[Record]] = {}
        for record in records:
            if record.topic not in numbers:
                numbers[record.topic] = sorted(await self._producer.partitions_for(record.topic))
            all_numbers = numbers[record.topic]
            if record.key:
                number = self._partitioner(record.key.encode(), all_numbers, all_numbers)
            else:
                number = all_numbers[next(self._next_number) % len(all_numbers)]
            by_partition.setdefault(Partition(record.topic, number), []).append(record)
        return by_partition


class _RecordBatch:
    """A batch that takes records until it is sent; ``stored`` is done when Kafka has stored or refused it."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def put(self, record: Record) -> bool:
        """Add a record; return False if the batch is full."""
        key, headers = record.key.encode() or None, list(record.headers)
        return self.builder.append(key=key, value=record.value, headers=headers, timestamp=None) is not None

    def ended(self, _sending: object) -> None:
        """Fail the waiting callers if the sending task ended early."""
        if not self.stored.done():
            self.stored.set_exception(Unavailable("The event log was closed in the midst of publishing."))
        self.stored.exception()  # marks it as retrieved: the callers may have been cancelled


class _PartitionBatches:
    """The batches of one partition: while one is being sent, the next one fills."""

    def __init__(self, producer: AIOKafkaProducer, partition: Partition, tasks: TaskScope) -> None:
        self._producer = producer
        self._partition = partition
        self._tasks = tasks
        self._filling: _RecordBatch | None = None
        self._sending = asyncio.Lock()

    def add(self, records: Sequence[Record]) -> list[_RecordBatch]:
        """Add records to the open batch, and to new ones when it is full; return the batches that were used."""
        used: list[_RecordBatch] = []
        for record in records:
            if self._filling is None or not self._filling.put(record):
                self._filling = self._open()
                self._filling.put(record)
            if not used or used[-1] is not self._filling:
                used.append(self._filling)
        return used

    def _open(self) -> _RecordBatch:
        batch = _RecordBatch(self._producer.create_batch())
        self._tasks.spawn("send", self._send(batch)).add_done_callback(batch.ended)
        return batch

    async def _send(self, batch: _RecordBatch) -> None:
        topic, number = self._partition
        try:
            async with self._sending:
                if self._filling is batch:
                    self._filling = None
                await (await self._producer.send_batch(batch.builder, topic, partition=number))
        except KafkaError as error:
            batch.stored.set_exception(error)
        else:
            batch.stored.set_result(None)


class InFlightLimit:
    """Limits the bytes that are being published and not stored yet. Callers wait in the order of their calls."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._room = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def reserve(self, count_bytes: int) -> AsyncIterator[None]:
        """Reserve bytes inside the context; wait until they are free.

        A request above the limit waits until nothing else is reserved.
        """
        async with self._room:
            await self._room.wait_for(lambda: self._bytes == 0 or self._bytes + count_bytes <= self._limit_bytes)
            self._bytes += count_bytes
        try:
            yield
        finally:
            async with self._room:
                self._bytes -= count_bytes
                self._room.notify_all()
