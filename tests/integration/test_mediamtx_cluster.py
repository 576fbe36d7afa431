"""A class that comes in through a MediaMTX that was there before, on one slave, and is watched on another; against a
stand-in for MediaMTX.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from airnode.web.tokens import Tokens
from tests.support.cluster import KEY, Cluster
from tests.support.follower import Follower
from tests.support.mediamtx import ExternalMediaMtx, FakePublisher, report
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(150)]
WITHIN_S = 30.0


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with aiohttp.ClientSession() as session:
        made = Cluster(tmp_path, session)
        try:
            yield await made.start()
        finally:
            await made.close()


@pytest.fixture
async def external(tmp_path: Path) -> AsyncIterator[ExternalMediaMtx]:
    made = await ExternalMediaMtx(tmp_path).start()
    try:
        yield made
    finally:
        await made.kill()


async def test_a_running_mediamtx_is_taken_over_and_its_class_relayed(
    cluster: Cluster, external: ExternalMediaMtx, clip: Path
):
    key = cluster.master["stream_key"]
    stranger = await FakePublisher(external.api, "live/stranger").start(clip)
    origin = await cluster.add_slave(
        "slave-1",
        "--set",
        "media.engine=mediamtx",
        "--set",
        f"mediamtx.api_url={external.api}",
        "--set",
        "mediamtx.publish_timeout_s=30",
    )
    edge = await cluster.add_slave("slave-2")
    token = Tokens(KEY, 600).issue("mina", "student", "stream")[0]
    url = f"{edge['media_url']}/v/{token}/stream/media.m3u8"
    follower = Follower(cluster.session, url)
    publishers = [FakePublisher(external.api, "live/stream", query=f"key={key}") for _ in range(2)]

    async def served() -> bool:
        async with cluster.session.get(url) as response:
            return response.status == 200

    try:
        await stranger.ended(WITHIN_S)
        assert "it was not let in by this airnode" in origin.log
        config = (await report(external.api))["config"]
        assert (config["authMethod"], config["hlsAlwaysRemux"]) == ("http", True)
        assert config["authHTTPAddress"].startswith("http://127.0.0.1:")

        await publishers[0].start(clip)
        await eventually(served, WITHIN_S, "the edge has it")
        await follower.start()
        await follower.segments(2, WITHIN_S)
        assert follower.msns == list(range(follower.msns[0], follower.msns[0] + len(follower.msns)))
        nodes = await cluster.listed()

        async def listed() -> bool:
            _, streams = await cluster.call("GET", "/cluster/streams")
            found = [(each["origin"], each["bitrate_bps"] > 100_000) for each in streams["streams"]]
            return found == [(nodes["slave-1"]["node_id"], True)]

        await eventually(listed, WITHIN_S, "the first slave is its origin")

        await external.kill()
        await eventually(lambda: "mediamtx_gone" in origin.log, WITHIN_S, "it is missed")
        await external.start()
        await eventually(lambda: origin.log.count("mediamtx_adopted") > 1, WITHIN_S, "it is told everything again")
        await publishers[1].start(clip)
        await follower.more_parts(5, WITHIN_S)
        assert origin.log.count("room_claimed") == 1, "it was the same class all the time"
    finally:
        await follower.stop()
        for publisher in (stranger, *publishers):
            await publisher.stop()
    assert await origin.stop() == 0
