"""Polls, hands, questions and moderation of a class, over two nodes and one Valkey."""

import asyncio
import itertools

import aiohttp
import pytest

from tests.support.chat_rooms import ChatRig, Refused, RoomClient
from tests.support.waiting import eventually

_numbers = itertools.count()
FAST = {"send_rate_per_s": 1000, "send_burst": 1000, "event_rate_per_s": 1000, "event_burst": 1000}
MANY = {**FAST, "action_rate_per_s": 1000, "action_burst": 1000}


@pytest.fixture
def room():
    return f"class-{next(_numbers)}"


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def nodes(valkey_url):
    rigs = [await ChatRig(valkey_url, f"class-node-{next(_numbers)}", **MANY).start() for _ in range(2)]
    yield rigs
    for rig in rigs:
        await rig.stop()


async def joined(http, rig, user, room, role="student"):
    client = await RoomClient(http, rig.url, token=rig.token(user, role, room)).connect()
    client.state = (await client.ask("joinRoom", room))["state"]
    return client


async def refused(client, code, event, *args):
    """Send an event that must be refused with this code; return the error."""
    with pytest.raises(Refused) as caught:
        await client.ask(event, *args)
    assert caught.value.body["code"] == code, caught.value.body
    return caught.value.body


@pytest.fixture
async def people(http, nodes, room):
    """A teacher and a student on the first node, a student on the second."""
    return (
        await joined(http, nodes[0], "kim", room, "teacher"),
        await joined(http, nodes[0], "mina", room),
        await joined(http, nodes[1], "jun", room),
    )


async def test_a_poll_from_its_question_to_its_result(people, room, http, nodes):
    teacher, mina, jun = people
    poll_id = (await teacher.ask("poll", room, {"open": {"question": " Q? ", "options": ["하나", 'two "2"', "3/3"]}}))[
        "id"
    ]
    for client in people:
        await client.until(lambda c: c.got("poll"), "the poll")
        poll = client.got("poll")[0]["poll"]
        assert (poll["id"], poll["question"], poll["open"], poll["answered"]) == (poll_id, "Q?", True, 0)
        assert poll["options"] == [{"text": text, "votes": 0} for text in ("하나", 'two "2"', "3/3")]
    await refused(teacher, "poll_open", "poll", room, {"open": {"question": "?", "options": ["a", "b"]}})
    assert await mina.ask("poll", room, {"answer": 1, "id": poll_id}) == {"ok": True}
    await jun.ask("poll", room, {"answer": 1, "id": poll_id})
    for _ in range(2):
        await refused(jun, "already_answered", "poll", room, {"answer": 0, "id": poll_id})
    await jun.until(lambda c: c.got("poll")[-1]["poll"]["answered"] == 2, "the votes")
    late = await joined(http, nodes[1], "late", room)
    assert late.state["poll"]["options"][1]["votes"] == 2
    assert (await joined(http, nodes[1], "mina", room)).state["poll"]["mine"] == 1
    await teacher.ask("poll", room, {"close": poll_id})
    await refused(late, "poll_closed", "poll", room, {"answer": 0, "id": poll_id})
    await refused(teacher, "poll_closed", "poll", room, {"close": poll_id})
    for client in (*people, late):
        await client.until(lambda c: not c.got("poll")[-1]["poll"]["open"], "the end")
        last = client.got("poll")[-1]["poll"]
        assert (last["answered"], last["closed_at"] >= last["at"]) == (2, True)
    later = await joined(http, nodes[0], "later", room)
    assert later.state["poll"] == last
    entries = [each for each in await nodes[0].rooms.log.after(room, 0) if each.event == "poll_answer"]
    assert len(entries) == 2


async def test_votes_come_at_most_twice_a_second_and_the_last_one_counts_all(http, nodes, room):
    teacher = await joined(http, nodes[0], "kim", room, "teacher")
    poll_id = (await teacher.ask("poll", room, {"open": {"question": "?", "options": ["a", "b"]}}))["id"]
    students = [await joined(http, nodes[n % 2], f"s{n}", room) for n in range(20)]
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await asyncio.gather(*(each.ask("poll", room, {"answer": n % 2, "id": poll_id}) for n, each in enumerate(students)))
    await teacher.until(lambda c: c.got("poll")[-1]["poll"]["answered"] == 20, "all votes")
    assert [each["votes"] for each in teacher.got("poll")[-1]["poll"]["options"]] == [10, 10]
    assert len(teacher.got("poll")) - 1 <= 1 + 2 * (loop.time() - began_s)


