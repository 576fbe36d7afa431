"""From the log into PostgreSQL: each event once, whatever happens to it on the way."""

import asyncio
import contextlib
import dataclasses
import itertools
import random
import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from redis import asyncio as aioredis

from airnode.config.sections.pipeline import PipelineSection
from airnode.config.sections.postgres import PostgresSection
from airnode.errors import StartupError
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.admin import dlq
from airnode.pipeline.consume import dead_letters
from airnode.pipeline.consume.lag_watch import LagWatch
from airnode.pipeline.consume.member import ConsumerMember
from airnode.pipeline.consume.sinks import DeadLetterSink, EventSink
from airnode.pipeline.event import new_id_and_time
from airnode.pipeline.events import OrderPlaced, ProductViewed, UserSignedIn
from airnode.pipeline.metrics import ConsumerMetrics
from airnode.pipeline.preconditions import ensure_topics, require_unique_keys
from airnode.store.eventlog.log import Partition, Record
from airnode.store.eventlog.stream_layout import stream_key
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres
from tests.support.eventlog import LogRig
from tests.support.waiting import eventually


def order(user_id: int = 17, product_id: int = 5, quantity: int = 1) -> OrderPlaced:
    event_id, occurred_at = new_id_and_time()
    return OrderPlaced(
        event_id=event_id,
        occurred_at=occurred_at,
        key=str(user_id),
        user_id=user_id,
        product_id=product_id,
        quantity=quantity,
        unit_price_krw=1000,
    )


class Rig:
    """A log, a database with the schema, and lanes as a consumer has them."""

    def __init__(self, logs: LogRig, postgres_url: str) -> None:
        self.logs = logs
        self.postgres = Postgres(PostgresSection(url=postgres_url))
        self.registry = CollectorRegistry()
        self.metrics = ConsumerMetrics(self.registry)
        self.stack = contextlib.AsyncExitStack()

    async def open(self) -> "Rig":
        await self.postgres.start()
        self.stack.push_async_callback(self.postgres.stop)
        await migrate(self.postgres)
        self.log = await self.logs.open()
        await ensure_topics(self.log, 3)
        return self

    async def lane(self, *topics: str, registry=None, **section) -> ConsumerMember:
        metrics = self.metrics if registry is None else ConsumerMetrics(registry)
        sink = EventSink(self.postgres, self.log, metrics, "g")
        return await self._started(sink, metrics, topics or ("users", "products", "orders"), "g", section)

    async def letters(self) -> ConsumerMember:
        return await self._started(
            DeadLetterSink(self.postgres), self.metrics, (dead_letters.TOPIC,), dead_letters.GROUP, {}
        )

    async def _started(self, sink, metrics, topics, group, section) -> ConsumerMember:
        lane = ConsumerMember(
            self.log,
            sink,
            PipelineSection(**{"batch_wait_s": 0.02, **section}),
            metrics,
            topics,
            group,
            settle_s=1,
            tasks=TaskScope("test"),
        )
        await lane.start()
        self.stack.push_async_callback(lane.stop)
        return lane

    async def count(self, table: str) -> int:
        return await self.postgres.fetchval(f"SELECT count(*) FROM pipeline.{table}")

    async def until(self, table: str, count: int) -> None:
        async def there() -> bool:
            return await self.count(table) >= count

        await eventually(there, 30, f"{count} in {table}")
        assert await self.count(table) == count

    async def caught_up(self) -> bool:
        return not sum(each.records for each in (await self.log.lag("g", ["orders"])).values())

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"airnode_pipeline_{name}_total", labels) or 0


@pytest.fixture
async def rig(valkey_url: str, postgres_url: str) -> AsyncIterator[Rig]:
    async with LogRig(redis_url=valkey_url) as logs:
        made = await Rig(logs, postgres_url).open()
        async with made.stack:
            yield made


