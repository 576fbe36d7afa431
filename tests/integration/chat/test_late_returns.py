"""Clients that come back too late, or that missed too much to be sent again."""

import itertools

import pytest

from tests.support.chat_rooms import RoomClient
from tests.support.waiting import eventually

_numbers = itertools.count()


@pytest.fixture
def room():
    return f"late-{next(_numbers)}"


async def joined(http, rig, user, room):
    client = await RoomClient(http, rig.url, token=rig.token(user, "student", room)).connect()
    await client.ask("joinRoom", room)
    return client


async def test_after_recovery_s_a_client_begins_anew(start_rig, http, room):
    rig = await start_rig("node-late", recovery_s=1)
    speaker, late = await joined(http, rig, "u1", room), await joined(http, rig, "u2", room)
    await late.drop()
    await speaker.ask("sendMessage", room, {"content": "missed"})
    sessions = rig.chat.application._sessions

    async def expired() -> bool:
        return await sessions.find(late.pid, "u2") is None

    await eventually(expired, 15, "the session expires")
    await late.connect()
    assert not late.recovered
    assert rig.metric("airnode_chat_recoveries_total", result="unknown") == 1
    answer = await late.ask("joinRoom", room)
    assert [each["content"] for each in answer["messages"]] == ["missed"]
    assert late.events == []


async def test_who_missed_too_much_is_told_what_and_recovers_again_after_the_next_join(start_rig, http, room):
    rig = await start_rig("node-much", history_messages=10)
    speaker, late = await joined(http, rig, "u1", room), await joined(http, rig, "u2", room)
    await speaker.ask("sendMessage", room, {"content": "seen"})
    await late.until(lambda c: c.texts == ["seen"], "the first message")
    await late.drop()
    text = "한" * 1900
    for _ in range(100):
        await speaker.ask("sendMessage", room, {"content": text})
    await late.connect()
    assert not late.recovered
    assert rig.metric("airnode_chat_recoveries_total", result="too_large") == 1
    await late.until(lambda c: bool(c.got("gap")), "the gap")
    (gap,) = late.got("gap")
    assert (gap["room"], gap["from"], gap["to"]) == (room, 2, 101)
    answer = await late.ask("joinRoom", room)
    assert [each["offset"] for each in answer["messages"]] == list(range(92, 102))
    page = await late.ask("history", {"room": room, "after": gap["from"] - 1, "limit": 5})
    assert [each["offset"] for each in page["messages"]] == [2, 3, 4, 5, 6]

    # It has got no event since it joined: what it missed begins with the join, though it sends an earlier position.
    await speaker.ask("sendMessage", room, {"content": "in time"})
    await late.until(lambda c: c.texts[-1] == "in time", "the next message")
    late.position = f"{gap['epoch']}:1"
    await late.drop()
    await speaker.ask("sendMessage", room, {"content": "missed"})
    late.events.clear()
    await late.connect()
    assert late.recovered
    await late.until(lambda c: "missed" in c.texts, "what it missed")
    assert late.texts == ["in time", "missed"]
