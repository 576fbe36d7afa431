"""From the cache to the log: at a pace, in order, and the very same records again where the log did not take them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.redis import RedisSection
from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.cache.catalogue import CachedProduct, CachedUser, Catalogue, CatalogueMetrics
from airnode.pipeline.events import OrderPlaced, ProductViewed, UserSignedIn, decode_event
from airnode.pipeline.metrics import ProducerMetrics
from airnode.pipeline.preconditions import ensure_topics
from airnode.pipeline.produce.producer import Producer
from airnode.store.eventlog.log import EventLog, Record
from tests.support.eventlog import LogRig, read
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("kafka")

PRODUCTS = {n: 1000 * n for n in range(1, 21)}


class Recorder:
    """A log that keeps what it was given, and refuses it where it is told to."""

    def __init__(self, log: EventLog | None = None) -> None:
        self._log = log
        self.tried: list[Sequence[Record]] = []
        self.taken: list[Record] = []
        self.refusing = False

    async def publish(self, records: Sequence[Record]) -> None:
        self.tried.append(records)
        if self.refusing:
            raise Unavailable("The log is away.")
        if self._log is not None:
            await self._log.publish(records)
        self.taken += records


class Rig:
    """A Redis with a cache, and producers."""

    def __init__(self, redis_url: str) -> None:
        self.bus = Bus(RedisSection(url=redis_url), BusMetrics(CollectorRegistry()))
        self.stack = contextlib.AsyncExitStack()

    async def open(self) -> "Rig":
        await self.bus.start()
        self.stack.push_async_callback(self.bus.stop)
        return self

    async def fill(self) -> None:
        for n in range(1, 51):
            user = CachedUser(user_id=n, name=f"user {n}", email=f"{n}@example.com", locale="ko")
            await self.bus.client.hset("cache:users", str(n), msgspec.json.encode(user))
        for n, krw in PRODUCTS.items():
            product = CachedProduct(product_id=n, title="Go", category="code", price_krw=krw)
            await self.bus.client.hset("cache:products", str(n), msgspec.json.encode(product))

    async def producer(self, log: object, rate_per_s: float, **more: float) -> tuple[Producer, CollectorRegistry]:
        registry = CollectorRegistry()
        catalogue = Catalogue(self.bus, None, CatalogueMetrics(registry))
        await catalogue.start()
        self.stack.push_async_callback(catalogue.stop)
        producer = Producer(log, catalogue, ProducerMetrics(registry), rate_per_s, TaskScope("test"), **more)
        await producer.start()
        self.stack.push_async_callback(producer.stop)
        return producer, registry


@pytest.fixture
async def rig(valkey_url: str) -> AsyncIterator[Rig]:
    made = await Rig(valkey_url).open()
    async with made.stack:
        yield made


def produced(registry: CollectorRegistry) -> float:
    name = "airnode_pipeline_produced_total"
    return sum(registry.get_sample_value(name, {"topic": t}) or 0 for t in ("users", "products", "orders"))


async def test_events_of_what_is_in_the_cache_come_to_the_log(rig: Rig, logs: LogRig):
    await rig.fill()
    log = await logs.open()
    there = {name: logs.name(name) for name in ("users", "products", "orders")}
    await log.ensure_topics(dict.fromkeys(there.values(), 3))

    class Renamed:
        """Kafka's topics are kept from one test to the next."""

        async def publish(self, records: Sequence[Record]) -> None:
            await log.publish([Record(there[each.topic], each.key, each.value) for each in records])

    producer, registry = await rig.producer(Renamed(), 500)
    member = await logs.join(log, list(there.values()), logs.name("g"))
    found = await read(member, 300)
    await producer.check()
    await producer.drain()
    total = produced(registry)
    found += await read(member, int(total) - len(found)) if total > len(found) else []
    assert len(found) == total
    topics = {theirs: ours for ours, theirs in there.items()}
    events = [decode_event(each.value, topics[each.partition.topic]) for each in found]
    assert len({event.event_id for event in events}) == total
    assert {type(event) for event in events} == {OrderPlaced, ProductViewed, UserSignedIn}
    orders = [event for event in events if isinstance(event, OrderPlaced)]
    assert all(order.unit_price_krw == PRODUCTS[order.product_id] and 1 <= order.user_id <= 50 for order in orders)
    assert len(orders) > total / 3


