"""People who try what a class does not allow: it is refused, counted, and changes nothing for others."""

import asyncio
import itertools
import math
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airnode.chat.classroom import event_types
from tests.integration.chat.test_hostile_events import VALUES, raw_ask
from tests.support.chat_rooms import ChatRig, Refused, RoomClient
from tests.support.valkey import ExternalValkey
from tests.support.waiting import eventually

_numbers = itertools.count()
FAST = {"send_rate_per_s": 1e6, "send_burst": 1_000_000, "event_rate_per_s": 1e6, "event_burst": 1_000_000}
MANY = {**FAST, "action_rate_per_s": 1e6, "action_burst": 1_000_000}
REQUESTS = {
    "hand": event_types.HandRequest,
    "poll": event_types.PollRequest,
    "ask": event_types.AskRequest,
    "moderation": event_types.ModerationRequest,
}
#: Of each event, with members of its request that have any value.
BODIES = st.one_of(
    *(
        st.tuples(
            st.just(event),
            st.dictionaries(st.sampled_from([each.name for each in msgspec.structs.fields(kind)]), VALUES, max_size=3),
        )
        for event, kind in REQUESTS.items()
    ),
    st.tuples(st.sampled_from(["reaction", "typing"]), VALUES),
)
STRANGE = st.sampled_from(
    [-1, 2**53, 1e300, "x" * 5000, ["a"] * 60, {"question": "q" * 600, "options": ["a", "a"]}, "1-1"]
)


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def begin(http: aiohttp.ClientSession, url: str, **section: object) -> tuple[ChatRig, str, list[RoomClient]]:
    """Return a node, a room, and in it a teacher and two students."""
    rig, room = await ChatRig(url, f"hostile-{next(_numbers)}", **section).start(), f"hostile-{next(_numbers)}"
    return rig, room, [await joined(http, rig, user, room, role) for user, role in PEOPLE]


PEOPLE = (("kim", "teacher"), ("mina", "student"), ("jun", "student"))


async def joined(http: aiohttp.ClientSession, rig: ChatRig, user: str, room: str, role: str = "student") -> RoomClient:
    client = await RoomClient(http, rig.url, token=rig.token(user, role, room)).connect()
    client.state = (await client.ask("joinRoom", room))["state"]
    return client


async def refusal(client: RoomClient, event: str, *args: Any) -> dict[str, Any]:
    """Return the error of an event that must be refused."""
    answer = await raw_ask(client, event, list(args))
    assert not answer["ok"], (event, args)
    return answer["error"]


@pytest.mark.timeout(120)
def test_any_request_of_a_student_or_a_teacher_gets_an_answer(valkey_url: str):
    with asyncio.Runner() as runner:
        http = runner.run(opened())
        rig, room, (teacher, student, witness) = runner.run(begin(http, valkey_url, **MANY))

        @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
        @given(BODIES, st.booleans(), STRANGE, st.booleans())
        def attack(request: tuple[str, Any], as_teacher: bool, strange: Any, replaced: bool) -> None:
            event, body = request
            if replaced and isinstance(body, dict) and body:
                body[next(iter(body))] = strange
            answer = runner.run(raw_ask(teacher if as_teacher else student, event, [room, body]))
            assert answer["ok"] or answer["error"]["code"] not in ("internal", "unavailable"), answer

        attack()
        runner.run(teacher.ask("moderation", room, {"locked": False}))
        runner.run(teacher.ask("moderation", room, {"slow_mode_s": 0}))
        runner.run(teacher.ask("moderation", room, {"teacher_only": False}))
        runner.run(witness.ask("sendMessage", room, {"content": "still here"}))
        runner.run(witness.until(lambda c: c.texts[-1:] == ["still here"], "the class goes on"))
        runner.run(joined(http, rig, "late", room))
        runner.run(rig.stop())
        runner.run(http.close())


async def opened() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


