"""An encoder that lost its network comes back to another node, while the first node still holds its dead connection."""

import asyncio
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.flvfile import read_tags
from tests.support.node import AirnodeProcess
from tests.support.tag_publisher import Tag, TagPublisher
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]


def publisher(cluster: Cluster, node: AirnodeProcess, clip: Path, seconds: float) -> TagPublisher:
    tags = [Tag(kind, at_ms, body) for kind, at_ms, body in read_tags(clip) if at_ms < seconds * 1000]
    return TagPublisher(node, tags, key=cluster.master["stream_key"])


async def known(cluster: Cluster, origin: str) -> bool:
    _, body = await cluster.call("GET", "/cluster/streams")
    return [each["origin_name"] for each in body["streams"]] == [origin]


async def test_the_class_goes_on_at_another_node_after_two_seconds(cluster: Cluster, clip: Path) -> None:
    first, second = await asyncio.gather(cluster.add_slave("slave-1"), cluster.add_slave("slave-2"))
    lost = await publisher(cluster, first, clip, 4.0).start()
    await eventually(lambda: lost.sent, what="everything was sent")
    await eventually(lambda: known(cluster, "slave-1"), what="the class is live at the first node")
    successor = await publisher(cluster, second, clip, 20.0).start()
    try:
        assert successor.started == "NetStream.Publish.Start"
        await eventually(lambda: lost.ended, what="the first node lets go of the dead connection")
        assert "published to another node now" in str(lost.statuses)
        await eventually(lambda: known(cluster, "slave-2"), what="the class is live at the other node")
        assert not successor.ended
    finally:
        await successor.stop()
        await lost.stop()


async def test_a_publisher_that_is_alive_at_another_node_stays(cluster: Cluster, clip: Path) -> None:
    first, second = await asyncio.gather(cluster.add_slave("slave-1"), cluster.add_slave("slave-2"))
    live = await publisher(cluster, first, clip, 40.0).start()
    await eventually(lambda: known(cluster, "slave-1"), what="the class is live")
    refused = await publisher(cluster, second, clip, 1.0).start()
    try:
        assert refused.started == "NetStream.Publish.BadName"
        assert not live.ended
    finally:
        await refused.stop()
        await live.stop()
