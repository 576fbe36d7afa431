"""Nodes find each other's gateways through Redis, and pass requests of each other's sessions on."""

import aiohttp
import orjson
import pytest

from tests.support.chat import EngineClient, receive
from tests.support.chat_rooms import ChatRig
from tests.support.waiting import eventually

UNKNOWN = (400, '{"code":1,"message":"Session ID unknown"}')


async def test_a_session_is_served_through_any_node_until_its_node_is_gone(valkey_url: str):
    first, second = [await ChatRig(valkey_url, name).start() for name in ("node-a", "node-b")]
    async with aiohttp.ClientSession() as http:
        here, there = EngineClient(first, http), EngineClient(second, http)
        sid = await here.open_polling()
        assert sid.endswith(".node-a")
        auth = orjson.dumps({"token": first.token("ann")}).decode()
        assert await there.post(sid, f"40{auth}") == (200, "ok")
        status, text = await there.poll(sid)
        assert status == 200
        assert text.startswith('40{"sid":')
        websocket = await there.websocket(sid)
        await websocket.send_str("2probe")
        assert await receive(websocket) == "3probe"
        await websocket.send_str("5")
        await websocket.send_str('421["joinRoom","math"]')
        assert (await receive(websocket)).startswith('431[{"ok":true,"room":"math"')
        assert second.metric("airnode_chat_forwarded_total", kind="polling") == 2
        assert second.metric("airnode_chat_forwarded_total", kind="websocket") == 1
        another = await here.open_polling()
        await first.stop()
        assert (await websocket.receive()).data == 1001

        async def is_unknown() -> bool:
            return await there.poll(another) == UNKNOWN

        await eventually(is_unknown, what="the session is gone with its node")
    await second.stop()


async def test_gateways_stay_where_they_were_while_redis_does_not_answer(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
):
    first, second = [await ChatRig(valkey_url, name).start() for name in ("node-a", "node-b")]
    async with aiohttp.ClientSession() as http:
        sid = await EngineClient(first, http).open_polling()
        there = EngineClient(second, http)
        assert await there.post(sid, "3") == (200, "ok")
        monkeypatch.setattr("airnode.chat.gateway_directory._FRESH_S", -1.0)
        await second._bus.client.connection_pool.disconnect()
        second._bus.client.connection_pool.connection_kwargs["path"] = "/nowhere"
        assert await there.post(sid, "3") == (200, "ok")
        assert await there.poll("abc.node-c") == UNKNOWN
    for rig in (first, second):
        await rig.stop()
