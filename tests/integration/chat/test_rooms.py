"""Rooms over two nodes and one Valkey."""

import asyncio
import itertools

import aiohttp
import pytest

from tests.support.chat_rooms import ChatRig, Refused, RoomClient
from tests.support.waiting import eventually

_numbers = itertools.count()
FAST = {"send_rate_per_s": 1000, "send_burst": 1000, "event_rate_per_s": 1000, "event_burst": 1000}


@pytest.fixture
def room():
    return f"math-{next(_numbers)}"


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def nodes(valkey_url):
    rigs = [await ChatRig(valkey_url, f"node-{next(_numbers)}", lease_s=3, **FAST).start() for _ in range(2)]
    yield rigs
    for rig in rigs:
        await rig.stop()


async def joined(http, rig, user, room, role="student"):
    client = await RoomClient(http, rig.url, token=rig.token(user, role, room)).connect()
    await client.ask("joinRoom", room)
    return client


async def test_a_message_reaches_everyone_once_and_in_one_order(nodes, http, room):
    clients = [await joined(http, nodes[n % 2], f"u{n}", room) for n in range(4)]

    async def talk(client, name):
        for n in range(25):
            sent = await client.ask("sendMessage", room, {"content": f"{name}-{n}", "type": "text"})
            assert sent["offset"] > 0

    await asyncio.gather(*(talk(client, name) for client, name in zip(clients, "abcd", strict=True)))
    for client in clients:
        await client.until(lambda c: len(c.texts) == 100, "all messages")
    assert len(set(clients[0].texts)) == 100
    assert all(client.got("message") == clients[0].got("message") for client in clients)
    assert [each["offset"] for each in clients[0].got("message")] == list(range(1, 101))
    message = clients[0].got("message")[0]
    assert set(message) == {"id", "room", "epoch", "offset", "at", "user", "content", "type"}
    assert message["user"]["role"] == "student"
    assert clients[0].events[0][1][1] == f"{message['epoch']}:1"
    assert nodes[0].metric("airnode_chat_deliveries_total") >= 200
    assert nodes[0].metric("airnode_chat_bus_lag_seconds_count") == 50


async def test_the_one_argument_form_and_resent_messages(nodes, http, room):
    client = await joined(http, nodes[0], "u1", room)
    first = await client.ask("sendMessage", {"roomId": room, "content": "x", "type": "emoji", "client_id": "c1"})
    again = await client.ask("sendMessage", room, {"content": "x", "client_id": "c1"})
    assert again == first
    await client.emit("sendMessage", room, {"content": "y"})
    await client.until(lambda c: c.texts == ["x", "y"], "two messages")
    assert client.got("message")[0]["type"] == "emoji"


async def test_joining_gives_where_the_room_is_and_history_the_rest(nodes, http, room):
    first = await joined(http, nodes[0], "u1", room)
    assert not (await first.ask("joinRoom", room))["more"]
    for n in range(250):
        await first.ask("sendMessage", room, {"content": str(n)})
    late = await RoomClient(http, nodes[1].url, token=nodes[1].token("t", "teacher", room)).connect()
    answer = await late.ask("joinRoom", room)
    assert [m["content"] for m in answer["messages"]] == [str(n) for n in range(50, 250)]
    assert answer["more"]
    assert (answer["offset"], answer["you"]) == (250, {"id": "t", "name": "t", "role": "teacher"})
    oldest = answer["messages"][0]["offset"]
    page = await late.ask("history", {"room": room, "before": oldest, "limit": 40})
    assert [m["content"] for m in page["messages"]] == [str(n) for n in range(10, 50)]
    assert page["more"]
    page = await late.ask("history", {"room": room, "before": page["messages"][0]["offset"]})
    assert [m["content"] for m in page["messages"]] == [str(n) for n in range(10)]
    assert not page["more"]
    page = await late.ask("history", {"room": room, "after": 245})
    assert [m["content"] for m in page["messages"]] == [str(n) for n in range(245, 250)]
    assert not page["more"]


async def test_a_client_that_comes_back_to_another_node_gets_what_it_missed(nodes, http, room):
    speaker = await joined(http, nodes[0], "u1", room)
    mover = await joined(http, nodes[0], "u2", room)
    await speaker.ask("sendMessage", room, {"content": "before"})
    await mover.until(lambda c: c.texts == ["before"], "the first message")
    await mover.drop()
    for n in range(3):
        await speaker.ask("sendMessage", room, {"content": f"missed-{n}"})
    await mover.connect(nodes[1].url)
    assert mover.recovered
    await speaker.ask("sendMessage", room, {"content": "after"})
    await mover.until(lambda c: len(c.texts) == 5, "what it missed")
    assert mover.texts == ["before", "missed-0", "missed-1", "missed-2", "after"]
    assert nodes[1].metric("airnode_chat_recoveries_total", result="recovered") == 1


