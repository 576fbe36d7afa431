"""How a node follows a room: one subscription, and one frame for all who are in it."""

import asyncio
import itertools
from typing import Any

import pytest
from redis import asyncio as aioredis

from airnode.bus import keys
from airnode.chat.rooms.log import channel_of
from tests.support.chat_rooms import RoomClient
from tests.support.held_redis import HeldRedis
from tests.support.waiting import eventually

_numbers = itertools.count()


@pytest.fixture
async def subscribers(valkey_url):
    """Return how many connections to Redis follow a room."""
    async with aioredis.from_url(valkey_url) as client:

        async def count(room: str) -> int:
            ((_, found),) = await client.pubsub_numsub(keys.channel(channel_of(room)))
            return int(found)

        yield count


async def joined(http, rig, user, room):
    client = await RoomClient(http, rig.url, token=rig.token(user, "student", room)).connect()
    await client.ask("joinRoom", room)
    return client


async def test_a_node_subscribes_once_and_stays_some_seconds_after_the_last_member(start_rig, http, subscribers):
    room, other_room = f"follow-{next(_numbers)}", f"follow-{next(_numbers)}"
    rigs = [await start_rig(f"follow-{n}", room_linger_s=3) for n in range(3)]
    first, second, _ = rigs
    clients = await asyncio.gather(*(joined(http, first, f"u{n}", room) for n in range(10)))
    assert await subscribers(room) == 1
    far = await joined(http, second, "far", room)
    assert await subscribers(room) == 2  # the third node has no member
    mover = RoomClient(http, first.url, token=first.token("mover", "student", other_room))
    await mover.connect()
    await mover.ask("joinRoom", other_room)

    # The last member leaves, and comes back while the node still follows the room.
    for client in clients:
        await client.ask("leaveRoom", room)
    assert await subscribers(room) == 2
    await clients[0].ask("joinRoom", room)
    await mover.close()
    await eventually(lambda: other_room not in first.rooms.rooms, 15, "a room that stays empty is left")

    async def left() -> bool:
        return await subscribers(other_room) == 0

    await eventually(left, 15, "its subscription ends too")
    assert await subscribers(room) == 2
    await far.ask("sendMessage", room, {"content": "still followed"})
    await clients[0].until(lambda c: c.texts == ["still followed"], "the message")


@pytest.fixture
async def held(valkey_url):
    """A Redis that does not confirm yet that one follows the room "held"."""
    async with HeldRedis(valkey_url, channel_of("held")) as redis:
        yield redis


async def test_a_join_is_answered_after_redis_confirmed(held, start_rig, http):
    other, rig = await start_rig("confirmed"), await start_rig("waiting", held.url)
    speaker = await joined(http, other, "speaker", "held")
    client = await RoomClient(http, rig.url, token=rig.token("u1", "student", "held")).connect()
    joining = asyncio.create_task(client.ask("joinRoom", "held"))
    await asyncio.wait_for(held.asked.wait(), 10)
    await speaker.ask("sendMessage", "held", {"content": "before the answer"})
    assert not joining.done()
    assert not rig.rooms.outage
    held.confirms.set()
    answer = await joining
    assert [each["content"] for each in answer["messages"]] == ["before the answer"]
    await speaker.ask("sendMessage", "held", {"content": "after the answer"})
    await client.until(lambda c: c.texts == ["after the answer"], "the next message, once")


class Tapped:
    """A client's transport, with a note of what was written to it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def test_all_members_of_a_node_get_the_same_bytes(start_rig, http):
    room = f"follow-{next(_numbers)}"
    rig = await start_rig("frames")
    clients = [await joined(http, rig, f"u{n}", room) for n in range(5)]
    taps = []
    for visitor in rig.chat.application.visitors:
        session = visitor.wire._owner.session
        session._output = Tapped(session._output)
        taps.append(session._output)
    await clients[0].emit("sendMessage", room, {"content": "once for all"})
    for client in clients:
        await client.until(lambda c: c.texts == ["once for all"], "the message")
    frames = [next(each for each in tap.written if b"once for all" in each) for tap in taps]
    assert len(frames) == 5
    assert all(each is frames[0] for each in frames)
