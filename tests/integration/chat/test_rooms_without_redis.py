"""Rooms while Redis is away, and after it."""

import asyncio
import itertools

import aiohttp
import pytest

from tests.support.chat_rooms import ChatRig, Refused, RoomClient
from tests.support.valkey import ExternalValkey
from tests.support.waiting import eventually

_numbers = itertools.count()
FAST = {"send_rate_per_s": 1000, "send_burst": 1000, "event_rate_per_s": 1000, "event_burst": 1000}


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def valkey(tmp_path):
    server = await ExternalValkey(tmp_path / "valkey").start()
    yield server
    await server.kill()


@pytest.fixture
async def nodes(valkey):
    rigs = [await ChatRig(valkey.url, f"node-{next(_numbers)}", **FAST).start() for _ in range(2)]
    yield rigs
    for rig in rigs:
        await rig.stop()


async def joined(http, rig, user, room="math", role="student"):
    client = await RoomClient(http, rig.url, token=rig.token(user, role, room)).connect()
    await client.ask("joinRoom", room)
    return client


async def say(client, *texts, room="math"):
    return [await client.ask("sendMessage", room, {"content": text}) for text in texts]


async def cut_off(nodes):
    for rig in nodes:
        await eventually(lambda rig=rig: rig.metric("redis_connection_status") == 0, 10, "the outage is noticed")


async def reunited(nodes, within_s=5):
    for rig in nodes:
        await eventually(lambda rig=rig: rig.metric("redis_connection_status") == 1, within_s, "Redis is used again")


async def test_a_paused_redis_loses_nothing_and_doubles_nothing(valkey, nodes, http, capsys):
    here, near, far = [await joined(http, nodes[n], f"u{n}") for n in (0, 0, 1)]
    await say(here, "before")
    await far.until(lambda c: c.texts == ["before"], "the first message")
    valkey.pause()
    alone = [*await say(here, "alone-1"), *await say(here, "alone-2")]
    assert all(each["epoch"].startswith("~") for each in alone)
    await near.until(lambda c: c.texts == ["before", "alone-1", "alone-2"], "local delivery")
    await say(far, "far-alone")
    late = await RoomClient(http, nodes[0].url, token=nodes[0].token("u9", room="math")).connect()
    assert [m["content"] for m in (await late.ask("joinRoom", "math"))["messages"]] == ["before"]
    with pytest.raises(Refused, match="does not answer"):
        await here.ask("history", {"room": "math"})
    await cut_off(nodes)
    valkey.resume()
    await reunited(nodes)
    await say(here, "after")
    for client in (here, near, far):
        await client.until(lambda c: len(c.texts) == 5, "everything, from both nodes")
        assert sorted(client.texts) == ["after", "alone-1", "alone-2", "before", "far-alone"]
    history = (await here.ask("history", {"room": "math"}))["messages"]
    assert sorted(m["content"] for m in history) == ["after", "alone-1", "alone-2", "before", "far-alone"]
    assert [m["id"] for m in history if m["content"] == "alone-1"] == [alone[0]["id"]]
    log = capsys.readouterr().out
    assert log.count("chat_single_server_mode") == 2  # once per node
    assert log.count("chat_cluster_mode") == 2


async def test_a_redis_that_lost_everything_is_announced_as_a_gap(valkey, nodes, http):
    here, far = [await joined(http, nodes[n], f"u{n}") for n in (0, 1)]
    await say(here, "1", "2", "3")
    await far.until(lambda c: len(c.texts) == 3, "three messages")
    epoch = far.got("message")[0]["epoch"]
    await valkey.kill()
    await say(here, "alone")
    await cut_off(nodes)
    await valkey.start()
    await reunited(nodes)
    await far.until(lambda c: "alone" in c.texts, "the message that waited")
    for client in (here, far):
        await client.until(lambda c: bool(c.got("gap")), "the gap is announced")
        gap = client.got("gap")[0]
        assert (gap["room"], gap["epoch"], gap["from"], gap["to"]) == ("math", epoch, 1, 3)
    await say(far, "after")
    await here.until(lambda c: c.texts == ["1", "2", "3", "alone", "after"], "the class goes on")
    await far.until(lambda c: c.texts == ["1", "2", "3", "alone", "after"], "the class goes on")
    assert here.got("message")[-1]["epoch"] != epoch
    late = await RoomClient(http, nodes[1].url, token=nodes[1].token("u9", room="math")).connect()
    answer = await late.ask("joinRoom", "math")
    assert [m["content"] for m in answer["messages"]] == ["alone", "after"]
    await late.until(lambda c: any(p["count"] == 3 for p in c.got("presence")), "everybody is seen")


async def test_what_waits_for_redis_is_bounded_and_resent_messages_wait_once(valkey, http):
    rig = await ChatRig(valkey.url, "node-full", offline_entries=2, **FAST).start()
    client = await joined(http, rig, "u1")
    await valkey.kill()
    first = await client.ask("sendMessage", "math", {"content": "1", "client_id": "c"})
    assert await client.ask("sendMessage", "math", {"content": "1", "client_id": "c"}) == first
    await say(client, "2")
    with pytest.raises(Refused, match="offline_entries"):
        await say(client, "3")
    assert client.texts == ["1", "2"]
    await valkey.start()
    await reunited([rig])
    await say(client, "4")
    await client.until(lambda c: c.texts == ["1", "2", "4"], "it goes on")
    again = await client.ask("sendMessage", "math", {"content": "1", "client_id": "c"})
    assert again["id"] == first["id"]
    await rig.stop()


async def test_somebody_who_joins_during_the_outage_learns_that_there_is_history(valkey, nodes, http):
    here = await joined(http, nodes[0], "u1")
    await say(here, "before")
    valkey.pause()
    await say(here, "alone")
    late = await RoomClient(http, nodes[1].url, token=nodes[1].token("u2", room="math")).connect()
    answer = await asyncio.wait_for(late.ask("joinRoom", "math"), 15)
    assert answer["messages"] == []
    valkey.resume()
    await reunited(nodes)
    await late.until(lambda c: bool(c.got("gap")), "the history is announced")
    page = await late.ask("history", {"room": "math"})
    assert [m["content"] for m in page["messages"]] == ["before", "alone"]


async def test_a_lost_connection_to_redis_is_made_up_for(valkey, nodes, http):
    """Only the pub/sub connection of a node is cut, so messages pass that it does not hear."""
    here, far = [await joined(http, nodes[n], f"u{n}") for n in (0, 1)]
    client = nodes[0]._bus.client
    for _ in range(3):
        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await say(here, "a", "b")
    for each in (here, far):
        await each.until(lambda c: c.texts == ["a", "b"] * 3, "all messages in order")
        assert [m["offset"] for m in each.got("message")] == [1, 2, 3, 4, 5, 6]
        assert each.got("gap") == []
