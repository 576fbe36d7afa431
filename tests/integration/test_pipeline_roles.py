"""The pipeline's roles as processes, as somebody starts them by hand, and all in one as a demonstration."""

import asyncio
import contextlib
import json
import re
import time
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from airnode.config.sections.postgres import PostgresSection
from airnode.pipeline.events import TOPICS, EventDecodeError, decode_event
from airnode.pipeline.seed.seeder import DemoSeeder
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres
from tests.support.eventlog import LogRig, read
from tests.support.forking import Forker
from tests.support.kafka_secured import LogBackend
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("secured-kafka")]

_ROWS = """
INSERT INTO pipeline.users (name, email, locale)
SELECT 'user ' || n, n || '@example.com', 'ko' FROM generate_series(1, 500) n;
INSERT INTO pipeline.products (title, category, price_krw) SELECT 'Go ' || n, 'code', n FROM generate_series(1, 500) n;
"""
_LANDED = """
SELECT event_id FROM pipeline.orders UNION ALL SELECT event_id FROM pipeline.user_events
UNION ALL SELECT event_id FROM pipeline.product_events
"""


async def test_the_three_roles_by_hand(tmp_path: Path, log_backend: LogBackend, postgres_url: str):
    nodes = [
        AirnodeProcess(tmp_path / role, "--postgres-url", postgres_url, "--rate", "300", role=role, env=log_backend.env)
        for role in ("producer", "consumer", "cache-worker")
    ]
    producer, consumer, worker = nodes
    database = None
    try:
        await producer.start(60)  # nothing is in the cache yet: it waits
        database = await asyncpg.connect(postgres_url, ssl=False)
        await database.execute(_ROWS)
        await asyncio.gather(consumer.start(60), worker.start(60))

        async def landed() -> int:
            return len(await database.fetch(_LANDED))

        async def flowing() -> bool:
            return await landed() > 300

        await eventually(flowing, 40, "events land")
        assert await producer.stop() == 0
        on_the_log = await _on_the_log(log_backend)

        async def all_of_them() -> bool:
            return await landed() >= len(on_the_log)

        await eventually(all_of_them, 40, "all lands that was produced")
        assert sorted(row["event_id"] for row in await database.fetch(_LANDED)) == sorted(on_the_log)
        assert [await consumer.stop(), await worker.stop()] == [0, 0]
    finally:
        if database is not None:
            await database.close()
        for node in nodes:
            await node.close()


async def _on_the_log(log_backend: LogBackend) -> set:
    """The ids of all events there are; on Kafka also of those that others left, twice perhaps, among what is none."""
    async with LogRig(**log_backend.rig_arguments) as logs:
        log = await logs.open()
        group = logs.name("audit")
        count = sum(each.records for each in (await log.lag(group, TOPICS)).values())
        member = await logs.join(log, TOPICS, group)
        found = set()
        for each in await read(member, count):
            with contextlib.suppress(EventDecodeError):
                found.add(decode_event(each.value, each.partition.topic).event_id)
        return found


async def test_the_demonstration_needs_nothing_and_orders_land(tmp_path: Path, forker: Forker):
    node = AirnodeProcess(tmp_path / "data", "--demo-pipeline")
    began_s = time.monotonic()
    try:
        await node.start(60)
        ready_s = time.monotonic() - began_s
        async with aiohttp.ClientSession() as session:

            async def landed() -> float:
                async with session.get(node["metrics_url"]) as response:
                    text = await response.text()
                found = re.search(r'^airnode_pipeline_landed_total\{topic="orders"\} (.+)$', text, re.MULTILINE)
                return float(found[1]) if found else 0

            await eventually(landed, 40, "an order lands")
            print(
                f"fresh data directory: ready after {ready_s:.2f} s, first order landed after "
                f"{time.monotonic() - began_s:.2f} s"
            )
            async with session.get(node["health_url"] + "/health") as response:
                health = await response.json()
        assert {"producer", "outbox", "cache", "lane-orders_group"} <= set(health["checks"])
        assert "/metrics" in node.log
        assert "/admin" in node.log
        assert "airnode cache-monitor" in node.log

        # Commands on this machine find the node's own stores.
        here = ("--data-dir", str(node.data_dir))
        code, out, err = await forker.run("pipeline", "init", "--json", *here)
        assert code == 0, err
        made = json.loads(out)
        assert (made["migrations_applied"], made["topics"]["orders"]["made"]) == ([], False)
        assert (await forker.run("dlq", "list", *here))[:2] == (0, "No dead letters.\n")
        code, _, _ = await forker.run("dlq", "list", "--data-dir", str(tmp_path / "elsewhere"))
        assert code == 2
        assert await node.stop() == 0
        assert (await forker.run("dlq", "list", *here))[0] == 2
    finally:
        await node.close()


async def test_the_demonstration_leaves_what_is_there(postgres_url: str):
    postgres = Postgres(PostgresSection(url=postgres_url))
    await postgres.start()
    try:
        await migrate(postgres)
        await postgres.execute(
            "INSERT INTO pipeline.users (name, email, locale) VALUES ('Mina', 'm@example.com', 'ko')"
        )
        for _ in range(2):
            await DemoSeeder(postgres).start()
            assert await postgres.fetchval("SELECT count(*) FROM pipeline.users") == 1
            assert await postgres.fetchval("SELECT count(*) FROM pipeline.products") == 20_000
    finally:
        await postgres.stop()