async def test_a_client_that_got_nothing_yet_recovers_from_its_join(nodes, http, room):
    speaker = await joined(http, nodes[0], "u1", room)
    await speaker.ask("sendMessage", room, {"content": "known by the join"})
    mover = await joined(http, nodes[1], "u2", room)
    await mover.drop()
    await speaker.ask("sendMessage", room, {"content": "missed"})
    await mover.connect(nodes[0].url)
    assert mover.recovered
    await mover.until(lambda c: c.texts == ["missed"], "what it missed")


async def test_somebody_elses_pid_or_a_wrong_offset_recovers_nothing(nodes, http, room):
    victim = await joined(http, nodes[0], "u1", room)
    await victim.ask("sendMessage", room, {"content": "secret"})
    await victim.drop()
    thief = RoomClient(http, nodes[1].url, token=nodes[1].token("u2", "student", room))
    thief.pid, thief.position = victim.pid, victim.position
    await thief.connect()
    assert not thief.recovered
    for position in ("", "nonsense", "1:1", f"{victim.position}9999999", "9" * 400):
        victim.position = position
        await victim.connect(nodes[1].url)
        assert victim.recovered == (position == "")
        await victim.drop()


async def test_presence_counts_people_and_tells_changes(nodes, http, room):
    teacher = await joined(http, nodes[0], "t", room, "teacher")
    one = await joined(http, nodes[1], "u1", room)
    two = await joined(http, nodes[0], "u1", room)  # the same person in a second tab
    await teacher.until(lambda c: any(p["count"] == 2 for p in c.got("presence")), "the student is seen")
    answer = await teacher.ask("presence", room)
    assert [user["id"] for user in answer["users"]] == ["t", "u1"]
    await one.close()
    await two.ask("leaveRoom", room)
    await teacher.until(lambda c: any(p.get("left") == ["u1"] for p in c.got("presence")), "the student left")
    assert (await teacher.ask("presence", room))["count"] == 1


async def test_who_watches_and_who_chats_are_the_same_people(nodes, http, room):
    teacher = await joined(http, nodes[0], "t", room, "teacher")
    nodes[1].watched = {room: {"u1", "u2"}}  # nobody has the chat open there
    await teacher.until(lambda c: any(p["count"] == 3 for p in c.got("presence")), "two watch")
    student = await joined(http, nodes[0], "u1", room)
    await teacher.until(lambda c: any(p.get("joined") for p in c.got("presence")[1:]), "one opens the chat")
    answer = await student.ask("presence", room)
    assert (answer["count"], [user["id"] for user in answer["users"]]) == (3, ["t", "u1"])
    other = await joined(http, nodes[1], "u3", room)
    await teacher.until(lambda c: c.got("presence")[-1]["count"] == 4, "another one comes")
    await other.close()
    nodes[1].watched = {room: {"u2"}}
    await student.close()
    await teacher.until(lambda c: c.got("presence")[-1]["count"] == 2, "the teacher and who watches are left")
    nodes[1].watched = {}
    await teacher.until(lambda c: c.got("presence")[-1]["count"] == 1, "only the teacher is left")


async def test_the_people_of_a_node_that_dies_vanish_within_its_lease(valkey_url, nodes, http, room):
    dying = await ChatRig(valkey_url, "node-dying", lease_s=3).start()
    teacher = await joined(http, nodes[0], "t", room, "teacher")
    await joined(http, dying, "u1", room)
    await teacher.until(lambda c: any(p["count"] == 2 for p in c.got("presence")), "the student is seen")
    await dying.die()
    await teacher.until(lambda c: any(p.get("left") == ["u1"] for p in c.got("presence")), "the student vanished", 10)
    late = await joined(http, nodes[1], "u2", room)

    async def both() -> bool:
        return [user["id"] for user in (await late.ask("presence", room))["users"]] == ["t", "u2"]

    await eventually(both, 5, "newcomers do not see it either")


async def test_a_room_that_nobody_is_in_is_left(valkey_url, http, room):
    rig = await ChatRig(valkey_url, "node-linger", room_linger_s=0.1).start()
    client = await joined(http, rig, "u1", room)
    assert rig.metric("airnode_chat_rooms") == 1
    await client.close()
    await eventually(lambda: rig.metric("airnode_chat_rooms") == 0, 10, "the room is left")
    await rig.stop()


