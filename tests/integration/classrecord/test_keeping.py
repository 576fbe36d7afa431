"""Sessions and attendance in a real Redis: several masters, dead nodes, a Redis that forgets; keeping, forgetting."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from airnode.bus import keys
from airnode.bus.classroom import ClassUser
from airnode.classrecord.attendance_reporter import AttendanceReporter, Watching
from airnode.classrecord.attendance_store import AttendanceStore
from airnode.classrecord.forgetting import find_traces, forget
from airnode.classrecord.record_reader import RecordReader
from airnode.classrecord.retention import delete_older
from airnode.classrecord.sessions import ClassSessions
from airnode.config.sections.classes import ClassesSection
from airnode.kernel.tasks import TaskScope
from tests.support.classroom import ANN, AT_MS, BOB, TEACHER, ClassroomRig, Outbox
from tests.support.eventlog import LogRig
from tests.support.waiting import eventually

LIMIT = 10_000
BEAT_S = 0.2
GAP_S = 60


@pytest.fixture
async def rig(valkey_url: str, postgres_url: str) -> AsyncIterator[ClassroomRig]:
    async with LogRig(redis_url=valkey_url) as logs:
        made = ClassroomRig(logs, valkey_url, postgres_url)
        async with made.stack:
            yield await made.open()


def sessions(rig: ClassroomRig) -> ClassSessions:
    return ClassSessions(rig.bus, LIMIT, GAP_S)


async def landing(rig: ClassroomRig) -> None:
    await rig.relay()
    await rig.consumer()


async def reporter(rig: ClassroomRig, viewing: Callable = dict, member: str = "") -> AttendanceReporter:
    """Return a reporter that beats only when the test says so."""
    section = ClassesSection(attendance_beat_s=BEAT_S)
    made = AttendanceReporter(
        rig.bus, section, TaskScope("attendance"), outbox_entries=LIMIT, member=member or uuid.uuid4().hex,
        viewing=viewing,
    )  # fmt: skip
    rig.stack.push_async_callback(made.stop)
    return made


async def now_ms(rig: ClassroomRig) -> int:
    seconds, micros = await rig.bus.client.time()
    return seconds * 1000 + micros // 1000


# -- sessions ---------------------------------------------------------------------------------------------------------


async def test_short_interruptions_belong_to_a_session_and_long_ones_end_it(rig: ClassroomRig):
    await landing(rig)
    kept, other = sessions(rig), sessions(rig)
    second = 1000
    assert await kept.live(rig.room, 0, 10 * second)
    assert not await other.live(rig.room, 0, 11 * second)  # another master says the same
    assert not await kept.live(rig.room, 60 * second, 70 * second)  # back after 49 s
    assert await kept.end_over(100 * second) == []
    assert await kept.end_over(131 * second) == [rig.room]
    assert await other.end_over(131 * second) == []
    assert not await kept.live(rig.room, 60 * second, 70 * second)  # a late report of the ended one
    assert await other.live(rig.room, 140 * second, 150 * second)
    await rig.until(
        "sessions",
        [(0, 70), (140, None)],
        "extract(epoch FROM started_at)::int, extract(epoch FROM ended_at)::int",
        "started_at",
    )


async def test_masters_that_see_a_class_at_the_same_time_begin_one_session(rig: ClassroomRig):
    began = await asyncio.gather(*(sessions(rig).live(rig.room, 5000, 5000 + number) for number in range(20)))
    assert sum(began) == 1
    ended = await asyncio.gather(*(sessions(rig).end_over(500_000) for _ in range(20)))
    assert [room for rooms in ended for room in rooms] == [rig.room]


async def test_a_session_that_no_master_followed_for_long_goes_on_with_the_same_stream(rig: ClassroomRig):
    assert await sessions(rig).live(rig.room, 1000, 2000)
    assert not await sessions(rig).live(rig.room, 1000, 900_000)  # live since before: it never stopped
    assert await sessions(rig).end_over(900_001) == []


async def test_only_a_session_that_is_on_is_continued_by_a_waiting_room(rig: ClassroomRig):
    assert not await sessions(rig).live(rig.room, 1000, 1000, begins=False)
    assert await rig.bus.client.hget(keys.class_sessions(), rig.room) is None


# -- attendance -------------------------------------------------------------------------------------------------------


async def test_a_student_who_comes_and_goes_has_one_interval(rig: ClassroomRig):
    await landing(rig)
    began = await now_ms(rig)
    await sessions(rig).live(rig.room, began, began)
    node = await reporter(rig)
    node.joined(rig.room, "tab", ClassUser("ann", "앤"))
    node.joined(rig.room, "desk", ClassUser("kim", "김선생", "teacher"))
    await node.beat()
    (interval, _) = sorted(
        await AttendanceStore(rig.bus, LIMIT).open_intervals(rig.room), key=lambda each: each.user.id
    )
    assert (interval.user.id, interval.left_at) == ("ann", None)
    node.left(rig.room, "tab")
    await node.beat()
    await rig.until("attendance", [("ann", "앤", "chat")], "user_id, name, kind")
    await node.stop()
    await rig.until("attendance", [("ann", "student"), ("kim", "teacher")], "user_id, role")
    assert not await rig.bus.client.exists(keys.attendance_ends())


async def test_viewers_are_taken_from_media(rig: ClassroomRig):
    await landing(rig)
    began = await now_ms(rig) - 60_000
    await sessions(rig).live(rig.room, began, began + 1)
    viewers = {(rig.room, "sid"): Watching("ann", 0.0), ("elsewhere", "sid"): Watching("bob", 0.0)}
    node = await reporter(rig, lambda: viewers)
    node.poll_viewers()
    viewers[rig.room, "sid"] = Watching("ann", 4.0)
    node.poll_viewers()
    await node.beat()
    del viewers[rig.room, "sid"]
    node.poll_viewers()
    await node.beat()
    columns = "user_id, kind, extract(epoch FROM now() - left_at) BETWEEN 3.9 AND 30"
    await rig.until("attendance", [("ann", "media", True)], columns)


async def test_a_killed_nodes_intervals_end_at_its_last_beat(rig: ClassroomRig):
    await landing(rig)
    began = await now_ms(rig) - 60_000
    await sessions(rig).live(rig.room, began, began + 1)
    viewers = {(rig.room, "sid"): Watching("ann", 4.0)}
    node = await reporter(rig, lambda: viewers, member="dead")
    node.poll_viewers()
    await node.beat()
    last_ms = int(await rig.bus.client.get(keys.attendance_beat("dead")))
    masters = [AttendanceStore(rig.bus, LIMIT) for _ in range(5)]
    closed: dict[str, int] = {}

    async def noticed() -> bool:
        for found in await asyncio.gather(*(master.close_dead() for master in masters)):
            assert not closed.keys() & found.keys()
            closed.update(found)
        return bool(closed)

    await eventually(noticed, 10)
    assert closed == {"dead": 1}
    await rig.until("attendance", [("ann", last_ms)], "user_id, round(extract(epoch FROM left_at) * 1000)::bigint")

    # It was only slow: what follows is a second interval that begins where the first one ended.
    await node.beat()
    node.poll_viewers()
    viewers.clear()
    node.poll_viewers()
    await node.beat()
    columns = f"round(extract(epoch FROM joined_at) * 1000)::bigint = {last_ms}"
    await rig.until("attendance", [(False,), (True,)], columns, "joined_at")


async def test_a_redis_that_lost_its_data_gets_the_intervals_again(rig: ClassroomRig):
    await landing(rig)
    began = await now_ms(rig)
    await sessions(rig).live(rig.room, began, began)
    value = await rig.bus.client.hget(keys.class_sessions(), rig.room)
    node = await reporter(rig)
    node.joined(rig.room, "tab", ClassUser("ann"))
    await node.beat()
    before = await AttendanceStore(rig.bus, LIMIT).open_intervals(rig.room)
    await rig.bus.client.flushdb()
    await rig.bus.client.hset(keys.class_sessions(), rig.room, value)
    await node.beat()
    assert await AttendanceStore(rig.bus, LIMIT).open_intervals(rig.room) == before


async def test_a_thousand_people_on_one_node(rig: ClassroomRig):
    await landing(rig)
    began = await now_ms(rig)
    await sessions(rig).live(rig.room, began, began)
    node = await reporter(rig)
    for number in range(1200):
        node.joined(rig.room, f"tab-{number}", ClassUser(f"student-{number}"))
    await node.beat()
    assert len(await AttendanceStore(rig.bus, LIMIT).open_intervals(rig.room)) == 1200
    await node.stop()
    await rig.until("attendance", [(1200,)], "count(*)")


# -- keeping and forgetting -------------------------------------------------------------------------------------------


async def _lesson(rig: ClassroomRig, at_ms: int, room: Outbox) -> None:
    session_id = await room.session(at_ms, at_ms + 60_000)
    for user in (ANN, BOB):
        await room.attended(session_id, user, at_ms, at_ms + 30_000)
        await room.message(f"{user['id']}-{at_ms}", "hello", user=user, at_ms=at_ms)
        question = {"id": f"q-{user['id']}-{at_ms}", "user": user, "content": "why?", "at": at_ms}
        await room.add("ask", {"question": question}, user=user, at_ms=at_ms)
        await room.add("poll_answer", {"poll": f"p-{at_ms}", "option": 0}, user=user, at_ms=at_ms)
        await room.add("hand", {"raised": {"user": user, "at": at_ms}}, user=user, at_ms=at_ms)
    poll = {"id": f"p-{at_ms}", "question": "?", "options": [{"text": "4", "votes": 2}], "open": True, "at": at_ms}
    await room.add("poll", {"poll": poll}, user=TEACHER, at_ms=at_ms)


TABLES = ("attendance", "messages", "questions", "poll_answers", "hands", "polls", "sessions")


async def _counts(rig: ClassroomRig) -> list[int]:
    return [(await rig.rows(table, "count(*)"))[0][0] for table in TABLES]


async def _until_counts(rig: ClassroomRig, expected: list[int]) -> None:
    async def there() -> bool:
        return await _counts(rig) == expected

    await eventually(there, 30, str(expected))


async def test_old_records_are_deleted_and_newer_ones_stay(rig: ClassroomRig):
    await landing(rig)
    await _lesson(rig, AT_MS, rig.outbox)
    await _lesson(rig, AT_MS + 86_400_000, rig.outbox)
    await _until_counts(rig, [4, 4, 4, 4, 4, 2, 2])
    border = datetime.fromtimestamp(AT_MS / 1000, UTC) + timedelta(hours=12)
    assert await delete_older(rig.postgres, border) == 12
    assert await _counts(rig) == [2, 2, 2, 2, 2, 1, 1]
    assert await delete_older(rig.postgres, border) == 0


async def test_a_person_is_forgotten_everywhere_and_nobody_else(rig: ClassroomRig):
    await landing(rig)
    await rig.consumer(letters=True)
    await _lesson(rig, AT_MS, rig.outbox)
    await rig.outbox.message("nul", "a\0b", user=ANN)  # a dead letter
    await _until_counts(rig, [2, 2, 2, 2, 2, 1, 1])

    async def letter() -> bool:
        return bool(await rig.postgres.fetchval("SELECT count(*) FROM pipeline.dead_letters"))

    await eventually(letter, 30)
    redis = rig.bus.client
    for user in ("ann", "bob"):
        await rig.postgres.execute(
            "INSERT INTO users (user_id, user_type, display_name) VALUES ($1, 'student', 'x')", user
        )
        data = json.dumps({"user": {"id": user, "name": "x", "role": "student"}, "content": "hello"})
        await redis.xadd(keys.chat("log", rig.room), {"event": "message", "data": data})
        await redis.hset(keys.chat("state", rig.room, "hands"), user, data)
        await redis.hset(keys.chat("state", rig.room, "answers"), user, "0")
        await redis.hset(keys.chat("state", rig.room, "questions"), f"q-{user}", data[1:-1])
        await redis.sadd(keys.chat("state", rig.room, "supporters"), user)
        await redis.hset(keys.chat("state", rig.room, "supports"), f"q-{user}|{user}", user)
        await rig.postgres.execute("INSERT INTO own_ids VALUES ($1, $1, now())", user)
        await rig.postgres.execute("INSERT INTO removals VALUES ('math', $1, $1, now())", user)
    found = await find_traces(rig.postgres, rig.bus, "ann")
    assert found.counts == {
        "attendance": 1,
        "messages": 1,
        "questions": 1,
        "poll answers": 1,
        "raised hands": 1,
        "dead letters": 1,
        "names": 1,
        "own ids": 1,
        "removals": 1,
        "in Redis": 6,
    }
    assert (await forget(rig.postgres, rig.bus, "ann")).counts == found.counts
    assert (await find_traces(rig.postgres, rig.bus, "ann")).total == 0
    assert (await find_traces(rig.postgres, rig.bus, "bob")).total == found.total - 1
    assert await _counts(rig) == [1, 1, 1, 1, 1, 1, 1]


async def test_a_record_tells_sessions_apart(rig: ClassroomRig):
    await landing(rig)
    hour = 3_600_000
    for number, minutes in enumerate((-10, 5, 65, 100, 119, 125, 170, 400)):
        await rig.outbox.message(f"m{number}", str(minutes), at_ms=AT_MS + minutes * 60_000)
    first = await rig.outbox.session(AT_MS, AT_MS + hour)
    second = await rig.outbox.session(AT_MS + 2 * hour, AT_MS + 3 * hour)
    await rig.until("sessions", [(2,)], "count(*)")
    await rig.until("messages", [(8,)], "count(*)")
    reader = RecordReader(rig.postgres, None)
    texts = {}
    for session_id in (first, second):
        texts[session_id] = [line.content for line in (await reader.record(rig.room, session_id)).chat]
    assert texts == {first: ["-10", "5", "65"], second: ["119", "125", "170"]}
    assert (await reader.record(rig.room)).session.session_id == second
    assert [each.session_id for each in (await reader.sessions(rig.room)).sessions] == [second, first]