async def test_events_of_all_topics_land_and_totals_with_them(rig: Rig):
    common = dict(zip(("event_id", "occurred_at"), new_id_and_time(), strict=True)) | {"key": "1"}
    signed_in = UserSignedIn(**common, user_id=1)
    viewed = ProductViewed(**common, product_id=5, user_id=1)
    orders = [order(user_id=n, product_id=n % 3, quantity=n % 2 + 1) for n in range(200)]
    await rig.lane()
    await rig.log.publish([signed_in.record(), viewed.record(), *(each.record() for each in orders)])
    await rig.until("orders", 200)
    await rig.until("user_events", 1)
    await rig.until("product_events", 1)
    totals = await rig.postgres.fetchrow(
        "SELECT sum(orders) AS n, sum(revenue_krw) AS won FROM pipeline.orders_per_minute"
    )
    assert (totals["n"], totals["won"]) == (200, sum(each.quantity * 1000 for each in orders))
    rows = await rig.postgres.fetch("SELECT product_id, orders, quantity FROM pipeline.orders_per_product ORDER BY 1")
    assert [(row["product_id"], row["orders"]) for row in rows] == [(0, 67), (1, 67), (2, 66)]
    body = await rig.postgres.fetchval("SELECT body->>'type' FROM pipeline.product_events")
    assert body == "product.viewed"
    assert rig.metric("landed", topic="orders") == 200


async def test_what_a_later_airnode_adds_to_an_event_is_kept(rig: Rig):
    await rig.letters()
    await rig.lane("users", "products")
    common = dict(zip(("event_id", "occurred_at"), new_id_and_time(), strict=True)) | {"key": "1"}
    record = ProductViewed(**common, product_id=5, user_id=1).record()
    value = record.value[:-1] + b',"device":{"kind":"phone"}}'
    # What no decoder wants, half a surrogate pair; and what only PostgreSQL refuses, a number beyond measure.
    odd = [value.replace(b'"phone"', text).replace(b'"1"', b'"2"') for text in (rb'"\ud800"', b"1e999999")]
    await rig.log.publish([Record("products", "1", each) for each in (*odd, value)])
    await rig.until("product_events", 1)
    assert await rig.postgres.fetchval("SELECT body->'device'->>'kind' FROM pipeline.product_events") == "phone"
    await rig.until("dead_letters", 2)
    assert {row["reason"] for row in await rig.postgres.fetch("SELECT reason FROM pipeline.dead_letters")} == {
        "not_json",
        "refused",
    }


async def test_a_repeated_event_is_inserted_once(rig: Rig):
    orders = [order() for _ in range(50)]
    await rig.lane("orders")
    for _ in range(4):
        await rig.log.publish([each.record() for each in random.sample(orders, len(orders))])
    await eventually(lambda: rig.metric("landed", topic="orders") + rig.metric("repeated", topic="orders") == 200, 30)
    assert await rig.count("orders") == 50
    assert await rig.postgres.fetchval("SELECT sum(orders) FROM pipeline.orders_per_minute") == 50
    assert rig.metric("landed", topic="orders") == 50


async def test_bad_records_are_put_aside_with_why_and_where_and_the_rest_lands(rig: Rig):
    await rig.lane("orders")
    await rig.letters()
    good = [order(user_id=n) for n in range(100)]
    records = [each.record() for each in good]
    huge = 2**70
    bad = {
        "not_json": Record("orders", "k", b"\x00not json"),
        "unknown_version": Record("orders", "k", good[0].record().value.replace(b'"v":1', b'"v":9')),
        "refused": order(quantity=0).record(),
    }
    out_of_range = Record("orders", "k", order().record().value.replace(b'"user_id":17', b'"user_id":%d' % huge))
    records[10:10], records[50:50] = list(bad.values()), [out_of_range]
    await rig.log.publish(records)
    await rig.until("orders", 100)
    await rig.until("dead_letters", 4)
    rows = await rig.postgres.fetch("SELECT * FROM pipeline.dead_letters ORDER BY reason")
    assert [row["reason"] for row in rows] == ["not_json", "refused", "refused", "unknown_version"]
    assert len({(row["partition"], row["log_offset"]) for row in rows}) == 4
    for row in rows:
        assert row["topic"] == "orders"
        assert row["group_id"] == "g"
        assert row["attempts"] == 1
        assert row["detail"]
        assert abs((row["died_at"] - datetime.now(UTC)).total_seconds()) < 60
    assert {bytes(row["value"]) for row in rows} == {each.value for each in (*bad.values(), out_of_range)}
    assert rig.metric("dead_letters", topic="orders", reason="refused") == 2
    assert sum(each.records for each in (await rig.log.lag("g", ["orders"])).values()) == 0


