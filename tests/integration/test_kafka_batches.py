"""Publishing to Kafka in batches: many calls share a batch, and each call gets the result of its own records."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from airnode.errors import Unavailable
from airnode.store.eventlog.kafka_batches import KafkaBatches
from airnode.store.eventlog.log import Record
from tests.support.eventlog import LogRig, read
from tests.support.kafka import Kafka
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("kafka")


class WatchedProducer(AIOKafkaProducer):
    """Counts batches. They wait while the gate is closed, and raise ``error`` if it is set."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        self.batches = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: KafkaError | None = None

    async def send_batch(self, batch, topic, *, partition):
        self.batches += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await super().send_batch(batch, topic, partition=partition)


class Rig:
    def __init__(self, logs: LogRig, producer: WatchedProducer) -> None:
        self.logs = logs
        self.producer = producer
        self.batches = KafkaBatches(producer)
        self.topic = logs.name("orders")

    async def open(self) -> "Rig":
        self.log = await self.logs.open()
        await self.log.ensure_topics({self.topic: 1})
        return self

    def publish(self, *values: bytes) -> "asyncio.Task[None]":
        return asyncio.create_task(self.batches.publish([Record(self.topic, "key", value) for value in values]))

    async def stored(self, count: int) -> list[bytes]:
        member = await self.logs.join(self.log, [self.topic], uuid.uuid4().hex)
        return [each.value for each in await read(member, count)]

    async def block_first_batch(self) -> "asyncio.Task[None]":
        """Close the gate, and return the call whose batch waits there."""
        self.producer.gate.clear()
        first = self.publish(b"first")
        await eventually(lambda: self.producer.batches == 1, 30, "the first batch is sent")
        return first


@pytest.fixture
async def rig(kafka: Kafka) -> AsyncIterator[Rig]:
    async with contextlib.AsyncExitStack() as stack:
        logs = await stack.enter_async_context(LogRig(bootstrap=kafka.bootstrap))
        producer = WatchedProducer(
            bootstrap_servers=list(kafka.bootstrap), acks="all", enable_idempotence=True, max_batch_size=4096
        )
        await producer.start()
        stack.push_async_callback(producer.stop)  # may be stopped twice
        yield await Rig(logs, producer).open()


async def test_calls_during_the_sending_of_a_batch_share_the_next_batch(rig: Rig):
    first = await rig.block_first_batch()
    more = [rig.publish(b"%d" % number, b"%d again" % number) for number in range(50)]
    await asyncio.sleep(0)
    rig.producer.gate.set()
    await asyncio.gather(first, *more)

    assert rig.producer.batches == 2
    wanted = [b"first"] + [text for number in range(50) for text in (b"%d" % number, b"%d again" % number)]
    assert await rig.stored(101) == wanted


async def test_many_records_are_sent_in_several_batches_in_order(rig: Rig):
    first = await rig.block_first_batch()
    values = [b"%06d" % number * 50 for number in range(100)]
    more = [rig.publish(*values[at : at + 20]) for at in range(0, 100, 20)]
    await asyncio.sleep(0)
    rig.producer.gate.set()
    await asyncio.gather(first, *more)

    assert 7 < rig.producer.batches < 15
    assert await rig.stored(101) == [b"first", *values]


async def test_all_calls_of_a_failed_batch_fail_and_can_be_repeated(rig: Rig):
    first = await rig.block_first_batch()
    more = [rig.publish(b"a"), rig.publish(b"b")]
    await asyncio.sleep(0)
    rig.producer.error = KafkaTimeoutError()
    rig.producer.gate.set()
    outcomes = await asyncio.gather(first, *more, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [KafkaTimeoutError] * 3

    rig.producer.error = None
    await asyncio.gather(rig.publish(b"a"), rig.publish(b"b"))
    assert await rig.stored(2) == [b"a", b"b"]


async def test_a_cancelled_call_does_not_affect_the_others(rig: Rig):
    first = await rig.block_first_batch()
    given_up, other = rig.publish(b"a"), rig.publish(b"b")
    await asyncio.sleep(0)
    given_up.cancel()
    rig.producer.gate.set()
    await asyncio.gather(first, other)
    assert given_up.cancelled()
    assert await rig.stored(3) == [b"first", b"a", b"b"]


async def test_closing_fails_all_waiting_calls(rig: Rig):
    first = await rig.block_first_batch()
    other = rig.publish(b"a")
    await asyncio.sleep(0)
    await rig.batches.stop()
    for call in (first, other):
        with pytest.raises(Unavailable):
            await call