async def test_events_that_the_log_refuses_are_published_again_unchanged_and_in_order(rig: Rig):
    await rig.fill()
    log = Recorder()
    producer, registry = await rig.producer(log, 0)
    await eventually(lambda: len(log.taken) > 2000, 30)
    log.refusing = True
    await eventually(lambda: producer._trouble, 30)
    with pytest.raises(Unavailable, match="away"):
        await producer.check()
    refused = len(log.tried)
    await eventually(lambda: len(log.tried) > refused + 6, 30, "it tries again")
    again = [[each.value for each in batch] for batch in log.tried[refused + 4 :]]
    assert all(batch in [[each.value for each in some] for some in log.tried[: refused + 4]] for batch in again)
    assert produced(registry) == len(log.taken)
    log.refusing = False
    await eventually(lambda: not producer._trouble, 30)
    await producer.drain()
    by_key: dict[str, list[OrderPlaced]] = {}
    for record in log.taken:
        by_key.setdefault(f"{record.topic}/{record.key}", []).append(decode_event(record.value, record.topic))
    for events in by_key.values():
        assert [event.occurred_at for event in events] == sorted(event.occurred_at for event in events)
    assert len({event.event_id for events in by_key.values() for event in events}) == len(log.taken)
    assert produced(registry) == len(log.taken)


async def test_while_the_log_takes_nothing_little_is_held(rig: Rig):
    await rig.fill()
    log = Recorder()
    log.refusing = True
    producer, _ = await rig.producer(log, 0)
    await eventually(lambda: len(log.tried) > 8, 30)
    await eventually(lambda: any(lane.full() for lane in producer._queues), 30, "making waits")
    assert all(0 < lane.maxsize <= 16 for lane in producer._queues)
    held = {record.value for batch in log.tried for record in batch}
    assert len(held) <= len(producer._queues) * 5000  # what a lane publishes at once


async def test_a_full_log_is_reported(rig: Rig, valkey_url: str):
    await rig.fill()
    async with LogRig(redis_url=valkey_url, stream_max_records=1000) as logs:
        log = await logs.open()
        await ensure_topics(log, 1)
        producer, registry = await rig.producer(log, 0)

        async def said() -> str:
            try:
                await producer.check()
            except Unavailable as error:
                return error.detail
            return ""

        assert "has taken nothing for" in await eventually(said, 40)
        assert produced(registry) <= 3 * 2000  # a batch may go over the limit, and then no more
        await producer.stop()


async def test_it_waits_for_the_cache_and_reports_it(rig: Rig):
    log = Recorder()
    producer, _ = await rig.producer(log, 100)
    await eventually(lambda: producer._trouble, 20)
    with pytest.raises(Unavailable, match="cache has no users: run a cache-worker"):
        await producer.check()
    await rig.fill()
    await eventually(lambda: log.taken, 20)
    assert await producer.check() == "100 events a second"


async def test_what_was_made_when_it_drains_is_published(rig: Rig):
    await rig.fill()
    log = Recorder()
    producer, registry = await rig.producer(log, 0)
    await eventually(lambda: log.taken, 20)
    log.refusing = True
    await eventually(lambda: producer._trouble, 20)
    draining = asyncio.create_task(producer.drain())
    before = len(log.taken)
    log.refusing = False
    async with asyncio.timeout(30):
        await draining
    assert len(log.taken) > before
    assert produced(registry) == len(log.taken) == len({record.value for record in log.taken})
    assert {record.value for batch in log.tried for record in batch} == {record.value for record in log.taken}


async def test_a_log_that_stays_away_does_not_keep_it_from_ending(rig: Rig):
    await rig.fill()
    log = Recorder()
    log.refusing = True
    producer, registry = await rig.producer(log, 0, drain_s=0.2)
    await eventually(lambda: producer._trouble, 20)
    async with asyncio.timeout(20):
        await producer.drain()
        await producer.stop()
    assert produced(registry) == 0
