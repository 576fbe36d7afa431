"""The heartbeat contains all bytes that a node sends to viewers: placement by bandwidth needs them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.ffmpeg import Publisher
from tests.support.hls import read_media
from tests.support.livemp4 import LiveReader
from tests.support.node import AirnodeProcess, Api
from tests.support.recordings import Recordings
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(90)]

OPTIONS = ("--set", "recording.mode=all", "--set", "recording.min_free_bytes=0", "--set", "cluster.heartbeat_s=0.5")


@pytest.fixture
async def viewer(tmp_path: Path, clip: Path) -> AsyncIterator[Recordings]:
    """A teacher at a node with a class that is recorded."""
    node = AirnodeProcess(tmp_path / "data", *OPTIONS)
    async with aiohttp.ClientSession() as session:
        try:
            await node.start()
            publisher = await Publisher.of_clip(f"{node['rtmp_server']}/{node['stream_key']}", clip).start()
            yield Recordings(session, node, node, (await Api(node, session).teacher())["token"])
            await publisher.kill()
        finally:
            await node.close()


async def sent_bps(viewer: Recordings) -> int:
    headers = {"Authorization": f"Bearer {viewer.api['teacher_secret']}"}
    async with viewer.session.get(f"{viewer.api['api_url']}/cluster/nodes", headers=headers) as response:
        return int(json.loads(await response.read())["nodes"][0]["sent_bps"])


async def fetch_segment(viewer: Recordings, directory: str) -> None:
    playlist = "index.m3u8" if directory else "media.m3u8"
    status, _, text = await viewer.get(f"{directory}{playlist}")
    segments = read_media(text).segments if status == 200 else []
    for segment in segments[-1:]:
        assert (await viewer.get(f"{directory}{segment.uri}"))[0] == 200


async def test_the_heartbeat_contains_the_bytes_of_each_kind_of_response(viewer: Recordings):
    async def silent() -> bool:
        return await sent_bps(viewer) == 0

    recording = await viewer.until(status="recording", duration_s=2)
    of_recording = recording["playlist_url"].rpartition("/")[0] + "/"
    await eventually(silent, what="a node without viewers sends nothing")

    for directory in ("", of_recording):

        async def measured(directory: str = directory) -> bool:
            await fetch_segment(viewer, directory)
            return await sent_bps(viewer) > 0

        await eventually(measured, 20, f"segments of {directory or 'the live class'} are measured")
        await eventually(silent, what="nothing is sent any more")

    async def streamed() -> bool:
        return await sent_bps(viewer) > 0

    reader = await LiveReader(viewer.session, viewer.url("live.mp4")).start()
    try:
        await eventually(streamed, 20, "live.mp4 is measured")
    finally:
        await reader.close()
