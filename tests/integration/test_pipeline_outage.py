"""A store goes away under running roles: they say so, keep running, and go on by themselves when it is back."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from airnode.commands.health import check_url
from tests.support.node import AirnodeProcess
from tests.support.outage import FrailServers, frail
from tests.support.waiting import eventually

__all__ = ["frail"]

pytestmark = pytest.mark.timeout(180)

_ROWS = """
INSERT INTO pipeline.users (name, email, locale) VALUES ('Mina', 'mina@example.com', 'ko');
INSERT INTO pipeline.products (title, category, price_krw) VALUES ('Go', 'code', 9000)
"""


async def look(session: aiohttp.ClientSession, node: AirnodeProcess) -> tuple[int, int, dict[str, Any]]:
    """Readiness, the status of /health, and what it says."""
    async with session.get(node["health_url"] + "/health/readiness") as response:
        ready = response.status
    async with session.get(node["health_url"] + "/health") as response:
        return ready, response.status, await response.json()


async def told(session: aiohttp.ClientSession, node: AirnodeProcess, status: str, code: int = 200) -> dict[str, Any]:
    """The checks, once the node's state is this and readiness agrees."""
    found: dict[str, Any] = {}

    async def so() -> bool:
        ready, answered, body = await look(session, node)
        found.update(body)
        return (ready, answered, body["status"]) == (code, code, status)

    await eventually(so, 30, f"{node.role} is {status}")
    return found["checks"]


async def landed(database_url: str) -> int:
    database = await asyncpg.connect(database_url, ssl=False)
    try:
        return int(await database.fetchval("SELECT count(*) FROM pipeline.orders"))
    finally:
        await database.close()


async def more_lands(database_url: str) -> None:
    before = await landed(database_url)

    async def more() -> bool:
        return await landed(database_url) > before

    await eventually(more, 30, "orders land")


async def test_roles_without_a_store_are_degraded_and_go_on_when_it_is_back(tmp_path: Path, frail: FrailServers):
    database_url = frail.create_database()
    stores = ("--redis-url", frail.fresh_valkey(), "--postgres-url", database_url)
    pipeline = AirnodeProcess(tmp_path / "pipeline", *stores, "--rate", "50", role="cache-worker,producer,consumer")
    school = AirnodeProcess(tmp_path / "school", *stores)
    try:
        await asyncio.gather(pipeline.start(60), school.start(60))
        pids = (pipeline.pid, school.pid)
        database = await asyncpg.connect(database_url, ssl=False)
        await database.execute(_ROWS)
        await database.close()
        async with aiohttp.ClientSession() as session:
            await told(session, pipeline, "healthy")
            await more_lands(database_url)

            frail.kill("valkey")
            checks = await told(session, pipeline, "degraded")
            assert set(checks["event_log"]["meanwhile"]) == {"producer", "consumer"}
            assert "Nothing is put on the log" in checks["event_log"]["meanwhile"]["producer"]
            assert "The cache is not renewed" in checks["redis"]["meanwhile"]["cache-worker"]
            assert checks["postgres"]["meanwhile"] is None
            checks = await told(session, school, "degraded")
            assert set(checks["redis"]["meanwhile"]) == {"master", "slave", "consumer", "stt-worker"}
            frail.bring_back("valkey")
            await told(session, pipeline, "healthy")
            await told(session, school, "healthy")
            await more_lands(database_url)

            frail.kill("postgres")
            checks = await told(session, pipeline, "degraded")
            assert checks["postgres"]["meanwhile"]["consumer"] == "Nothing lands; events wait on the log."
            said = await asyncio.to_thread(check_url, pipeline["health_url"], ready=False, timeout_s=10)
            assert (said.ok, said.status) == (True, "degraded")
            assert "\n        consumer: Nothing lands; events wait on the log.\n" in said.text() + "\n"
            # A master answers requests out of the database: they go to another one, if there is one.
            checks = await told(session, school, "unhealthy", 503)
            assert "no class is made" in checks["postgres"]["meanwhile"]["master"]
            frail.bring_back("postgres")
            await told(session, pipeline, "healthy")
            await told(session, school, "healthy")
            await more_lands(database_url)
        assert (pipeline.pid, school.pid) == pids
        assert await asyncio.gather(pipeline.stop(), school.stop()) == [0, 0]
    finally:
        await asyncio.gather(pipeline.close(), school.close())