async def test_any_invalid_record_becomes_a_dead_letter_and_the_others_are_inserted(rig: Rig, valkey_url: str):
    """What other programs put on the log: no time zone, endless nesting, more than a record may have."""
    await rig.letters()
    lane = await rig.lane("orders")
    text = order().record().value
    deep = b'{"type":"order.placed","v":1,"more":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    poison = {
        "invalid": (re.sub(rb'("occurred_at":"[^"]*)Z"', rb'\1"', text), deep),
        "too_large": (b"x" * 300_000, b'{"key":"' + b"k" * 300_000),
    }
    async with aioredis.from_url(valkey_url) as redis:
        for value in itertools.chain.from_iterable(poison.values()):
            await redis.xadd(stream_key(Partition("orders", 0)), {"k": "1" * 5000, "v": value})
    await rig.log.publish([order(user_id=n).record() for n in range(50)])
    await rig.until("orders", 50)
    await rig.until("dead_letters", 4)
    rows = await rig.postgres.fetch("SELECT * FROM pipeline.dead_letters ORDER BY reason, log_offset")
    assert [row["reason"] for row in rows] == ["invalid"] * 2 + ["too_large"] * 2
    assert "300000 bytes" in rows[2]["detail"]
    assert poison["too_large"][0].startswith(bytes(rows[2]["value"]))
    await eventually(lambda: rig.caught_up(), 20, "all of it is committed")
    assert not lane.trouble
    chosen = await dlq.select(rig.postgres, dlq.DeadLetterFilter(reason="too_large"))
    assert len(chosen.ids) == 2
    assert await dlq.replay(rig.postgres, rig.log, chosen) == 0, "half a record is no record"


async def test_an_order_beyond_measure_does_not_spoil_the_totals_of_others(rig: Rig):
    await rig.letters()
    await rig.lane("orders")
    largest = 2**63 - 1
    dear = [order(quantity=1) for _ in range(2)]
    records = [re.sub(rb'"unit_price_krw":\d+', b'"unit_price_krw":%d' % largest, each.record().value) for each in dear]
    await rig.log.publish([Record("orders", "17", value) for value in records])
    await rig.log.publish([order().record() for _ in range(20)])
    await rig.until("orders", 22)
    for table in ("orders_per_minute", "orders_per_product"):
        assert await rig.postgres.fetchval(f"SELECT sum(revenue_krw) FROM pipeline.{table}") == 2 * largest + 20_000
    assert await rig.count("dead_letters") == 0


async def test_a_dead_letter_published_twice_is_stored_once(rig: Rig):
    await rig.letters()
    letter = dead_letters.DeadLetter(
        dead_letters.Partition("orders", 1), 7, "k\0", b"\xff", "invalid", "no\0", 2, "g", datetime.now(UTC)
    )
    odd = (
        ("partition", b"9" * 30),
        ("offset", b"-1"),
        ("attempts", b"9" * 12),
        ("died_at", b"soon"),
        ("reason", b"\xff"),
    )
    strange = [Record(dead_letters.TOPIC, "", b"no headers at all"), Record(dead_letters.TOPIC, "", b"odd ones", odd)]
    strange.append(Record(dead_letters.TOPIC, "", b"beyond", (("died_at", b"9999-12-31T23:59:59-14:00"),)))
    # A topic that was made anew has the same offsets with other records.
    another = dataclasses.replace(letter, value=b"another", attempts=1)
    namesake = dataclasses.replace(another, value=b"namesake")
    letters = [each.record() for each in (letter, letter, another, namesake)]
    await rig.log.publish([*letters, *strange])
    await rig.until("dead_letters", 6)
    row = await rig.postgres.fetchrow("SELECT * FROM pipeline.dead_letters WHERE attempts = 2")
    assert (row["letter_id"], row["log_offset"], bytes(row["value"])) == (letter.letter_id, 7, b"\xff")
    assert isinstance(row["letter_id"], uuid.UUID)


