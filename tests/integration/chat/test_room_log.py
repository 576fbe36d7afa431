"""The room log against a real Valkey."""

import asyncio
import itertools

import msgspec
import pytest

from airnode.bus import keys
from airnode.bus.envelope import decode
from airnode.chat.rooms.log import CheckScript, Draft, LogEntry, LogPosition, RoomLog, channel_of
from airnode.config.sections.chat import ChatSection
from airnode.errors import Conflict, RateLimited, TooLarge
from tests.support.bus import BusRig

_rooms = (f"log-{number}" for number in itertools.count())


@pytest.fixture
async def rig(valkey_url):
    rig = BusRig(valkey_url)
    await rig.bus.start()
    yield rig
    await rig.bus.stop()


@pytest.fixture
async def log(rig):
    return RoomLog(rig.bus, ChatSection(log_entries=100))


@pytest.fixture
def room():
    return next(_rooms)


def draft(room: str, text: str = "hello", **more: object) -> Draft:
    return Draft(room=room, event="message", data=msgspec.json.encode({"content": text}), **more)


async def test_entries_are_numbered_stored_published_and_recorded(rig, log, room):
    pubsub = rig.bus.client.pubsub()
    await pubsub.subscribe(keys.channel(channel_of(room)))
    first = await log.append(draft(room, "안녕 </script>", user=b'{"id":"u1"}', audience='teacher\nu "1"'))
    second = await log.append(draft(room, recorded=False))
    assert (first.offset, second.offset, first.epoch) == (1, 2, second.epoch)
    assert first.is_new
    assert first.id == f"{first.epoch}-1"
    entries = await log.after(room, 0)
    assert [(e.offset, e.event, e.id, e.at, e.audience) for e in entries] == [
        (1, "message", first.id, first.at, 'teacher\nu "1"'),
        (2, "message", second.id, second.at, ""),
    ]
    assert msgspec.json.decode(entries[0].data) == {"content": "안녕 </script>"}
    assert await log.before(room, None, 1) == entries[1:]
    assert await log.before(room, 2) == entries[:1]
    published = []
    async with asyncio.timeout(20):
        async for message in pubsub.listen():
            if message["type"] == "message":
                published.append(msgspec.json.decode(decode(message["data"]).b, type=LogEntry))
            if len(published) == 2:
                break
    await pubsub.aclose()
    assert published == entries
    outbox = await rig.bus.client.xrevrange(keys.chat("outbox"), count=1)
    fields = outbox[0][1]
    assert fields[b"room"] == room.encode()
    assert (fields[b"user"], fields[b"event"], fields[b"offset"]) == (b'{"id":"u1"}', b"message", b"1")
    assert await log.position(room) == LogPosition(first.epoch, 2, 1)


async def test_the_same_client_id_is_appended_once(log, room):
    first = await log.append(draft(room, sent_by="u1", client_id="c1"))
    again = await log.append(draft(room, "other", sent_by="u1", client_id="c1"))
    other = await log.append(draft(room, sent_by="u2", client_id="c1"))
    assert not again.is_new
    assert (again.offset, again.id, again.at, again.epoch) == (first.offset, first.id, first.at, first.epoch)
    assert other.offset == 2


async def test_a_check_refuses_changes_and_skips(log, room):
    once = CheckScript(
        keys=("poll",),
        lua="""
        if args[1] == 'slow' then return refuse('rate_limited', 'Wait.', 1500) end
        if args[1] == 'look' then return skip(redis.call('HGET', key('poll'), 'open') or 'none') end
        if redis.call('HSETNX', key('poll'), 'open', args[2]) == 0 then return refuse('conflict', 'One is open.') end
        keep('poll')
        return instead('{"poll":"' .. args[2] .. '"}', 'opened')
    """,
    )
    with pytest.raises(RateLimited, match="Wait") as slow:
        await log.append(draft(room), once, ["slow"])
    assert slow.value.retry_after_s == 1.5
    opened = await log.append(draft(room), once, ["open", "p1"])
    assert (opened.reply, opened.data, opened.offset) == ("opened", b'{"poll":"p1"}', 1)
    with pytest.raises(Conflict):
        await log.append(draft(room), once, ["open", "p2"])
    looked = await log.append(draft(room), once, ["look"])
    assert (looked.is_new, looked.reply, looked.offset) == (False, "p1", 1)
    assert await log.state(room, "poll") == {"open": b"p1"}
    assert [msgspec.json.decode(entry.data) for entry in await log.after(room, 0)] == [{"poll": "p1"}]


async def test_two_checks_at_once_do_not_both_pass(log, room):
    taken = "if redis.call('SETNX', key('x'), '1') == 0 then return refuse('conflict', 'Taken.') end"
    once = CheckScript(taken, keys=("x",))
    results = await asyncio.gather(*(log.append(draft(room), once) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(each, Conflict) for each in results) == 19
    assert len(await log.after(room, 0)) == 1


async def test_an_erased_message_is_gone_and_its_offset_stays_free(log, room):
    sent = [await log.append(draft(room, text)) for text in "abc"]
    named = await log.append(draft(room, "d", id="~node-1"))
    erase = CheckScript("""
        local fields = erase_message(args[1])
        if not fields then return refuse('not_found', 'No such message.') end
        return skip(fields.data)
    """)
    for each in (sent[1], named):
        answer = await log.append(draft(room), erase, [each.id])
        assert "content" in answer.reply
    with pytest.raises(Exception, match="No such message"):
        await log.append(draft(room), erase, [sent[1].id])
    assert [entry.offset for entry in await log.after(room, 0)] == [1, 3]
    assert (await log.append(draft(room, "e"))).offset == 5


async def test_a_log_that_was_restored_from_an_older_copy_gets_a_new_epoch(log, room):
    sent = await log.append(draft(room))
    seen = LogPosition(sent.epoch, 7)
    renewed = await log.renew_epoch(room, seen)
    assert int(renewed.epoch) > int(sent.epoch)
    assert renewed.offset == 7
    assert await log.renew_epoch(room, seen) == renewed  # another node saw the same
    assert (await log.append(draft(room))).offset == 8


async def test_a_room_that_was_flushed_begins_again(rig, log, room):
    sent = await log.append(draft(room))
    await rig.bus.client.delete(keys.chat("head", room))
    again = await log.append(draft(room))
    assert again.offset == 1
    assert int(again.epoch) >= int(sent.epoch)
    assert len(await log.after(room, 0)) == 1


async def test_the_log_and_its_keys_are_bounded(rig, log, room):
    await log.position(room)
    assert await rig.bus.client.pttl(keys.chat("head", room)) > 0
    for _ in range(400):
        await log.append(draft(room))
    assert await rig.bus.client.xlen(keys.chat("log", room)) < 300
    for key in (keys.chat("head", room), keys.chat("log", room)):
        assert await rig.bus.client.pttl(key) > 0
    with pytest.raises(TooLarge):
        await log.append(draft(room, "x" * (200 << 10)))
