"""Looking up a customer or a course: out of the cache, out of the database, and who may."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec
import pytest
from redis import asyncio as aioredis

from airnode.pipeline.cache.tables import CachedProduct, CachedUser
from tests.integration.conftest import Client, Lesson
from tests.support.contract import Contract
from tests.support.node import AirnodeProcess
from tests.support.outage import FrailServers, frail
from tests.support.waiting import eventually

__all__ = ["frail"]

pytestmark = pytest.mark.timeout(120)

MINA = {"user_id": 1, "name": "Mina", "email": "mina@example.com", "locale": "ko"}
COURSE = {"product_id": 1, "title": "Go", "category": "code", "price_krw": 9000}
_ROWS = """
INSERT INTO pipeline.users (name, email, locale) VALUES ('Mina', 'mina@example.com', 'ko'),
    ('Jun', 'j@example.com', 'ko');
INSERT INTO pipeline.products (title, category, price_krw) VALUES ('Go', 'code', 9000);
CREATE EXTENSION IF NOT EXISTS pg_stat_statements
"""
_COUNT = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE '%FROM pipeline.users WHERE user_id%'"


class Asking:
    """An admin of a node."""

    def __init__(self, node: AirnodeProcess, session: aiohttp.ClientSession, contract: Contract) -> None:
        self.node = node
        self.client = Client(node, session, contract)

    async def __call__(self, path: str) -> tuple[int, str, dict[str, Any]]:
        """Status, Cache-Status, body."""
        status, headers, body = await self.client.call("GET", f"/api/pipeline/{path}", token=self.node["admin_secret"])
        assert headers["Cache-Control"] == "no-store"
        assert ("Retry-After" in headers) == (status == 503)
        return status, headers.get("Cache-Status", ""), body

    async def metric(self, name: str) -> float:
        async with self.client.session.get(self.node["api_url"] + "/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


async def test_misses_are_one_statement_and_outages_are_bridged(
    tmp_path: Path, frail: FrailServers, session: aiohttp.ClientSession
):
    redis_url, database_url = frail.fresh_valkey(), frail.create_database()
    node = AirnodeProcess(tmp_path / "node", "--redis-url", redis_url, "--postgres-url", database_url)
    database = await asyncpg.connect(database_url, ssl=False)
    try:
        await node.start(60)
        await database.execute(_ROWS)
        ask = Asking(node, session, await Contract.of(node["api_url"], session))

        answers = await asyncio.gather(*(ask("users/1") for _ in range(60)))
        assert [each[::2] for each in answers] == [(200, MINA)] * 60
        sources = Counter(each[1] for each in answers)
        assert sources["airnode; fwd=miss"] == 1, sources
        # A machine that takes more than five seconds for this may ask once more for each answer that was stale by then.
        stale_ones = sum(count for source, count in sources.items() if "ttl=-" in source)
        assert 1 <= await database.fetchval(_COUNT) <= 1 + stale_ones
        assert 1 <= await ask.metric("airnode_pipeline_lookup_loads_total{") <= 1 + stale_ones
        assert await ask("products/1") == (200, "airnode; fwd=miss", COURSE)
        async with aioredis.from_url(redis_url) as redis:
            await redis.hset("cache:products", "1", msgspec.json.encode(COURSE))
            assert await ask("products/1") == (200, "airnode; hit", COURSE)

            async def told() -> bool:
                stats = await redis.hgetall("cache:stats")
                return stats == {b"users_misses": b"60", b"products_misses": b"1", b"products_hits": b"1"}

            await eventually(told, 30, "cache:stats has all reads")

        frail.pause("postgres")
        status, _, body = await ask("users/2")
        assert (status, body["code"]) == (503, "unavailable")
        status, source, body = await ask("users/1")
        assert (status, body) == (200, MINA)
        assert source.startswith("airnode; hit; ttl="), "remembered, fresh or stale"
        frail.kill("postgres")
        frail.kill("valkey")

        async def stale() -> bool:
            status, source, body = await ask("users/1")
            assert (status, body) == (200, MINA)
            return source.startswith("airnode; hit; ttl=-")

        await eventually(stale, 30, "it is served though it is stale")
        assert (await ask("users/2"))[0] == 503
        frail.bring_back("postgres")

        async def back() -> bool:
            return (await ask("users/2"))[0] == 200

        await eventually(back, 30, "the database is asked again")
    finally:
        database.terminate()
        await node.close()


def test_cache_status_describes_where_the_value_came_from():
    assert set(MINA) == set(CachedUser.__struct_fields__)
    assert set(COURSE) == set(CachedProduct.__struct_fields__)


@pytest.mark.parametrize("path", ["/api/pipeline/users/1", "/api/pipeline/products/1"])
async def test_only_an_admin_looks_up(school: AirnodeProcess, client: Client, lesson: Lesson, path: str):
    """Nobody else learns even whether an id can be."""
    assert (await client.call("GET", path))[0] == 401
    assert (await client.call("GET", path + "x"))[0] == 401
    for credential in (lesson.student, lesson.teacher, school["teacher_secret"]):
        status, headers, body = await client.call("GET", path, token=credential)
        assert (status, body["code"]) == (403, "forbidden")
        assert "Cache-Status" not in headers
    assert (await client.call("GET", f"{path}?jwt={lesson.teacher}"))[0] == 403


@pytest.mark.parametrize("kind", ["users", "products"])
async def test_unknown_ids(school: AirnodeProcess, client: Client, kind: str):
    async def look_up(row_id: str) -> tuple[int, str]:
        status, _, body = await client.call("GET", f"/api/pipeline/{kind}/{row_id}", token=school["admin_secret"])
        return status, body["code"]

    for row_id in ("1000000000", str(2**63 - 1)):
        assert await look_up(row_id) == (404, "not_found")
    for row_id in ("0", "-1", "+1", "1.5", "1e3", "01", "%201", "mina", "1_000", "\u0663", str(2**63), "9" * 500):
        assert await look_up(row_id) == (400, "invalid_input"), row_id
