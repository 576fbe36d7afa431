"""The pipeline's roles as processes, as somebody starts them by hand, and all in one as a demonstration."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from airnode.pipeline.events import TOPICS, decode
from tests.support.eventlog import LogRig, read
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)

_ROWS = """
INSERT INTO pipeline.users (name, email, locale)
SELECT 'user ' || n, n || '@example.com', 'ko' FROM generate_series(1, 500) n;
INSERT INTO pipeline.products (title, category, price_krw) SELECT 'Go ' || n, 'code', n FROM generate_series(1, 500) n;
"""
_LANDED = """
SELECT event_id FROM pipeline.orders UNION ALL SELECT event_id FROM pipeline.user_events
UNION ALL SELECT event_id FROM pipeline.product_events
"""


async def test_the_three_roles_by_hand(tmp_path: Path, valkey_url: str, postgres_url: str):
    stores = ("--redis-url", valkey_url, "--postgres-url", postgres_url)
    nodes = [
        AirnodeProcess(tmp_path / role, *stores, "--rate", "300", role=role)
        for role in ("producer", "consumer", "cache-worker")
    ]
    producer, consumer, worker = nodes
    database = None
    try:
        await producer.start()  # nothing is in the cache yet: it waits
        database = await asyncpg.connect(postgres_url, ssl=False)
        await database.execute(_ROWS)
        await asyncio.gather(consumer.start(), worker.start())

        async def landed() -> int:
            return len(await database.fetch(_LANDED))

        async def flowing() -> bool:
            return await landed() > 300

        await eventually(flowing, 40, "events land")
        assert await producer.stop() == 0
        on_the_log = await _on_the_log(valkey_url)

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


async def _on_the_log(valkey_url: str) -> list:
    """The ids of all events there are."""
    async with LogRig(redis_url=valkey_url) as logs:
        log = await logs.open()
        count = sum(each.records for each in (await log.lag("audit", TOPICS)).values())
        member = await logs.join(log, TOPICS, "audit")
        return [decode(each.value, each.partition.topic).event_id for each in await read(member, count)]
