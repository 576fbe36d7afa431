"""Facts of classes land in the database, each once, whatever dies on the way and in whatever order they come."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from airnode.bus import keys
from airnode.errors import Unavailable
from airnode.pipeline.produce.classroom_relay import ClassroomRelay, read_backlog
from airnode.store.eventlog.log import EventLog, Record
from tests.support.classroom import ANN, AT_MS, BOB, TEACHER, ClassroomRig
from tests.support.eventlog import LogRig
from tests.support.waiting import eventually

AT = datetime.fromtimestamp(AT_MS / 1000, UTC)


@pytest.fixture
async def rig(valkey_url: str, postgres_url: str) -> AsyncIterator[ClassroomRig]:
    async with LogRig(redis_url=valkey_url) as logs:
        made = ClassroomRig(logs, valkey_url, postgres_url)
        async with made.stack:
            yield await made.open()


async def test_everything_that_happens_in_a_class_has_its_row(rig: ClassroomRig):
    await rig.relay()
    await rig.consumer()
    session_id = await rig.outbox.session(AT_MS, AT_MS + 60_000)
    await rig.outbox.attended(session_id, ANN, AT_MS, AT_MS + 30_000)
    await rig.outbox.message("m1", "안녕하세요")
    question = {"id": "q1", "user": BOB, "content": "why?", "supporters": 0, "answered": False, "at": AT_MS}
    await rig.outbox.add("ask", {"question": question}, user=BOB)
    await rig.outbox.add("ask", {"question": question | {"supporters": 2, "answered": True}}, user=TEACHER)
    poll = {"id": "p1", "question": "2+2?", "options": [{"text": "4", "votes": 0}, {"text": "5", "votes": 0}]}
    poll |= {"answered": 0, "open": True, "at": AT_MS}
    await rig.outbox.add("poll", {"poll": poll}, user=TEACHER)
    await rig.outbox.add("poll_answer", {"poll": "p1", "option": 0}, user=ANN)
    await rig.outbox.add("poll_answer", {"poll": "p1", "option": 1}, user=BOB)
    closed = poll | {"options": [{"text": "4", "votes": 1}, {"text": "5", "votes": 1}], "open": False, "answered": 2}
    await rig.outbox.add("poll", {"poll": closed | {"closed_at": AT_MS + 5000}}, user=TEACHER)
    await rig.outbox.add("hand", {"raised": {"user": ANN, "at": AT_MS}, "count": 1})
    await rig.outbox.add("hand", {"all_lowered": True, "count": 0}, user=TEACHER, at_ms=AT_MS + 1)
    await rig.outbox.add("moderation", {"muted": {"user": "bob"}}, user=TEACHER)
    await rig.until("hands", [("ann", "앤", True), ("", "", False)], "user_id, name, raised", "at")
    await rig.until("messages", [("m1", "ann", "앤", "안녕하세요", AT)], "message_id, user_id, name, content, sent_at")
    await rig.until(
        "questions", [("q1", "bob", "why?", 2, True)], "question_id, user_id, content, supporters, answered"
    )
    (options, answered, opened, ended) = (await rig.rows("polls", "options, answered, opened_at, closed_at"))[0]
    assert [each["votes"] for each in json.loads(options)] == [1, 1]
    assert (answered, opened, (ended - opened).total_seconds()) == (2, AT, 5)
    assert await rig.rows("poll_answers", "user_id, option") == [("ann", 0), ("bob", 1)]
    ((start, end),) = await rig.rows("sessions", "started_at, ended_at")
    assert (end - start).total_seconds() == 60
    assert await rig.rows("attendance", "user_id, kind, role") == [("ann", "media", "student")]
    await rig.emptied()


async def test_a_deleted_message_keeps_its_place_and_loses_its_text(rig: ClassroomRig):
    await rig.relay()
    await rig.consumer()
    await rig.outbox.message("m1", "rude")
    await rig.outbox.add("moderation", {"deleted": "m1"}, user=TEACHER)
    await rig.outbox.add("moderation", {"deleted": "m0"}, user=TEACHER)  # it deletes what lands after it
    await rig.outbox.message("m0", "rude too")
    columns = "message_id, content, user_id, deleted_at IS NULL"
    await rig.until("messages", [("m0", "", "ann", False), ("m1", "", "ann", False)], columns)


async def test_a_fact_that_comes_again_lands_once(rig: ClassroomRig):
    await rig.relay()
    await rig.consumer()
    for _ in range(3):
        for offset in (1, 2, 3):
            await rig.outbox.add("message", {"user": ANN, "content": "x"}, offset=offset, id=f"m{offset}")
            await rig.outbox.add("hand", {"raised": {"user": ANN, "at": AT_MS}}, offset=offset)
            await rig.outbox.add("poll_answer", {"poll": "p", "option": offset}, offset=offset)
    await rig.emptied()
    await rig.until("messages", [("m1",), ("m2",), ("m3",)], "message_id")
    await rig.until("hands", [(3,)], "count(*)")
    await rig.until("poll_answers", [(1,)], "option")  # the first answer counts


async def test_an_older_state_does_not_replace_a_newer_one(rig: ClassroomRig):
    await rig.relay()
    await rig.consumer()
    question = {"id": "q", "user": ANN, "content": "?", "supporters": 5}
    await rig.outbox.add("ask", {"question": question}, offset=9, at_ms=AT_MS + 9)
    await rig.outbox.add("ask", {"question": question | {"supporters": 1}}, offset=3, at_ms=AT_MS + 3)
    await rig.outbox.message("m", "the end")
    await rig.until("messages", [("m",)], "message_id")
    assert await rig.rows("questions", "supporters") == [(5,)]
    await rig.outbox.add("ask", {"deleted": "q"}, offset=10, at_ms=AT_MS + 10)
    await rig.until("questions", [("ann", "", True)], "user_id, content, deleted")


@pytest.mark.parametrize(
    "fields",
    [
        {"data": "{"},
        {"data": "[" * 5000},
        {"data": '{"content": 5}'},
        {"data": '{"content": "no id", "user": {"id": "a"}}'},
        {"event": "party"},
        {"at_ms": "soon"},
        {"at_ms": "9" * 30},
        {"user": '{"id": 5}'},
        {"event": "session_started", "data": '{"session_id": "x", "started_at": 1}'},
    ],
)
async def test_an_entry_that_cannot_be_read_becomes_a_dead_letter_and_holds_nothing_up(rig: ClassroomRig, fields: dict):
    whole = {"room": rig.room, "epoch": "e", "offset": "1", "event": "message", "user": "ann", "at_ms": str(AT_MS)}
    await rig.bus.client.xadd(keys.classroom_outbox(), whole | {"data": '{"content": "x"}'} | fields)
    await rig.outbox.message("m", "behind it")
    await rig.bus.client.xadd(keys.classroom_outbox(), {"what": b"\xff"})
    await rig.relay()
    await rig.consumer()
    await rig.consumer(letters=True)
    await rig.until("messages", [("m",)], "message_id")

    async def letters() -> bool:
        return await rig.postgres.fetchval("SELECT count(*) FROM pipeline.dead_letters WHERE topic = 'classroom'") == 2

    await eventually(letters, 30)


async def test_text_that_the_database_refuses_becomes_a_dead_letter(rig: ClassroomRig):
    await rig.relay()
    await rig.consumer()
    await rig.consumer(letters=True)
    await rig.outbox.message("m0", "a\0b")
    await rig.outbox.message("m1", "fine")
    await rig.until("messages", [("m1",)], "message_id")

    async def refused() -> bool:
        found = await rig.postgres.fetch("SELECT reason FROM pipeline.dead_letters WHERE key = $1", rig.room)
        return [row["reason"] for row in found] == ["refused"]

    await eventually(refused, 30)


class _Unsteady:
    """An event log that fails at each second call, before or after it stored the records, like a relay that dies."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._calls = 0

    async def publish(self, records: list[Record]) -> None:
        self._calls += 1
        if self._calls % 4 == 1:
            raise Unavailable("not now")
        await self._log.publish(records)
        if self._calls % 4 == 3:
            raise Unavailable("stored, and the answer is lost")


