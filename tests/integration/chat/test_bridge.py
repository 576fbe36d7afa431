"""The bridge to Node.js servers that use @socket.io/redis-adapter, against the real one."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import asyncio as aioredis

from airnode.chat.bridge.wire import BROADCAST, REQUEST, NotNodeFormat, RequestType, read_broadcast, read_request
from tests.support.chat_rooms import ChatRig
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
MODULES = ROOT / "airnode/ui/node_modules"
SCRIPT = ROOT / "tests/support/bridge_node.cjs"
FAST = {"send_rate_per_s": 1000, "send_burst": 1000, "event_rate_per_s": 1000, "event_burst": 1000}


@pytest.fixture
async def nodes(valkey_url):
    rigs = [await ChatRig(valkey_url, f"bridge-{n}", access="open", bridge=True, **FAST).start() for n in range(2)]
    yield rigs
    for rig in rigs:
        await rig.stop()


@pytest.mark.official_client
async def test_a_node_server_and_two_airnode_nodes_share_rooms(nodes, valkey_url):
    node = shutil.which("node", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}")
    assert node is not None
    socket = valkey_url.removeprefix("unix://").partition("?")[0]
    process = await asyncio.create_subprocess_exec(
        node,
        str(SCRIPT),
        socket,
        *(rig.url for rig in nodes),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "NODE_PATH": str(MODULES)},
    )
    output, _ = await asyncio.wait_for(process.communicate(), 50)
    checks = json.loads(output)
    assert {name: found for name, found in checks.items() if found is not True} == {}
    assert len(checks) == 21


async def test_what_is_malformed_is_counted_and_harms_nothing(nodes, valkey_url):
    async with aioredis.from_url(valkey_url) as redis:
        for channel in (BROADCAST, f"{BROADCAST}room#", REQUEST):
            for data in (b"", b"{", b"\xc1", b"[]", b'{"type":99}', b"x" * 100_000, b"\x91" * 5000):
                await redis.publish(channel, data)
    for rig in nodes:
        await eventually(
            lambda rig=rig: rig.metric("airnode_chat_bridge_total", what="malformed") >= 15, 10, "they are counted"
        )


@given(st.binary(max_size=200) | st.builds(msgspec.msgpack.encode, st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["type", "data", "nsp", "rooms", "except", "opts", "packet", "uid", "requestId"]), inner
    ),
    max_leaves=10,
)))  # fmt: skip
def test_any_bytes_are_read_or_malformed(data):
    for read in (read_broadcast, read_request):
        try:
            read(data)
        except NotNodeFormat:
            continue


def test_own_messages_and_other_namespaces_are_passed_over():
    packet = {"type": 2, "data": ["x"], "nsp": "/"}
    assert read_broadcast(msgspec.msgpack.encode(["airnode-1", packet, {}])) is None
    assert read_broadcast(msgspec.msgpack.encode(["abcdef", {**packet, "nsp": "/admin"}, {}])) is None
    found = read_broadcast(msgspec.msgpack.encode(["abcdef", packet, {"rooms": ["r", 7], "except": ["s"]}]))
    assert found is not None
    assert (found.target.rooms, found.target.but) == ({"r", "7"}, {"s"})
    request = read_request(b'{"uid":"abcdef","requestId":"1","type":4,"opts":{"rooms":["r"],"except":[]},"close":true}')
    assert request is not None
    assert (request.type, request.close) == (RequestType.REMOTE_DISCONNECT, True)