async def test_a_token_opens_its_own_room_only(nodes, http, room):
    for auth in ({}, {"token": "x"}, {"token": 7}, {"token": nodes[0].tokens.issue_node("n")}):
        with pytest.raises(Refused) as refused:
            await RoomClient(http, nodes[0].url, **auth).connect()
        assert refused.value.body["data"]["code"] in ("unauthenticated", "forbidden")
    client = await RoomClient(http, nodes[0].url, token=nodes[0].token("u1", "student", room)).connect()
    for args in (("joinRoom", "other"), ("sendMessage", "other", {"content": "x"}), ("presence", "other")):
        with pytest.raises(Refused) as refused:
            await client.ask(*args)
        assert refused.value.body["code"] == "forbidden"
    with pytest.raises(Refused, match="Join the room first"):
        await client.ask("sendMessage", room, {"content": "x"})


@pytest.mark.parametrize(
    "args",
    [
        (),
        (7,),
        ("",),
        ("a:b",),
        ("x" * 200,),
        ('"},"',),
    ],
)
async def test_a_room_that_cannot_be_is_refused(nodes, http, args):
    client = await RoomClient(http, nodes[0].url, token=nodes[0].token("u1")).connect()
    with pytest.raises(Refused) as refused:
        await client.ask("joinRoom", *args)
    assert refused.value.body["code"] in ("invalid_input", "forbidden")


@pytest.mark.parametrize("content", [None, 7, "", {"a": 1}, ["x"], "x" * 2001])
async def test_a_message_that_cannot_be_is_refused(nodes, http, room, content):
    client = await joined(http, nodes[0], "u1", room)
    with pytest.raises(Refused) as refused:
        await client.ask("sendMessage", room, {"content": content})
    assert refused.value.body["code"] in ("invalid_input", "too_large")
    with pytest.raises(Refused):
        await client.ask("sendMessage", room, content)


async def test_an_expired_token_ends_the_connection_and_a_renewed_one_does_not(nodes, http, room):
    nodes[0].tokens._ttl_s = 2
    short = await joined(http, nodes[0], "u1", room)
    renewed = await joined(http, nodes[0], "u2", room)
    nodes[0].tokens._ttl_s = 3600
    answer = await renewed.ask("token", nodes[0].token("u2", "student", room))
    assert answer["expires_at"]
    for other in (nodes[0].token("u3", "student", room), nodes[0].token("u2", "teacher", room), "x"):
        with pytest.raises(Refused):
            await renewed.ask("token", other)
    with pytest.raises(Refused):
        await renewed.ask("token", nodes[0].token("u2", "student", "other"))
    await short.until(lambda c: c.is_closed, "the connection ends")
    assert short.got("error")[-1]["code"] == "token_expired"
    await renewed.ask("sendMessage", room, {"content": "missed"})
    short.auth = {"token": nodes[0].token("u1", "student", room)}
    await short.connect(nodes[1].url)
    assert short.recovered
    await short.until(lambda c: c.texts == ["missed"], "what it missed")
    await renewed.ask("sendMessage", room, {"content": "still here"})


async def test_too_many_messages_are_refused_with_a_time(valkey_url, http, room):
    rig = await ChatRig(valkey_url, "node-limits", send_burst=2, event_burst=5, event_rate_per_s=0.1).start()
    client = await joined(http, rig, "u1", room)
    other = await joined(http, rig, "u1", room)
    await client.ask("sendMessage", room, {"content": "1"})
    await other.ask("sendMessage", room, {"content": "2"})
    with pytest.raises(Refused) as refused:
        await other.ask("sendMessage", room, {"content": "3"})
    assert refused.value.body["code"] == "rate_limited"
    assert refused.value.body["retry_after_s"] > 0
    for _ in range(5):
        await client.ask("presence", room)
    with pytest.raises(Refused, match="rate_limited"):
        await client.ask("presence", room)
    assert rig.metric("airnode_chat_rate_limited_total", event="presence") == 1
    await rig.stop()


async def test_open_access_lets_old_clients_in(valkey_url, http, room):
    rig = await ChatRig(valkey_url, "node-open", access="open").start()
    one = await RoomClient(http, rig.url).connect()
    two = await RoomClient(http, rig.url, name="Kim").connect()
    await one.ask("joinRoom", room)
    await one.ask("joinRoom", "another room")
    await two.ask("sendMessage", room, {"content": "hello", "type": "text"})
    await one.until(lambda c: c.texts == ["hello"], "the message")
    assert one.got("message")[0]["user"]["name"] == "Kim"
    await rig.stop()


async def test_history_survives_all_nodes(valkey_url, http, room):
    rig = await ChatRig(valkey_url, "node-1").start()
    client = await joined(http, rig, "u1", room)
    await client.ask("sendMessage", room, {"content": "kept"})
    await rig.stop()
    rig = await ChatRig(valkey_url, "node-2").start()
    client = await RoomClient(http, rig.url, token=rig.token("u1", "student", room)).connect()
    assert [m["content"] for m in (await client.ask("joinRoom", room))["messages"]] == ["kept"]
    await rig.stop()
