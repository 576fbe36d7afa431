"""The record of a class on a cluster: nodes that are killed lose nothing but the last beat."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from airnode.web.tokens import Tokens
from tests.support.cluster import KEY, Cluster
from tests.support.ffmpeg import Publisher
from tests.support.livemp4 import LiveReader
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(150)]

BEAT_S = 1.0
QUICK = ("--set", f"classes.attendance_beat_s={BEAT_S}")
#: Viewers are polled once a second; a beat may come late on a busy machine.
TOLERANCE_S = BEAT_S + 2.5
TOKENS = Tokens(KEY, 600)


@pytest.fixture
async def slaves(cluster: Cluster) -> list[AirnodeProcess]:
    return list(await asyncio.gather(cluster.add_slave("slave-1", *QUICK), cluster.add_slave("slave-2", *QUICK)))


@pytest.fixture
async def teacher(cluster: Cluster, slaves: list[AirnodeProcess], clip: Path) -> AsyncIterator[Publisher]:
    """Publishes to the first slave."""
    publisher = await Publisher.of_clip(f"{slaves[0]['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
    yield publisher
    await publisher.kill()


async def attendance(cluster: Cluster, master: AirnodeProcess | None = None) -> dict[str, dict[str, Any]]:
    """Return {student's id: row} of the latest session."""
    status, body = await cluster.call("GET", "/api/rooms/stream/record/latest", secret=SECRET, master=master)
    return {row["student_id"]: row for row in body["attendance"]} if status == 200 else {}


SECRET = "the-teachers-own-word"


async def watch(cluster: Cluster, node: AirnodeProcess, user: str) -> LiveReader:
    url = f"{node['media_url']}/v/{TOKENS.issue(user, 'student', 'stream')[0]}/stream/live.mp4"

    async def served() -> bool:
        async with cluster.session.get(url) as response:
            return response.status == 200

    await eventually(served, 30, f"{user} sees the class")
    return await LiveReader(cluster.session, url).start()


async def test_a_killed_node_loses_at_most_its_last_beat(
    cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher
):
    origin, edge = slaves
    readers = [await watch(cluster, edge, "mina"), await watch(cluster, origin, "joon")]
    try:

        async def both() -> bool:
            rows = await attendance(cluster)
            return rows.keys() == {"mina", "joon"} and all(row["watched_minutes"] > 0.05 for row in rows.values())

        await eventually(both, 40, "both attend")
        await edge.kill()
        killed = time.time()

        async def closed() -> bool:
            return bool((await attendance(cluster)).get("mina", {}).get("left_at"))

        await eventually(closed, 30, "a master closed the interval")
        rows = await attendance(cluster)
        assert killed - TOLERANCE_S <= rows["mina"]["left_at"] <= killed
        assert rows["joon"]["left_at"] is None

        # She goes on at the other node: one student, one row, and the time away is not counted.
        readers.append(await watch(cluster, origin, "mina"))

        async def back() -> bool:
            return (await attendance(cluster)).get("mina", {"left_at": 0})["left_at"] is None

        await eventually(back, 30, "she is back")
        row = (await attendance(cluster))["mina"]
        assert row["minutes"] * 60 < time.time() - row["joined_at"]
    finally:
        for reader in readers:
            await reader.close()


async def test_a_killed_master_loses_nothing(cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher):
    second = await cluster.add_master("master-2")
    reader = await watch(cluster, slaves[0], "mina")
    try:

        async def there() -> bool:
            return "mina" in await attendance(cluster, second)

        await eventually(there, 30, "she attends")
        await second.kill()
        left = time.time()
    finally:
        await reader.close()

    async def gone() -> bool:
        return bool((await attendance(cluster)).get("mina", {}).get("left_at"))

    await eventually(gone, 40, "her interval has landed through the other master")
    assert abs((await attendance(cluster))["mina"]["left_at"] - left) <= TOLERANCE_S
    status, body = await cluster.call("GET", "/api/rooms/stream/record", secret=SECRET)
    assert (status, len(body["sessions"])) == (200, 1)