async def test_hands_go_up_and_down(people, room, http, nodes):
    teacher, mina, jun = people
    for client in (mina, jun, mina):
        await client.ask("hand", room, {"raised": True})
    await teacher.until(lambda c: len(c.got("hand")) == 2, "two hands")
    assert [each["raised"]["user"]["id"] for each in teacher.got("hand")] == ["mina", "jun"]
    assert [each["count"] for each in teacher.got("hand")] == [1, 2]
    late = await joined(http, nodes[1], "late", room)
    assert [each["user"]["id"] for each in late.state["hands"]] == ["mina", "jun"]
    await refused(late, "forbidden", "hand", room, {"lower": "mina"})
    await refused(late, "forbidden", "hand", room, {"lower_all": True})
    await jun.ask("hand", room, {"raised": False})
    await teacher.ask("hand", room, {"lower": "mina"})
    await teacher.ask("hand", room, {"lower": "nobody"})
    await late.ask("hand", room, {"raised": True})
    await teacher.ask("hand", room, {"lower_all": True})
    await mina.until(lambda c: c.got("hand")[-1].get("all_lowered"), "all down")
    assert [each.get("lowered") for each in mina.got("hand")[2:4]] == ["jun", "mina"]
    assert (await joined(http, nodes[0], "x", room)).state["hands"] == []


async def test_questions_are_supported_once_each_and_answered(people, room, http, nodes):
    teacher, mina, jun = people
    question = (await mina.ask("ask", room, {"content": " <b>왜?</b> "}))["id"]
    await jun.until(lambda c: c.got("ask"), "the question")
    assert jun.got("ask")[0]["question"]["content"] == "<b>왜?</b>"
    again = await joined(http, nodes[0], "jun", room)
    results = await asyncio.gather(
        jun.ask("ask", room, {"support": question}),
        again.ask("ask", room, {"support": question}),
        return_exceptions=True,
    )
    assert sorted(isinstance(each, Refused) for each in results) == [False, True]
    await teacher.until(lambda c: c.got("ask")[-1]["question"]["supporters"] == 1, "the supporter")
    await refused(mina, "own_question", "ask", room, {"support": question})
    await refused(teacher, "forbidden", "ask", room, {"support": question})
    assert (await joined(http, nodes[1], "jun", room)).state["questions"][0]["supported"] is True
    await jun.ask("ask", room, {"withdraw": question})
    await teacher.until(lambda c: c.got("ask")[-1]["question"]["supporters"] == 0, "no supporter")
    await refused(jun, "not_found", "ask", room, {"withdraw": question})
    await refused(jun, "forbidden", "ask", room, {"answered": question})
    await refused(jun, "forbidden", "ask", room, {"delete": question})
    await teacher.ask("ask", room, {"answered": question})
    await mina.until(lambda c: c.got("ask")[-1].get("question", {}).get("answered"), "the answer")
    await mina.ask("ask", room, {"withdraw": question})
    await jun.until(lambda c: c.got("ask")[-1].get("deleted") == question, "the end")
    assert (await joined(http, nodes[1], "late", room)).state["questions"] == []


async def test_deleted_messages_vanish_everywhere(people, room, http, nodes):
    teacher, mina, jun = people
    sent = await mina.ask("sendMessage", room, {"content": "bad", "type": "text"})
    await refused(mina, "forbidden", "moderation", room, {"delete": sent["id"]})
    await teacher.ask("moderation", room, {"delete": sent["id"]})
    await refused(teacher, "not_found", "moderation", room, {"delete": sent["id"]})
    await jun.until(lambda c: c.got("moderation"), "the deletion")
    assert jun.got("moderation")[0]["deleted"] == sent["id"]
    late = await joined(http, nodes[1], "late", room)
    assert (await late.ask("history", {"room": room}))["messages"] == []


async def test_who_may_write(people, room):
    teacher, mina, jun = people
    say = {"content": "hello", "type": "text"}
    await teacher.ask("moderation", room, {"locked": True})
    assert await refused(jun, "locked", "sendMessage", room, say)
    await refused(jun, "locked", "ask", room, {"content": "?"})
    await teacher.ask("sendMessage", room, say)
    await teacher.ask("moderation", room, {"locked": False})
    await teacher.ask("moderation", room, {"teacher_only": True})
    await refused(jun, "teacher_only", "sendMessage", room, say)
    await jun.ask("ask", room, {"content": "?"})
    await teacher.ask("moderation", room, {"teacher_only": False})
    await teacher.ask("moderation", room, {"slow_mode_s": 60})
    await jun.ask("sendMessage", room, say)
    error = await refused(jun, "slow_mode", "sendMessage", room, say)
    assert 50 < error["retry_after_s"] <= 60
    await teacher.ask("moderation", room, {"slow_mode_s": 0})
    await jun.ask("sendMessage", room, say)
    await mina.until(lambda c: len(c.got("moderation")) == 6, "all changes")
    assert mina.got("moderation")[4]["settings"] == {"locked": False, "slow_mode_s": 60, "teacher_only": False}


