"""The outbox: a row and its event come both or not at all, in order, whatever dies in between."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import structlog
from prometheus_client import CollectorRegistry

from airnode.config.sections.postgres import PostgresSection
from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.event import new_id_and_time
from airnode.pipeline.events import ProductPriceChanged, decode_event
from airnode.pipeline.metrics import ProducerMetrics
from airnode.pipeline.preconditions import ensure_topics
from airnode.pipeline.produce import outbox
from airnode.pipeline.produce.outbox_relay import OutboxRelay
from airnode.store.eventlog.log import EventLog, Record
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres
from tests.support.eventlog import LogRig, read
from tests.support.waiting import eventually

_ROOT = Path(__file__).parents[2]


def price(product_id: int, krw: int) -> ProductPriceChanged:
    event_id, occurred_at = new_id_and_time()
    return ProductPriceChanged(
        event_id=event_id, occurred_at=occurred_at, key=str(product_id), product_id=product_id, price_krw=krw
    )


class Rig:
    """A database with an outbox, a log, and somebody who reads all of it."""

    def __init__(self, logs: LogRig, url: str) -> None:
        self.logs = logs
        self.url = url
        self.postgres = Postgres(PostgresSection(url=url))
        self.stack = contextlib.AsyncExitStack()

    async def open(self) -> "Rig":
        await self.postgres.start()
        self.stack.push_async_callback(self.postgres.stop)
        await migrate(self.postgres)
        self.log = await self.logs.open()
        await ensure_topics(self.log, 3)
        self.member = await self.logs.join(self.log, ("users", "products", "orders"), "reader")
        return self

    async def relay(self, log: EventLog | None = None, patience_s: float = 30) -> tuple[OutboxRelay, CollectorRegistry]:
        registry = CollectorRegistry()
        metrics = ProducerMetrics(registry)
        relay = OutboxRelay(self.postgres, log or self.log, metrics, TaskScope("test"), patience_s=patience_s)
        await relay.start()
        self.stack.push_async_callback(relay.stop)
        return relay, registry

    async def add(self, *events: ProductPriceChanged) -> None:
        async with self.postgres.transaction() as connection:
            await outbox.add(connection, *events)

    async def left(self) -> int:
        return await self.postgres.fetchval("SELECT count(*) FROM pipeline.outbox")

    async def emptied(self) -> None:
        async def empty() -> bool:
            return await self.left() == 0

        await eventually(empty, 30, "the outbox is empty")


@pytest.fixture
async def rig(valkey_url: str, postgres_url: str) -> AsyncIterator[Rig]:
    async with LogRig(redis_url=valkey_url) as logs:
        made = await Rig(logs, postgres_url).open()
        async with made.stack:
            yield made


async def test_committed_events_are_published_in_order_and_rolled_back_ones_are_not(rig: Rig):
    relay, registry = await rig.relay()
    sent = [price(product_id, krw) for krw in range(60) for product_id in (1, 2, 3)]
    for begin in range(0, len(sent), 9):
        await rig.add(*sent[begin : begin + 9])
        with contextlib.suppress(asyncpg.DivisionByZeroError):
            async with rig.postgres.transaction() as connection:
                await outbox.add(connection, price(9, 1))
                await connection.execute("SELECT 1 / 0")
    await rig.add()
    events = [decode_event(each.value, "products") for each in await read(rig.member, len(sent))]
    await rig.emptied()
    assert {event.event_id for event in events} == {event.event_id for event in sent}
    for product_id in (1, 2, 3):
        assert [event.price_krw for event in events if event.product_id == product_id] == list(range(60))
    assert registry.get_sample_value("airnode_pipeline_outbox_sent_total", {"topic": "products"}) == len(sent)
    await relay.check()


async def test_of_two_transactions_on_one_row_the_events_keep_the_order(rig: Rig):
    await rig.postgres.execute(
        "INSERT INTO pipeline.products (product_id, title, category, price_krw) VALUES (1, 'Go', 'code', 0)"
    )

    async def change(krw: int) -> None:
        async with rig.postgres.transaction() as connection:
            now = await connection.fetchval(
                "UPDATE pipeline.products SET price_krw = price_krw + 1 WHERE product_id = 1 RETURNING price_krw"
            )
            await outbox.add(connection, price(1, now))

    await asyncio.gather(*(change(krw) for krw in range(30)))
    await rig.relay()
    events = [decode_event(each.value, "products") for each in await read(rig.member, 30)]
    assert [event.price_krw for event in events] == list(range(1, 31))


class Halting:
    """A log that stores, and then does not come back until it is let go; or refuses."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.calls = 0
        self.refuse = False
        self.stored, self.go_on = asyncio.Event(), asyncio.Event()

    async def publish(self, records: list[Record]) -> None:
        self.calls += 1
        if self.refuse:
            raise Unavailable("The log is full.")
        await self._log.publish(records)
        self.stored.set()
        await self.go_on.wait()