async def test_a_student_does_nothing_that_teachers_do(valkey_url: str, http: aiohttp.ClientSession):
    rig, room, (teacher, student, witness) = await begin(http, valkey_url, **MANY)
    poll = (await teacher.ask("poll", room, {"open": {"question": "?", "options": ["a", "b"]}}))["id"]
    question = (await witness.ask("ask", room, {"content": "?"}))["id"]
    await witness.ask("hand", room, {"raised": True})
    sent = await teacher.ask("sendMessage", room, {"content": "hello"})
    await witness.until(lambda c: len(c.events) >= 4, "what happened")
    seen = len(witness.events)
    for event, body in (
        ("poll", {"open": {"question": "?", "options": ["a", "b"]}}),
        ("poll", {"close": poll}),
        ("hand", {"lower": "jun"}),
        ("hand", {"lower_all": True}),
        ("ask", {"answered": question}),
        ("ask", {"delete": question}),
        ("moderation", {"delete": sent["id"]}),
        ("moderation", {"mute": "jun"}),
        ("moderation", {"unmute": "jun"}),
        ("moderation", {"remove": "jun"}),
        ("moderation", {"remove": "kim"}),
        ("moderation", {"readmit": "jun"}),
        ("moderation", {"locked": True}),
        ("moderation", {"slow_mode_s": 10}),
        ("moderation", {"teacher_only": True}),
    ):
        assert (await refusal(student, event, room, body))["code"] == "forbidden", (event, body)
    late = await joined(http, rig, "late", room)
    rules = {key: late.state[key] for key in ("locked", "slow_mode_s", "teacher_only")}
    assert rules == {"locked": False, "slow_mode_s": 0, "teacher_only": False}
    assert (late.state["poll"]["open"], len(late.state["hands"]), len(late.state["questions"])) == (True, 1, 1)
    assert [name for name, _ in witness.events[seen:] if name != "presence"] == []
    await rig.stop()


async def test_another_room_is_out_of_reach(valkey_url: str, http: aiohttp.ClientSession):
    rig, room, (teacher, student, _) = await begin(http, valkey_url, **MANY)
    other = f"{room}-other"
    foreign = await joined(http, rig, "lee", other, "teacher")
    poll = (await foreign.ask("poll", other, {"open": {"question": "?", "options": ["a", "b"]}}))["id"]
    sent = await foreign.ask("sendMessage", other, {"content": "hello"})
    for event, body in (("poll", {"answer": 0, "id": poll}), ("hand", {"raised": True}), ("ask", {"content": "?"})):
        assert (await refusal(student, event, other, body))["code"] == "forbidden"
    assert (await refusal(student, "reaction", other, "👍"))["code"] == "forbidden"
    assert (await refusal(teacher, "moderation", other, {"locked": True}))["code"] == "forbidden"
    assert (await refusal(student, "poll", room, {"answer": 0, "id": poll}))["code"] == "not_found"
    assert (await refusal(teacher, "moderation", room, {"delete": sent["id"]}))["code"] == "not_found"
    assert (await refusal(teacher, "poll", room, {"close": poll}))["code"] == "not_found"
    outside = await RoomClient(http, rig.url, token=rig.token("x", "student", room)).connect()
    assert (await refusal(outside, "hand", room, {"raised": True}))["code"] == "conflict"
    assert (await joined(http, rig, "late", other)).state["poll"]["answered"] == 0
    await rig.stop()


async def test_every_limit_is_said_and_counted(valkey_url: str, http: aiohttp.ClientSession):
    limits = {"questions_per_user": 2, "max_questions": 3, "max_hands": 1, "max_muted": 1, "max_poll_options": 3}
    texts = {"max_option_chars": 5, "max_question_chars": 10}
    rig, room, (teacher, mina, jun) = await begin(http, valkey_url, **MANY, **limits, **texts)
    for _ in range(2):
        await mina.ask("ask", room, {"content": "?"})
    assert "questions_per_user" in (await refusal(mina, "ask", room, {"content": "?"}))["detail"]
    await jun.ask("ask", room, {"content": "?"})
    assert "max_questions" in (await refusal(jun, "ask", room, {"content": "?"}))["detail"]
    await mina.ask("hand", room, {"raised": True})
    assert "max_hands" in (await refusal(jun, "hand", room, {"raised": True}))["detail"]
    await teacher.ask("moderation", room, {"mute": "jun", "for_s": 600})
    assert "max_muted" in (await refusal(teacher, "moderation", room, {"mute": "mina"}))["detail"]
    for options, key in ((["a", "b", "c", "d"], "max_poll_options"), (["a", "b" * 6], "max_option_chars")):
        error = await refusal(teacher, "poll", room, {"open": {"question": "?", "options": options}})
        assert (error["code"], key in error["detail"]) == ("too_large", True)
    assert (await refusal(mina, "ask", room, {"content": "x" * 11}))["code"] == "too_large"
    for body in (
        {"open": {"question": " ", "options": ["a", "b"]}},
        {"open": {"question": "?", "options": ["a", " a"]}},
    ):
        assert (await refusal(teacher, "poll", room, body))["code"] == "invalid_input"
    await rig.stop()


