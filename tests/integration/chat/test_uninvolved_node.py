"""A node with nobody in a room spends nothing on what is said there."""

from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio

from tests.support.chat_rooms import ChatRig, RoomClient
from tests.support.waiting import eventually

FAST = {"send_rate_per_s": 10_000.0, "send_burst": 1_000, "event_rate_per_s": 10_000.0, "event_burst": 1_000}
MESSAGES, CHARS = 300, 1_000


async def _traffic(rig: ChatRig, ids: set[int]) -> tuple[int, int]:
    """Return the bytes that Redis sent on these connections, and the commands that it got there."""
    clients = [each for each in await rig._bus.client.client_list() if int(each["id"]) in ids]
    return sum(int(each["tot-net-out"]) for each in clients), sum(int(each["tot-cmds"]) for each in clients)


async def _connections(rig: ChatRig) -> set[int]:
    return {int(each["id"]) for each in await rig._bus.client.client_list()}


@pytest_asyncio.fixture
async def nodes(valkey_url: str) -> AsyncIterator[tuple[ChatRig, ChatRig, set[int]]]:
    """A node, another one, and the ids of the other's connections with Redis."""
    first = await ChatRig(valkey_url, "node-a", **FAST).start()
    before = await _connections(first)
    idle = await ChatRig(valkey_url, "node-idle", **FAST).start()
    yield first, idle, await _connections(first) - before
    await idle.stop()
    await first.stop()


async def test_a_node_with_no_member_of_a_room_spends_nothing_on_its_messages(nodes):
    first, idle, own = nodes
    assert own
    async with aiohttp.ClientSession() as http:
        elsewhere = await RoomClient(http, idle.url, token=idle.token("kim", room="art")).connect()
        await elsewhere.ask("joinRoom", "art")  # that node serves a room, only not this one
        members = [
            await RoomClient(http, first.url, token=first.token(user, room="math")).connect() for user in ("a", "b")
        ]
        for member in members:
            await member.ask("joinRoom", "math")
        metrics = ("airnode_chat_deliveries_total", "airnode_chat_sent_bytes_total", "airnode_bus_received_total")
        counted = [idle.metric(name) for name in metrics]
        bytes_before, commands_before = await _traffic(first, own)
        for number in range(MESSAGES):
            await members[number % 2].ask("sendMessage", "math", {"content": f"{number:04}".ljust(CHARS, "x")})
        await eventually(lambda: all(len(member.texts) == MESSAGES for member in members))
        bytes_after, commands_after = await _traffic(first, own)
        followers = await first._bus.client.pubsub_numsub("airnode:ch:chat.math")
        for client in (elsewhere, *members):
            await client.close()
    assert [count for _, count in followers] == [1]
    # What goes on there is its own room, pings, beats and leases; of 300 messages of 1,000 characters there is nothing.
    grown = [idle.metric(name) - before for name, before in zip(metrics, counted, strict=True)]
    assert all(each < most for each, most in zip(grown, (10, 2_000, 10), strict=True)), grown
    assert bytes_after - bytes_before < MESSAGES * CHARS / 20
    assert commands_after - commands_before < MESSAGES
    assert first.metric(metrics[0]) >= 2 * MESSAGES
