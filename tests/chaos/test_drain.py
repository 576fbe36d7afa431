"""SIGTERM on a slave: its students and its publisher are sent elsewhere, and it is gone without a trace."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from airnode.web.tokens import Tokens
from tests.chaos.conftest import Join
from tests.chaos.lesson import (
    by_id,
    live_elsewhere,
    node_of,
    playing,
    publish_to,
    publishing,
    stream_of,
    watch,
)
from tests.e2e.test_class import mark, unmarked
from tests.support.browser import chromium
from tests.support.cluster import KEY, Cluster
from tests.support.node import AirnodeProcess
from tests.support.student import recoveries, told
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(240)]


async def status_of(session: aiohttp.ClientSession, url: str) -> int:
    """0: nobody is there (any more)."""
    try:
        async with session.get(url) as response:
            return response.status
    except aiohttp.ClientError:
        return 0


async def refuses_newcomers(cluster: Cluster, node: AirnodeProcess) -> bool:
    """Readiness, and those who come with a good token though no master sent them."""
    token, _ = Tokens(KEY, 600).issue("newcomer", "student", "stream")
    ready = await status_of(cluster.session, f"{node['api_url']}/health/readiness")
    entered = [await status_of(cluster.session, f"{node['media_url']}/v/{token}/stream/{name}") for name in _ENTRIES]
    return ready in (0, 503) and set(entered) <= {0, 503}


_ENTRIES = ("index.m3u8", "live.mp4")


async def test_an_edge_that_is_stopped_sends_its_students_elsewhere(cluster: Cluster, join: Join, clip: Path):
    async with publish_to(cluster, "slave-1", clip):
        students = [*await join(9, "live"), *await join(9, "hls")]
        await asyncio.gather(*(student.plays() for student in students))
        victim = next(student.node for student in students if student.node != "slave-1")
        node = cluster.node(victim)
        asked_s = time.monotonic()
        stopping = asyncio.create_task(node.stop())
        seen: list[str | None] = []

        async def known() -> bool:
            seen.append((await cluster.listed()).get(victim, {}).get("status"))
            return seen[-1] != "healthy"

        await eventually(known, 20, "the masters know")
        places = {(await cluster.student(f"new-{index}"))[1]["node_name"] for index in range(10)}
        assert victim not in places
        assert await refuses_newcomers(cluster, node)
        assert await stopping == 0
        stopped_s = time.monotonic()
        assert "offline" not in seen
        assert victim not in await cluster.listed()
        moved = [student for student in students if student.places[0] == victim]
        await asyncio.gather(*(student.plays(after_s=asked_s, away_from=victim) for student in moved))
        print(f"stopped edge: gone after {stopped_s - asked_s:.2f} s")
        print(told("stopped edge, since SIGTERM", list(recoveries(moved, asked_s, victim))))
        assert {student.places.count(victim) for student in moved} == {1}
        assert {len(student.places) for student in students if student.places[0] != victim} == {1}


async def test_an_origin_that_is_stopped_sends_its_publisher_elsewhere(cluster: Cluster, join: Join, clip: Path):
    nodes = await by_id(cluster)
    async with publishing(cluster, clip) as encoder:
        origin = encoder.tries[0][1]
        students = [*await join(6, "live"), *await join(6, "hls")]
        await asyncio.gather(*(student.plays() for student in students))
        states: list[str] = []
        watching = asyncio.create_task(phases(cluster, states))
        asked_s = time.monotonic()
        try:
            assert await nodes[origin].stop() == 0
            stream = await eventually(lambda: live_elsewhere(cluster, origin), 30, "the publisher is elsewhere")
        finally:
            watching.cancel()
        taken_s = time.monotonic()
        assert stream is not None
        assert "shutting down" in encoder.errors[0]
        away = nodes[origin].data_dir.name
        await asyncio.gather(*(student.plays(after_s=taken_s, away_from=away) for student in students))
        live_s, all_s = taken_s - asked_s, time.monotonic() - taken_s
        print(f"stopped origin: live again after {live_s:.2f} s, all play {all_s:.2f} s later")
        assert "gone" not in states, "the class was kept for its publisher all the time"
        assert (await stream_of(cluster) or {})["epoch"] == stream["epoch"]


async def phases(cluster: Cluster, states: list[str]) -> None:
    while True:
        stream = await stream_of(cluster)
        states.append(stream["state"] if stream is not None else "gone")
        await asyncio.sleep(0.05)


@pytest.mark.chromium
async def test_the_page_moves_from_a_stopped_edge(cluster: Cluster, clip: Path):
    async with publish_to(cluster, "slave-1", clip), chromium() as browser:
        page, asked = await watch(browser, cluster, "slave-1", "live")
        await mark(page)
        edge = await node_of(asked, cluster)
        asked_s = time.monotonic()
        assert await cluster.node(edge).stop() == 0
        at_s = await playing(page, asked, cluster, away_from=edge)
        print(f"stopped edge: the page plays again {at_s - asked_s:.2f} s after SIGTERM")
        assert not await unmarked(page)