async def test_somebody_who_is_too_fast_waits_on_all_connections(valkey_url: str, http: aiohttp.ClientSession):
    slow = {"action_rate_per_s": 0.1, "action_burst": 3, "reaction_rate_per_s": 0.1, "reaction_burst": 2}
    rig, room, (_, mina, jun) = await begin(http, valkey_url, **FAST, **slow)
    tab = await joined(http, rig, "mina", room)
    for client in (mina, tab, mina):
        await client.ask("hand", room, {"raised": True})
    error = await refusal(tab, "hand", room, {"raised": False})
    assert error["code"] == "rate_limited"
    assert 0 < error["retry_after_s"] <= 10
    await jun.ask("hand", room, {"raised": True})
    for client in (mina, tab):
        await client.ask("reaction", room, "👍")
    assert (await refusal(tab, "reaction", room, "👍"))["code"] == "rate_limited"
    assert rig.metric("airnode_chat_rate_limited_total", event="hand") == 1
    assert rig.metric("airnode_chat_rate_limited_total", event="reaction") == 1
    await rig.stop()


async def test_numbers_that_are_none_end_that_connection_only(valkey_url: str, http: aiohttp.ClientSession):
    rig, room, (teacher, mina, jun) = await begin(http, valkey_url, **MANY)
    for number in (math.nan, math.inf):
        bad = await joined(http, rig, "bad", room)
        await bad._ws.send_str(f'421["moderation","{room}",{{"slow_mode_s":{number}}}]')
        await bad.until(lambda c: c.is_closed, "it is closed")
    await mina.ask("sendMessage", room, {"content": "still here"})
    await jun.until(lambda c: c.texts == ["still here"], "the class goes on")
    assert (await refusal(teacher, "moderation", room, {"slow_mode_s": 1e300}))["code"] == "invalid_input"
    await rig.stop()


async def test_a_locked_chat_stays_locked_while_redis_is_away(tmp_path, http: aiohttp.ClientSession):
    valkey = await ExternalValkey(tmp_path / "valkey").start()
    try:
        rig, room, (teacher, mina, jun) = await begin(http, valkey.url, **MANY)
        await teacher.ask("moderation", room, {"mute": "jun"})
        await jun.until(lambda c: c.got("moderation"), "the mute")
        valkey.pause()
        await eventually(lambda: rig.metric("redis_connection_status") == 0, 10, "the outage is noticed")
        assert (await refusal(jun, "sendMessage", room, {"content": "x"}))["code"] == "muted"
        assert (await refusal(mina, "hand", room, {"raised": True}))["code"] == "unavailable"
        assert (await mina.ask("sendMessage", room, {"content": "alone"}))["epoch"].startswith("~")
        valkey.resume()
        await eventually(lambda: rig.metric("redis_connection_status") == 1, 10, "Redis is used again")
        await teacher.ask("moderation", room, {"locked": True})
        await mina.until(lambda c: c.got("moderation"), "the lock")
        valkey.pause()
        await eventually(lambda: rig.metric("redis_connection_status") == 0, 10, "the outage is noticed")
        with pytest.raises(Refused, match="locked"):
            await mina.ask("sendMessage", room, {"content": "x"})
        assert (await joined(http, rig, "late", room)).state["locked"] is True
        valkey.resume()
        await rig.stop()
    finally:
        await valkey.kill()
