"""Every event of docs/chat-events.md happens, in its direction, as its schema says."""

import asyncio

import pytest

from tests.support import chat_rooms
from tests.support.chat_contract import ChatContract
from tests.support.chat_rooms import RoomClient

ROOM = "everything"


@pytest.fixture
def contract(monkeypatch):
    """The contract of this test's clients alone."""
    made = ChatContract()
    monkeypatch.setattr(chat_rooms, "CONTRACT", made)
    return made


async def test_all_events_of_the_document(start_rig, http, contract):
    rig = await start_rig("node-events", slow_client_bytes="16KiB")

    async def entered(user, role="student"):
        return await RoomClient(http, rig.url, token=rig.token(user, role, ROOM)).connect()

    teacher, mina, jun = await entered("kim", "teacher"), await entered("mina"), await entered("jun")
    for client in (teacher, mina, jun):
        await client.ask("joinRoom", ROOM)
    sent = await mina.ask("sendMessage", ROOM, {"content": "hello", "type": "text"})
    await mina.ask("sendMessage", {"roomId": ROOM, "content": "hello", "type": "text"})
    await mina.ask("history", {"room": ROOM})
    await mina.ask("presence", ROOM)
    await mina.ask("token", rig.token("mina", "student", ROOM))
    await mina.ask("typing", ROOM, True)
    await mina.ask("reaction", ROOM, "👍")
    await mina.ask("hand", ROOM, {"raised": True})
    await mina.ask("ask", ROOM, {"content": "Why?"})
    await teacher.ask("poll", ROOM, {"open": {"question": "Clear?", "options": ["yes", "no"]}})
    await teacher.ask("moderation", ROOM, {"delete": sent["id"]})
    await mina.emit("sendMessage", ROOM, {"content": 7})  # nobody waits for an answer: an event tells the error
    for event in ("message", "typing", "reaction", "hand", "ask", "poll", "moderation", "presence"):
        await jun.until(lambda c, event=event: c.got(event), event)
    await mina.until(lambda c: c.got("error"), "the error")

    jun.pause_reading()
    while not rig.metric("airnode_chat_dropped_deliveries_total"):
        await asyncio.gather(*(teacher.ask("sendMessage", ROOM, {"content": "가" * 2000}) for _ in range(50)))
    jun.resume_reading()
    await jun.until(lambda c: c.got("gap"), "the gap")
    await mina.ask("leaveRoom", ROOM)
    await teacher.ask("moderation", ROOM, {"remove": "jun"})
    await jun.until(lambda c: c.got("removed"), "the removal")
    assert contract.seen == contract.validators.keys()
