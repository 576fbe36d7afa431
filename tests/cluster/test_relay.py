"""Rooms watched on slaves that do not publish them: real processes, ffmpeg as the teacher."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from airnode.web.tokens import Tokens
from tests.support.cluster import KEY, Cluster
from tests.support.ffmpeg import Publisher
from tests.support.follower import Follower
from tests.support.livemp4 import LiveReader
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]

TOKENS = Tokens(KEY, 600)


def viewer(node: AirnodeProcess, user: str = "mina", name: str = "media.m3u8", room: str = "stream") -> str:
    """A student's address on a node of the test's choice: any node verifies any token."""
    return f"{node['media_url']}/v/{TOKENS.issue(user, 'student', room)[0]}/{room}/{name}"


async def metric(session: aiohttp.ClientSession, node: AirnodeProcess, name: str, label: str = "") -> float:
    async with session.get(f"{node['api_url']}/metrics") as response:
        text = await response.text()
    pattern = rf"^{re.escape(name)}(?:\{{[^}}]*{re.escape(label)}[^}}]*\}})? ([0-9.e+]+)$"
    return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))


async def status_of(session: aiohttp.ClientSession, url: str, **kwargs: Any) -> int:
    async with session.get(url, **kwargs) as response:
        return response.status


async def served(session: aiohttp.ClientSession, node: AirnodeProcess) -> bool:
    return await status_of(session, viewer(node, name="index.m3u8")) == 200


@pytest.fixture
async def slaves(cluster: Cluster) -> list[AirnodeProcess]:
    return list(await asyncio.gather(cluster.add_slave("slave-1"), cluster.add_slave("slave-2")))


@pytest.fixture
async def teacher(cluster: Cluster, slaves: list[AirnodeProcess], clip: Path) -> AsyncIterator[Publisher]:
    """Publishes to the first slave."""
    publisher = await Publisher.of_clip(f"{slaves[0]['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
    await eventually(lambda: served(cluster.session, slaves[0]), what="the class is live")
    await eventually(lambda: served(cluster.session, slaves[1]), what="the edge has it")
    yield publisher
    await publisher.kill()


async def decoded(media: bytes) -> tuple[int, str]:
    """Frames that ffmpeg decodes, and what it complains about."""
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", "-v", "error", "-nostdin", "-i", "pipe:0", "-map", "0:v", "-f", "framecrc", "-",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate(media)
    return sum(line.startswith(b"0,") for line in output.splitlines()), errors.decode()


async def test_an_edge_plays_the_origins_class_without_a_gap(
    cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher
):
    follower = await Follower(cluster.session, viewer(slaves[1])).start()
    try:
        await follower.segments(5)
    finally:
        await follower.stop()
    assert follower.msns == list(range(follower.msns[0], follower.msns[0] + len(follower.msns)))
    frames, errors = await decoded(follower.media())
    assert errors == ""
    assert frames >= 5 * 30 - 1


async def test_live_mp4_comes_through_an_edge(cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher):
    readers = [await LiveReader(cluster.session, viewer(slaves[1], f"s{n}", "live.mp4")).start() for n in range(3)]
    try:
        for reader in readers:
            stream = await reader.fragments(60)
            times = [sample.time for sample in stream.samples(1)]
            assert times == sorted(set(times))
            assert stream.fragments[0].key
        assert await metric(cluster.session, slaves[0], "airnode_media_relay_requests_total", 'kind="live"') == 1
    finally:
        for reader in readers:
            await reader.close()