async def test_one_relay_acts_at_a_time(rig: Rig):
    first, second = Halting(rig.log), Halting(rig.log)
    await rig.relay(first)
    await rig.add(price(1, 1))
    await eventually(lambda: first.calls, 30)
    relay, _ = await rig.relay(second)
    await rig.add(price(1, 2))
    assert await relay._relay_batch() is False
    assert second.calls == 0
    first.go_on.set()
    second.go_on.set()
    await rig.emptied()
    events = [decode_event(each.value, "products") for each in await read(rig.member, 2)]
    assert [event.price_krw for event in events] == [1, 2]


async def test_an_unavailable_log_leaves_all_in_the_outbox_and_is_reported(rig: Rig):
    log = Halting(rig.log)
    log.refuse = True
    log.go_on.set()
    relay, _ = await rig.relay(log)
    await rig.add(price(1, 1))
    await eventually(lambda: relay.trouble, 30)
    with pytest.raises(Unavailable, match="full"):
        await relay.check()
    assert await rig.left() == 1
    log.refuse = False
    await rig.emptied()
    await relay.check()
    assert len(await read(rig.member, 1)) == 1


async def test_a_log_that_accepts_nothing_keeps_no_transaction_open(rig: Rig):
    log = Halting(rig.log)
    relay, _ = await rig.relay(log, patience_s=0.3)
    await rig.add(price(1, 1))
    await eventually(lambda: relay.trouble, 30)
    with pytest.raises(Unavailable, match=r"has taken nothing for 0\.3 s"):
        await relay.check()
    async with asyncio.timeout(20):
        await relay.drain()
    log.go_on.set()
    await rig.relay()
    await rig.emptied()
    assert {decode_event(each.value, "products").price_krw for each in await read(rig.member, 1)} == {1}


async def test_killed_between_publishing_and_deleting_nothing_is_lost(rig: Rig):
    sent = [price(1, krw) for krw in range(20)]
    await rig.add(*sent)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.test_outbox",
        json.dumps({"redis": rig.logs._redis_url, "postgres": rig.url}),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(40):
            assert await process.stdout.readline() == b"published\n"
        assert len(await read(rig.member, 20)) == 20
    finally:
        process.kill()
        await process.wait()
    assert await rig.left() == 20
    await rig.relay()
    again = [decode_event(each.value, "products") for each in await read(rig.member, 20)]
    await rig.emptied()
    assert [event.event_id for event in again] == [event.event_id for event in sent]


async def _die_here(redis: str, postgres: str) -> None:
    """Publish, say so, and stand still with the transaction open."""
    async with LogRig(redis_url=redis) as logs:
        pool = Postgres(PostgresSection(url=postgres))
        await pool.start()
        log = Halting(await logs.open())
        relay = OutboxRelay(pool, log, ProducerMetrics(CollectorRegistry()), TaskScope("dying"))
        await relay.start()
        await log.stored.wait()
        print("published", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(_die_here(**json.loads(sys.argv[1])))
