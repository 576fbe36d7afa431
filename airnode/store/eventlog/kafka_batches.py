"""What is published at about the same time goes to a partition as one batch, as Kafka's work is by the batch."""

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
    """Hands records to the producer batch by batch: that takes a fraction of what handing over single ones takes."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._partitioner = DefaultPartitioner()
        self._any_key = itertools.count()
        self._partitions: dict[Partition, _PartitionBatches] = {}
        self._tasks = TaskScope("eventlog-batches")
        self._stopped = False

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when all are stored.

        Raises:
            KafkaError, Unavailable: some may not be.
        """
        used: list[_Batch] = []
        placed = await self._placed(records)
        if self._stopped:  # another who publishes has met trouble; again, on the next producer
            raise Unavailable("The event log's connection is being made anew.")
        for partition, group in placed.items():
            if partition not in self._partitions:
                self._partitions[partition] = _PartitionBatches(self._producer, partition, self._tasks)
            used += self._partitions[partition].add(group)
        if used:
            await asyncio.wait([batch.stored for batch in used])
        for batch in used:
            batch.stored.result()

    async def stop(self) -> None:
        """Send what is on its way, and disconnect."""
        self._stopped = True
        try:
            await self._producer.stop()
        finally:
            await self._tasks.aclose()

    async def _placed(self, records: Sequence[Record]) -> dict[Partition, list[Record]]:
        numbers: dict[str, list[int]] = {}
        placed: dict[Partition, list[Record]] = {}
        for record in records:
            if record.topic not in numbers:
                numbers[record.topic] = sorted(await self._producer.partitions_for(record.topic))
            all_numbers = numbers[record.topic]
            if record.key:
                number = self._partitioner(record.key.encode(), all_numbers, all_numbers)
            else:
                number = all_numbers[next(self._any_key) % len(all_numbers)]
            placed.setdefault(Partition(record.topic, number), []).append(record)
        return placed


class _Batch:
    """Takes records until it is sent; ``stored`` says what became of it."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def put(self, record: Record) -> bool:
        """False: it is full."""
        key, headers = record.key.encode() or None, list(record.headers)
        return self.builder.append(key=key, value=record.value, headers=headers, timestamp=None) is not None

    def ended(self, _sending: object) -> None:
        """Nobody sends it any more: tell those who still wait for it."""
        if not self.stored.done():
            self.stored.set_exception(Unavailable("The event log was closed in the midst of publishing."))
        self.stored.exception()  # there may be nobody who waits


class _PartitionBatches:
    """One partition: one batch is on its way, the next one fills until that is stored."""

    def __init__(self, producer: AIOKafkaProducer, partition: Partition, tasks: TaskScope) -> None:
        self._producer = producer
        self._partition = partition
        self._tasks = tasks
        self._filling: _Batch | None = None
        self._sending = asyncio.Lock()

    def add(self, records: Sequence[Record]) -> list[_Batch]:
        """Put records into as many batches as they need, the first of which others may have begun."""
        used: list[_Batch] = []
        for record in records:
            if self._filling is None or not self._filling.put(record):
                self._filling = self._open()
                self._filling.put(record)
            if not used or used[-1] is not self._filling:
                used.append(self._filling)
        return used

    def _open(self) -> _Batch:
        batch = _Batch(self._producer.create_batch())
        self._tasks.spawn("send", self._send(batch)).add_done_callback(batch.ended)
        return batch

    async def _send(self, batch: _Batch) -> None:
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
        """Wait for room, and keep it inside the context. A request above the limit is let through alone."""
        async with self._room:
            await self._room.wait_for(lambda: self._bytes == 0 or self._bytes + count_bytes <= self._limit_bytes)
            self._bytes += count_bytes
        try:
            yield
        finally:
            async with self._room:
                self._bytes -= count_bytes
                self._room.notify_all()
