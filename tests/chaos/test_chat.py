"""Chat while nodes and Redis are killed."""

import asyncio
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.chaos.lasting import lasting_s
from tests.cluster.test_chat import joined
from tests.support.chat_rooms import Refused, RoomClient
from tests.support.cluster import Cluster
from tests.support.node import AirnodeProcess
from tests.support.valkey import ExternalValkey
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)

LEASE_S = 10.0


@pytest.fixture
def cluster(cluster_on_other_stores: Cluster) -> Cluster:
    return cluster_on_other_stores


async def say(client: RoomClient, text: str) -> None:
    while True:
        try:
            await client.ask("sendMessage", "stream", {"content": text, "type": "text", "client_id": text})
            return
        except Refused as refused:
            await asyncio.sleep(refused.body["retry_after_s"])


async def readiness(session: aiohttp.ClientSession, node: AirnodeProcess) -> tuple[int, str]:
    async with session.get(f"{node['api_url']}/health/readiness") as response:
        return response.status, (await response.text()).strip()


async def test_a_node_is_killed_in_the_middle_of_a_talk(cluster: Cluster, session: aiohttp.ClientSession):
    one, two = cluster.node("slave-1"), cluster.node("slave-2")
    staying = await joined(cluster, session, two["media_url"], "staying")
    moving = await joined(cluster, session, one["media_url"], "moving")
    gone = await joined(cluster, session, one["media_url"], "gone")
    await staying.until(lambda c: any(p["count"] == 3 for p in c.got("presence")), "everybody is seen")

    async def talk() -> None:
        for n in range(30):
            await say(staying, str(n))

    async with asyncio.TaskGroup() as work:
        work.create_task(talk())
        await moving.until(lambda c: len(c.texts) >= 10, "the talk is under way")
        await one.kill()
        await moving.until(lambda c: c.is_closed, "the connection is gone")
        await moving.connect(two["media_url"])
        assert moving.recovered
    for client in (staying, moving):
        await client.until(lambda c: c.texts == [str(n) for n in range(30)], "every message once, in order")
    await staying.until(
        lambda c: any("gone" in p.get("left", ()) for p in c.got("presence")), "people of the node vanish", LEASE_S + 5
    )
    assert (await staying.ask("presence", "stream"))["count"] == 2
    assert gone.is_closed


async def test_redis_is_killed_and_comes_back_without_its_memory(
    cluster: Cluster, session: aiohttp.ClientSession, valkey: ExternalValkey
):
    one, two = cluster.node("slave-1"), cluster.node("slave-2")
    near, beside = [await joined(cluster, session, one["media_url"], user) for user in ("near", "beside")]
    far = await joined(cluster, session, two["media_url"], "far")
    await say(near, "1")
    await far.until(lambda c: c.texts == ["1"], "the first message")
    await valkey.kill()
    await say(near, "2")
    await say(far, "3")
    await beside.until(lambda c: c.texts == ["1", "2"], "local delivery goes on")
    for node in (one, two):

        async def degraded(node: AirnodeProcess = node) -> bool:
            status, text = await readiness(session, node)
            return status == 200 and text.startswith("degraded") and "chat" in text

        await eventually(degraded, 10, "readiness says degraded, with 200")
        assert node.log.count("chat_single_server_mode") == 1
    await valkey.start()
    for client in (near, beside, far):
        await client.until(lambda c: sorted(c.texts) == ["1", "2", "3"], "all messages", 10)
        await client.until(lambda c: bool(c.got("gap")), "the loss is announced")
    await say(far, "4")
    await near.until(lambda c: c.texts[-1] == "4", "the class goes on")
    for node in (one, two):
        assert node.log.count("chat_cluster_mode") == 1


async def test_a_message_is_back_within_five_seconds_of_redis(
    cluster: Cluster, session: aiohttp.ClientSession, valkey: ExternalValkey
):
    near = await joined(cluster, session, cluster.node("slave-1")["media_url"], "near")
    far = await joined(cluster, session, cluster.node("slave-2")["media_url"], "far")
    await valkey.kill()
    await say(near, "alone")
    await asyncio.sleep(lasting_s(20, 8))  # the length of the outage: pauses between attempts have grown by then
    await valkey.start()
    await far.until(lambda c: c.texts == ["alone"], "nodes share the room again", within_s=5)


async def test_the_redis_of_a_node_is_killed_while_people_talk(tmp_path: Path, session: aiohttp.ClientSession):
    """It comes back with what it had written to disk; what it had not is announced."""
    node = await AirnodeProcess(tmp_path / "node").start()
    try:
        place = {"user_type": "student", "user_id": "u1", "name": "u1", "code": node["class_code"]}
        async with session.post(f"{node['api_url']}/api/token", json=place) as response:
            token = (await response.json())["token"]
        client = await RoomClient(session, node["media_url"], token=token).connect()
        await client.ask("joinRoom", "stream")
        for n in range(30):
            if n in (10, 20):
                (redis,) = [
                    each for each in psutil.Process(node.pid).children() if "valkey" in " ".join(each.cmdline())
                ]
                redis.kill()
            await say(client, str(n))
        texts = [str(n) for n in range(30)]
        await client.until(lambda c: c.texts == texts, "everybody here got all of it, once, in order")

        async def stored() -> set[str]:
            try:
                page = await client.ask("history", {"room": "stream", "limit": 100})
            except Refused:  # Redis is away, or too many questions
                await asyncio.sleep(0.5)
                return set()
            return {message["content"] for message in page["messages"]}

        async def announced() -> bool:
            found = await stored()
            lost = {
                message["content"]
                for message in client.got("message")
                for gap in client.got("gap")
                if message["epoch"] == gap["epoch"] and gap["from"] <= message["offset"] <= gap["to"]
            }
            return bool(found) and found | lost == set(texts)

        await eventually(announced, 20, "what history does not have was announced")
    finally:
        await node.close()