async def test_a_mute_is_seen_by_the_teacher_and_that_student_only(people, room, http, nodes):
    teacher, mina, jun = people
    say = {"content": "hello", "type": "text"}
    await teacher.ask("moderation", room, {"mute": "jun", "for_s": 600})
    await jun.until(lambda c: c.got("moderation"), "the mute")
    await teacher.until(lambda c: c.got("moderation"), "the mute")
    muted = jun.got("moderation")[0]["muted"]
    assert muted["user"] == {"id": "jun", "name": "jun", "role": "student"}
    assert 500 < (await refused(jun, "muted", "sendMessage", room, say))["retry_after_s"] <= 600
    await refused(jun, "muted", "ask", room, {"content": "?"})
    await mina.ask("sendMessage", room, say)
    state = (await joined(http, nodes[0], "jun", room)).state
    assert (state["muted"], state["muted_until"]) == (True, muted["until"])
    assert [each["id"] for each in (await joined(http, nodes[1], "lee", room, "teacher")).state["muted_users"]] == [
        "jun"
    ]
    await teacher.ask("moderation", room, {"unmute": "jun"})
    await teacher.ask("moderation", room, {"unmute": "jun"})
    await jun.ask("sendMessage", room, say)
    await mina.until(lambda c: len(c.texts) == 2, "both messages")
    assert mina.got("moderation") == []
    await teacher.ask("moderation", room, {"mute": "jun", "for_s": 1})
    await refused(jun, "muted", "sendMessage", room, say)
    await eventually(lambda: may(jun, room, say), 10, "the end of the mute")


async def may(client, room, say):
    try:
        return await client.ask("sendMessage", room, say)
    except Refused:
        return None


async def test_a_removed_student_is_out_on_every_node_until_readmitted(people, room, http, nodes):
    teacher, mina, jun = people
    tab = await joined(http, nodes[0], "jun", room)
    await jun.ask("hand", room, {"raised": True})
    token = nodes[0].token("jun", "student", room)
    await refused(mina, "forbidden", "moderation", room, {"remove": "jun"})
    await teacher.ask("moderation", room, {"remove": "jun"})
    for client in (jun, tab):
        await client.until(lambda c: c.is_closed, "the end")
        assert client.got("removed") == [{"room": room}]
    for rig in nodes:
        await eventually(lambda rig=rig: rig.removals.is_removed(room, ["jun"]), 5, "the removal")
        with pytest.raises(Refused) as caught:
            await RoomClient(http, rig.url, token=token).connect()
        assert caught.value.body["data"]["code"] == "removed"
    await mina.until(lambda c: any(each.get("lowered") == "jun" for each in c.got("hand")), "the hand down")
    lee = await joined(http, nodes[1], "lee", room, "teacher")
    assert [each["id"] for each in lee.state["removed_users"]] == ["jun"]
    await lee.ask("moderation", room, {"readmit": "jun"})
    await eventually(lambda: not nodes[0].removals.is_removed(room, ["jun"]), 5, "the readmission")
    assert (await joined(http, nodes[0], "jun", room)).state["muted"] is False
    await teacher.until(lambda c: c.got("moderation")[-1].get("readmitted") == "jun", "what the other teacher did")
    await eventually(lambda: "lee" in nodes[0].rooms.rooms[room].roster, 5, "the other teacher is seen")
    for who in ("kim", "lee"):
        await refused(teacher, "forbidden", "moderation", room, {"remove": who})


async def test_reactions_are_summed_up(people, room):
    teacher, mina, jun = people
    for _ in range(3):
        await mina.ask("reaction", room, "👍")
        await jun.ask("reaction", room, "❤")

    def total(client):
        counts = client.got("reaction")
        return sum(sum(each["counts"].values()) for each in counts)

    await teacher.until(lambda c: total(c) == 6, "six reactions")
    assert len(teacher.got("reaction")) < 6
    assert "❤️" in {each for signal in teacher.got("reaction") for each in signal["counts"]}
    await refused(mina, "invalid_input", "reaction", room, "💣")


async def test_who_types_is_one_list_over_all_nodes(people, room):
    teacher, mina, jun = people
    await mina.ask("typing", room, True)
    await jun.ask("typing", room)
    await teacher.until(
        lambda c: {user["id"] for each in c.got("typing")[-1:] for user in each["users"]} == {"mina", "jun"}, "both"
    )
    await jun.ask("typing", room, False)
    await teacher.until(lambda c: [user["id"] for user in c.got("typing")[-1]["users"]] == ["mina"], "one")
    await teacher.until(lambda c: c.got("typing")[-1]["users"] == [], "nobody, as she does not say it again")
