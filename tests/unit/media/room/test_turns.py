"""Two publishers with the same key: the second one waits if the first may be gone, and never disturbs a live one."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from airnode.errors import Conflict
from airnode.media.room.rooms import RoomIngest
from airnode.media.rtmp.publishing import PublisherInfo
from tests.support.rooms import make_rooms

KEY = "sesame"


class Node:
    """The rooms of a node, and the publishers that it disconnected."""

    def __init__(self, takeover_after_s: float) -> None:
        self.rooms = make_rooms(CollectorRegistry(), takeover_after_s=takeover_after_s)
        self.disconnected: list[str] = []

    def open(self, name: str, key: str = KEY) -> RoomIngest:
        return self.rooms.open(
            "algebra", PublisherInfo(name, key, False, lambda reason: self.disconnected.append(name))
        )

    async def wait_s(self, key: str = KEY) -> float:
        """Return how long a publisher with this key waits."""
        began_s = self.rooms.now_s()
        await self.rooms.wait_for_turn("algebra", key)
        return self.rooms.now_s() - began_s


async def test_a_publisher_that_is_gone_gives_way() -> None:
    node = Node(0.3)
    node.open("first")
    assert await node.wait_s() >= 0.2
    node.open("second")
    assert node.disconnected == ["first"]
    await node.rooms.stop()


async def test_a_publisher_that_is_alive_stays() -> None:
    node = Node(30.0)
    first = node.open("first")

    async def send() -> None:
        while True:
            await asyncio.sleep(0.03)
            first.push([], 10)

    sending = asyncio.create_task(send())
    assert await node.wait_s() < 2.0
    with pytest.raises(Conflict):
        node.open("second")
    sending.cancel()
    assert node.disconnected == []
    await node.rooms.stop()


async def test_nobody_waits_for_another_key_or_an_empty_room() -> None:
    node = Node(30.0)
    assert await node.wait_s() < 1.0
    first = node.open("first")
    assert await node.wait_s("another key") < 1.0
    first.close("closed_by_peer")
    assert await node.wait_s() < 1.0
    await node.rooms.stop()


async def test_of_two_that_wait_one_gets_the_room() -> None:
    node = Node(0.2)
    node.open("first")
    await asyncio.gather(node.wait_s(), node.wait_s())
    node.open("second")
    with pytest.raises(Conflict):
        node.open("third")
    assert node.disconnected == ["first"]
    await node.rooms.stop()


async def test_the_wait_is_bounded() -> None:
    node = Node(3600.0)
    node.open("first")
    assert await node.wait_s() < 10.0
    with pytest.raises(Conflict):
        node.open("second")
    await node.rooms.stop()