async def test_each_fact_lands_once_and_in_order_through_a_log_that_fails(rig: ClassroomRig):
    await rig.relay(_Unsteady(rig.log))  # type: ignore[arg-type]
    await rig.consumer()
    for number in range(60):
        await rig.outbox.message(f"m{number:03}", str(number))
        await rig.outbox.add("moderation", {"deleted": f"m{number:03}"}, user=TEACHER)
    expected = [(f"m{number:03}", "", False) for number in range(60)]
    await rig.until("messages", expected, "message_id, content, deleted_at IS NULL")
    await rig.emptied()


async def test_another_relay_leads_when_the_leader_stops(rig: ClassroomRig):
    first, second = await rig.relay(), await rig.relay()
    await rig.consumer()

    async def one_leads() -> bool:
        return "leads" in {await first.check(), await second.check()}

    await eventually(one_leads, 10)
    assert {await first.check() == "leads", await second.check() == "leads"} == {True, False}
    leader, other = (first, second) if await first.check() == "leads" else (second, first)
    await rig.outbox.message("m1", "by the first")
    await rig.until("messages", [("m1",)], "message_id")
    await leader.drain()
    await leader.stop()
    await rig.outbox.message("m2", "by the second")
    await rig.until("messages", [("m1",), ("m2",)], "message_id")
    assert await other.check() == "leads"


async def test_a_masters_relay_yields_to_one_that_was_asked_for_and_takes_over_again(rig: ClassroomRig):
    masters = await rig.relay(yields=True, lease_s=3)

    async def leads(relay: ClassroomRelay) -> bool:
        return await relay.check() == "leads"

    await eventually(lambda: leads(masters), 10)
    asked = await rig.relay(lease_s=3)
    await eventually(lambda: leads(asked), 10)
    assert not await leads(masters)
    await asked.stop()
    await eventually(lambda: leads(masters), 10)


async def test_the_backlog_is_known_and_what_redis_dropped_is_counted(rig: ClassroomRig):
    for number in range(300):
        fields = {"room": rig.room, "event": "message", "data": str(number)}
        await rig.bus.client.xadd(keys.classroom_outbox(), fields, maxlen=100, approximate=True)
    found = await read_backlog(rig.bus)
    assert 100 <= found.waiting < 300
    assert found.waiting + found.dropped == 300
    assert 0 <= found.oldest_s < 60
    registry = CollectorRegistry()
    await rig.relay(registry=registry)
    await rig.emptied()
    after = await read_backlog(rig.bus)
    assert (after.waiting, after.oldest_s, after.dropped) == (0, 0.0, found.dropped)