async def test_while_the_database_takes_nothing_all_waits_and_fetching_stops(rig: Rig):
    lane = await rig.lane("orders", buffer_records=200, batch_records=50)
    await rig.postgres.execute("ALTER TABLE pipeline.orders RENAME TO orders_away")
    await rig.log.publish([order(user_id=n).record() for n in range(600)])
    await eventually(lambda: rig.metric("pauses") == 1, 30, "fetching stops")
    await eventually(lambda: lane.trouble, 30, "it says so")
    assert "schema" in lane.trouble.text
    await rig.postgres.execute("ALTER TABLE pipeline.orders_away RENAME TO orders")
    await rig.until("orders", 600)
    await eventually(lambda: not lane.trouble, 20)


async def test_a_second_consumer_takes_its_share_and_what_the_first_leaves(rig: Rig):
    first = await rig.lane("orders", registry=CollectorRegistry())
    second = await rig.lane("orders", registry=CollectorRegistry())
    await eventually(lambda: first.assigned and second.assigned and len(first.assigned | second.assigned) == 3, 30)
    sent = 0
    for _ in range(10):
        await rig.log.publish([order(user_id=n).record() for n in range(50)])
        sent += 50
    await first.drain()
    await first.stop()
    await rig.log.publish([order(user_id=n).record() for n in range(50)])
    await rig.until("orders", sent + 50)
    assert await rig.postgres.fetchval("SELECT sum(orders) FROM pipeline.orders_per_minute") == sent + 50


async def test_draining_inserts_and_commits_what_was_fetched(rig: Rig):
    lane = await rig.lane("orders", batch_wait_s=5, batch_records=1000)
    await rig.log.publish([order(user_id=n).record() for n in range(30)])
    await eventually(lambda: "30 records" in str(lane._buffer.__len__()) or len(lane._buffer) == 30, 20)
    async with asyncio.timeout(20):
        await lane.drain()
    assert await rig.count("orders") == 30
    assert sum(each.records for each in (await rig.log.lag("g", ["orders"])).values()) == 0


async def test_lag_is_measured_and_a_partition_that_does_not_move_is_reported(rig: Rig):
    watch = LagWatch(rig.log, {"g": ("orders",)}, rig.metrics, stuck_s=0.01, tasks=TaskScope("watch"))
    await rig.log.publish([order(user_id=n).record() for n in range(30)])
    await watch.start()
    rig.stack.push_async_callback(watch.stop)
    name = "airnode_pipeline_lag_records"
    labels = {"topic": "orders", "group": "g"}
    await eventually(lambda: rig.registry.get_sample_value(name, labels) == 30, 20)
    await eventually(lambda: rig.metric("stuck", topic="orders"), 20, "it is stuck")
    with pytest.raises(Exception, match=r"g has not moved on in orders/"):
        await watch.check()
    await rig.lane("orders")
    await eventually(lambda: rig.registry.get_sample_value(name, labels) == 0, 20)
    await watch.check()


async def test_a_missing_unique_key_is_an_error_at_the_start(rig: Rig):
    await require_unique_keys(rig.postgres)
    await rig.postgres.execute("ALTER TABLE pipeline.orders DROP CONSTRAINT orders_pkey")
    with pytest.raises(StartupError, match=r"ALTER TABLE pipeline.orders ADD PRIMARY KEY \(event_id\)"):
        await require_unique_keys(rig.postgres)
