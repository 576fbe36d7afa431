"""What the admin page is told of the pipeline, and who is told."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.postgres import PostgresSection
from airnode.config.sections.redis import RedisSection
from airnode.errors import Unavailable
from airnode.kernel.meter import Meter
from airnode.kernel.tasks import TaskScope
from airnode.pipeline import keys
from airnode.pipeline.admin.overview import Overview
from airnode.pipeline.admin.stats_reporter import StatsReporter
from airnode.pipeline.admin.status import PipelineStatus
from airnode.pipeline.metrics import ReportedMeter
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres
from airnode.web.health import Identity
from tests.integration.conftest import Client, Lesson
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually


class Process:
    """The counters of a process, and its reporter."""

    def __init__(self, bus: Bus, name: str, **more) -> None:
        self.landed = Meter("airnode_landed_total", "l", ["topic"], registry=CollectorRegistry())
        sources = (ReportedMeter("landed", self.landed),)
        identity = Identity(f"node-{name}", name, ("consumer",))
        self.reporter = StatsReporter(bus, "consumer", identity, sources, TaskScope("test"), **more)


class Rig:
    """Both stores, and who looks at them."""

    def __init__(self, redis_url: str, postgres_url: str) -> None:
        self.stack = contextlib.AsyncExitStack()
        self.bus = Bus(RedisSection(url=redis_url), BusMetrics(CollectorRegistry()))
        self.postgres = Postgres(PostgresSection(url=postgres_url))
        self.overview = self.looking(self.bus, self.postgres)

    async def open(self) -> "Rig":
        for store in (self.bus, self.postgres):
            await store.start()
            self.stack.push_async_callback(store.stop)
        await migrate(self.postgres)
        return self

    def looking(self, bus: Bus, postgres: Postgres) -> Overview:
        made = Overview(bus, postgres, 50.0)
        self.stack.push_async_callback(made.stop)
        return made

    async def process(self, name: str, **more) -> Process:
        made = Process(self.bus, name, **more)
        await made.reporter.start()
        self.stack.push_async_callback(made.reporter.stop)
        return made

    async def orders(self) -> int:
        found = await self.bus.client.hget(keys.pipeline_totals(), "landed:orders")
        return int(found or 0)


@pytest.fixture
async def rig(valkey_url: str, postgres_url: str) -> AsyncIterator[Rig]:
    made = await Rig(valkey_url, postgres_url).open()
    async with made.stack:
        await made.bus.client.delete(keys.pipeline_totals())
        yield made


async def test_processes_add_up_and_go(rig: Rig):
    async def troubled() -> str:
        raise Unavailable("The database does not take events now.")

    lag = {"orders_group": {"orders": 5}}
    one = await rig.process("one", lag=lambda: lag)
    other = await rig.process("other", lag=lambda: {"orders_group": {"orders": 3}}, checks=(("not_landed", troubled),))
    one.landed.add(30, "orders")
    other.landed.add(12, "orders")
    found: list[PipelineStatus] = []

    async def told() -> bool:
        one.landed.add(1, "users")
        found.append(await rig.overview.status())
        status = found[-1]
        return status.topics[2].landed == 42 and len(status.members) == 2 and status.topics[0].landed_per_s > 0

    await eventually(told, 30, "both are told of")
    status = found[-1]
    assert (status.missing, status.running) == ([], True)
    assert sum(status.series.landed) == 42 + status.topics[0].landed
    assert [each.records for each in status.groups] == [5]
    assert max(each or 0 for each in status.series.lag) == 5
    assert [each.troubles for each in status.members] == [[], ["The database does not take events now."]]
    assert [[notice.code for notice in each.notices] for each in status.members] == [[], ["not_landed"]]
    one.landed.add(3, "orders")
    await one.reporter.stop()
    assert await rig.orders() == 45, "the rest is told at the end"

    async def gone() -> bool:
        return [each.node_name for each in (await rig.overview.status()).members] == ["other"]

    await eventually(gone, 30, "who stopped is not listed")


async def test_a_report_whose_answer_was_lost_counts_once(rig: Rig):
    process = Process(rig.bus, "once")
    reporter = process.reporter
    reporter._measure()
    process.landed.add(7, "orders")
    reporter._measure()
    report = reporter._growth.take()
    assert report is not None
    for _ in range(3):
        reporter._report, reporter._reported = report, 0
        await reporter._report_counts()
        assert await rig.orders() == 7
    process.landed.add(1, "orders")
    reporter._measure()
    await reporter._report_counts()
    assert await rig.orders() == 8
    assert await rig.bus.client.ttl(keys.pipeline_minute(report[0])) > 3600


async def test_what_landed_is_read_from_the_database(rig: Rig):
    await rig.postgres.execute(
        "INSERT INTO pipeline.orders_per_minute "
        "VALUES (date_trunc('minute', now()), 9, 900), (now() - interval '2 h', 5, 5), "
        "(date_trunc('minute', now()) + interval '2 days', 5, 5)"
    )
    await rig.postgres.execute(
        "INSERT INTO pipeline.products (product_id, title, category, price_krw) VALUES (1, 'Go', 'code', 100)"
    )
    await rig.postgres.execute(
        "INSERT INTO pipeline.orders_per_product SELECT n, n, n, n * 100, now() FROM generate_series(1, 7) n"
    )
    await rig.postgres.execute("UPDATE pipeline.orders_per_product SET revenue_krw = 1e30 WHERE product_id = 7")
    await rig.postgres.execute(
        "INSERT INTO pipeline.dead_letters "
        "SELECT gen_random_uuid(), 'orders', 2, n, 'k', '', 'not_json', 'd' || n, 1, 'g', "
        "now() + n * interval '1 s', now(), CASE WHEN n = 9 THEN now() END FROM generate_series(1, 9) n"
    )
    await rig.postgres.execute(
        "INSERT INTO classroom.hands (event_id, room, user_id, name, raised, at) "
        "SELECT gen_random_uuid(), 'math', 's' || n, '', true, now() FROM generate_series(1, 3) n"
    )
    await rig.postgres.execute("UPDATE pipeline.dead_letters SET topic = 'classroom' WHERE log_offset IN (1, 9)")
    status = await rig.overview.status()
    assert status.missing == []
    kept = status.class_record.kept
    assert kept is not None
    assert (kept.hands, kept.messages, kept.dead_letters, kept.counted_up_to) == (3, 0, 1, 100_000), "one was replayed"
    assert (status.orders.last_hour, status.orders.revenue_last_hour_krw) == (9, 900)
    assert sum(status.series.orders[-2:]) == 9
    assert [each.product_id for each in status.orders.top_courses] == [7, 6, 5, 4, 3]
    assert [each.revenue_krw for each in status.orders.top_courses[:2]] == [2**53 - 1, 600]
    assert msgspec.json.encode(status)
    assert status.dead_letters.total == 8, "one was replayed"
    assert [each.offset for each in status.dead_letters.last] == ["8", "7", "6", "5", "4"]
    letter = status.dead_letters.last[0]
    assert (letter.topic, letter.partition, letter.reason, letter.detail, letter.attempts) == (
        "orders",
        2,
        "not_json",
        "d8",
        1,
    )
    assert abs(letter.died_at - time.time()) < 120


async def test_an_unavailable_store_is_listed_as_missing_and_the_rest_is_returned(rig: Rig):
    process = await rig.process("one")
    process.landed.add(1, "classroom")
    process.landed.add(4, "orders")

    async def told() -> bool:
        return await rig.orders() == 4

    await eventually(told, 30)
    closed = Postgres(PostgresSection(url="postgresql://127.0.0.1:1/x"))
    without = await rig.looking(rig.bus, closed).status()
    assert without.missing == ["postgres"]
    assert without.topics[2].landed == 4
    assert without.class_record.kept is None
    landed_at = without.class_record.last_landed_at
    assert landed_at is not None
    assert 0 <= without.server_time - landed_at < 120
    nothing = Bus(RedisSection(url="redis://127.0.0.1:1"), BusMetrics(CollectorRegistry()))
    assert (await rig.looking(nothing, rig.postgres).status()).missing == ["redis"]
    assert (await rig.looking(nothing, closed).status()).missing == ["redis", "postgres"]


async def test_a_database_that_hangs_does_not_hold_up_the_answer(rig: Rig):
    async with rig.postgres.transaction() as connection:
        await connection.execute("LOCK TABLE pipeline.orders_per_minute IN ACCESS EXCLUSIVE MODE")
        for _ in range(2):
            async with asyncio.timeout(20):
                assert (await rig.overview.status()).missing == ["postgres"]

    async def back() -> bool:
        return (await rig.overview.status()).missing == []

    await eventually(back, 30, "it is told again")


async def test_only_an_admin_gets_the_status(school: AirnodeProcess, client: Client, lesson: Lesson):
    path = "/api/pipeline/status"
    assert (await client.call("GET", path))[0] == 401
    for credential in (lesson.student, lesson.teacher, school["teacher_secret"]):
        status, _, body = await client.call("GET", path, token=credential)
        assert (status, body["code"]) == (403, "forbidden")
        assert "topics" not in body
    assert (await client.call("GET", f"{path}?jwt={lesson.teacher}"))[0] == 403
    status, headers, body = await client.call("GET", path, token=school["admin_secret"])
    assert status == 200, body
    assert headers["Cache-Control"] == "no-store"
    assert (body["running"], body["missing"], len(body["series"]["minutes"])) == (False, [], 60)


async def test_the_page_is_served_and_contains_no_data(school: AirnodeProcess, client: Client):
    assert school["admin_url"] == f"{school['api_url']}/admin#secret={school['admin_secret']}"
    for path in ("/admin", "/admin/pipeline"):
        async with client.session.get(school["api_url"] + path) as response:
            assert response.status == 200
            assert "script-src 'self'" in response.headers["Content-Security-Policy"]
            assert school["admin_secret"] not in await response.text()
