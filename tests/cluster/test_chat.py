"""Chat on a cluster: slaves that joined with the cluster token, and the master's own port."""

import aiohttp

from tests.support.chat_rooms import RoomClient
from tests.support.cluster import Cluster
from tests.support.waiting import eventually


async def joined(cluster: Cluster, session: aiohttp.ClientSession, url: str, user: str) -> RoomClient:
    """Join as somebody of an own browser: the server's cookie says who one is."""
    body = {"user_type": "student", "user_id": user, "name": user, "code": cluster.master["class_code"]}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser,
        browser.post(f"{cluster.master['api_url']}/api/token", json=body) as response,
    ):
        place = await response.json()
        assert response.status == 200, place
    client = await RoomClient(session, url, token=place["token"]).connect()
    await client.ask("joinRoom", place["room"])
    return client


async def test_people_on_a_master_and_two_slaves_share_a_room(cluster: Cluster, session: aiohttp.ClientSession):
    slaves = [await cluster.add_slave("slave-1"), await cluster.add_slave("slave-2")]
    urls = [cluster.master["api_url"], *(slave["media_url"] for slave in slaves)]
    clients = [await joined(cluster, session, url, f"u{n}") for n, url in enumerate(urls)]
    room = cluster.master.room
    for n, client in enumerate(clients):
        await client.ask("sendMessage", room, {"content": str(n), "type": "text"})
    for client in clients:
        await client.until(lambda c: c.texts == ["0", "1", "2"], "all messages in order")
        await client.until(lambda c: any(p["count"] == 3 for p in c.got("presence")), "everybody is seen")

    async def reported() -> bool:
        _, listed = await cluster.call("GET", "/cluster/nodes")
        chats = [each["chat"] for each in (*listed["masters"], *listed["nodes"])]
        return [chat["rooms"].get(room, {}).get("members") for chat in chats] == [1, 1, 1]

    await eventually(reported, 20, "administrators see the chat of the master too")
    await slaves[0].kill()
    moved = await clients[1].connect(urls[2])
    assert moved.recovered
    await clients[0].ask("sendMessage", room, {"content": "3", "type": "text"})
    for client in clients:
        await client.until(lambda c: c.texts == ["0", "1", "2", "3"], "the class goes on")


async def test_nodes_stop_in_order_while_people_chat(cluster: Cluster, session: aiohttp.ClientSession):
    slave = await cluster.add_slave("slave-1")
    client = await joined(cluster, session, slave["media_url"], "u1")
    assert await slave.stop() == 0
    await client.until(lambda c: c.is_closed, "the connection ends")
    await eventually(lambda: "task_failed" not in slave.log, 5, "no task failed")
    back = await client.connect(cluster.master["api_url"])
    assert back.recovered
