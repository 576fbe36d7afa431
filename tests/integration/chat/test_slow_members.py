"""A member that does not read costs others nothing, and learns what it missed."""

import asyncio

import aiohttp
import psutil
import pytest

from tests.support.chat_rooms import ChatRig, RoomClient

FAST = {"send_rate_per_s": 1e6, "send_burst": 1_000_000, "event_rate_per_s": 1e6, "event_burst": 1_000_000}
#: Messages sent at once: some megabytes have to fill the buffers of a connection, before its pings go unanswered.
BATCH = 20


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def joined(http, rig, user, room):
    client = await RoomClient(http, rig.url, token=rig.token(user, "student", room)).connect()
    await client.ask("joinRoom", room)
    return client


async def say(client, room, texts):
    await asyncio.gather(*(client.ask("sendMessage", room, {"content": text}) for text in texts))


async def test_a_slow_member_gets_one_gap_and_then_everything_new(valkey_url, http):
    rig = await ChatRig(valkey_url, "node-slow", slow_client_bytes="16KiB", **FAST).start()
    speaker, slow = await joined(http, rig, "u1", "slow"), await joined(http, rig, "u2", "slow")
    slow.pause_reading()
    text = "x" * 1900
    count = 0
    dropped = 0.0
    while not dropped:  # the batch after the first one that was dropped is sent too
        dropped = rig.metric("airnode_chat_dropped_deliveries_total")
        await say(speaker, "slow", [f"{count + number} {text}" for number in range(1, BATCH + 1)])
        count += BATCH
    slow.resume_reading()
    await slow.until(lambda c: bool(c.got("gap")), "the gap")
    await speaker.ask("sendMessage", "slow", {"content": "new"})
    await slow.until(lambda c: "new" in c.texts, "the next message")
    (gap,) = slow.got("gap")
    got = [m["offset"] for m in slow.got("message")]
    assert gap["room"] == "slow"
    missed = list(range(gap["from"], gap["to"] + 1))
    assert sorted(got + missed) == list(range(1, count + 2))
    page = await slow.ask("history", {"room": "slow", "after": gap["from"] - 1, "limit": len(missed)})
    assert [m["offset"] for m in page["messages"]] == missed
    assert speaker.got("gap") == []
    await rig.stop()


async def test_a_member_that_never_reads_is_cut_and_costs_little_memory(valkey_url, http):
    rig = await ChatRig(valkey_url, "node-cut", cut_after_s=1, **FAST).start()
    speaker, slow = await joined(http, rig, "u1", "cut"), await joined(http, rig, "u2", "cut")
    slow.pause_reading()
    before = psutil.Process().memory_info().rss
    sent = 0
    while rig.metric("airnode_chat_connections") == 2 and sent < 20_000:
        sent += BATCH
        await say(speaker, "cut", ["x" * 1900] * BATCH)
        speaker.events.clear()
    assert rig.metric("airnode_chat_connections") == 1
    assert rig.metric("airnode_chat_disconnects_total", reason="slow client") == 1
    assert psutil.Process().memory_info().rss - before < 30 << 20  # the tail and the history of the room are in it
    assert (await speaker.ask("presence", "cut"))["count"] == 1
    await rig.stop()
