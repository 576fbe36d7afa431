"""Clients that send anything as events: they get an answer, and the class goes on."""

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airnode.chat.events import EVENTS
from tests.support.chat_rooms import ChatRig, RoomClient

FAST = {"send_rate_per_s": 1e6, "send_burst": 1_000_000, "event_rate_per_s": 1e6, "event_burst": 1_000_000}
NAMES = sorted({event.name for event in EVENTS} | {"connect", "disconnect", "__proto__", "", "joinRoom\x00"})
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["hostile", "teacher", "*", "hostile:log", '"}}', "\u2028", "../..", "KEYS[1]"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["room", "roomId", "content", "type", "client_id", "before", "after", "limit", "x"]), inner
        )
    ),
    max_leaves=8,
)


@pytest.mark.timeout(120)
def test_any_arguments_get_an_answer_and_change_nothing_for_others(valkey_url):
    with asyncio.Runner() as runner:

        async def begin():
            http = aiohttp.ClientSession()
            rig = await ChatRig(valkey_url, "node-hostile", **FAST).start()
            made = []
            for user in ("good", "bad"):
                client = await RoomClient(http, rig.url, token=rig.token(user, room="hostile")).connect()
                await client.ask("joinRoom", "hostile")
                made.append(client)
            return http, rig, *made

        http, rig, good, bad = runner.run(begin())

        @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(NAMES), st.lists(VALUES, max_size=3))
        def attack(name, args):
            async def work():
                answer = await raw_ask(bad, name, args)
                assert answer["ok"] or answer["error"]["code"] not in ("internal", "unavailable")
                assert not bad.is_closed

            runner.run(work())

        attack()

        async def end():
            await good.ask("sendMessage", "hostile", {"content": "still here"})
            await good.until(lambda c: c.texts[-1:] == ["still here"], "the class goes on")
            assert rig.metric("redis_connection_status") == 1
            for client in (good, bad):
                await client.close()
            await rig.stop()
            await http.close()

        runner.run(end())


async def raw_ask(client: RoomClient, name: str, args: list[object]) -> dict[str, Any]:
    """Emit without the contract's check of what is sent; return the acknowledgement."""
    number = len(client._acks)
    answer = client._acks[number] = asyncio.get_running_loop().create_future()
    await client._ws.send_str(f"42{number}" + orjson.dumps([name, *args]).decode())
    (found,) = await asyncio.wait_for(answer, 20)
    return dict(found)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\u200f\ufffd", "𝕳" * 1000, "\\u0000", '"}},{"'])
async def test_text_is_kept_as_it_is(valkey_url, text):
    rig = await ChatRig(valkey_url, "node-text", **FAST).start()
    async with aiohttp.ClientSession() as http:
        client = await RoomClient(http, rig.url, token=rig.token("u1", room="text")).connect()
        await client.ask("joinRoom", "text")
        await client.ask("sendMessage", "text", {"content": text, "type": "text"})
        await client.until(lambda c: c.texts == [text], "the message")
        for nul in ("sendMessage", ["text", {"content": "a\0b"}]), ("ask", ["text", {"content": "a\0b?"}]):
            refused = await raw_ask(client, *nul)
            assert (refused["ok"], refused["error"]["code"]) == (False, "invalid_input")
        assert (await client.ask("history", {"room": "text"}))["messages"][0]["content"] == text
        await client.close()
    await rig.stop()
