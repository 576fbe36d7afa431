"""What Engine.IO 4 prescribes, one test for each behaviour that its conformance suite looks at.

The 24 behaviours, in the suite's order; what else stands here goes beyond the suite:

=================================  ====================================================================================
handshake, polling                 1 opens: polling_opens_a_session; 2 EIO: polling_fails_with_another_revision;
                                   3 transport: polling_fails_with_an_unknown_transport;
                                   4 method: polling_fails_with_another_method
handshake, WebSocket               5 opens: a_websocket_opens_a_session;
                                   6 EIO, 7 transport: a_websocket_fails_with_another_revision_or_transport
message, polling                   8 one text packet, 9 several, 10 text and binary: polling_sends_and_receives;
                                   11 invalid: a_malformed_payload_closes_the_session;
                                   12 duplicate poll: a_second_poll_closes_the_session
message, WebSocket                 13 text: a_websocket_sends_and_receives_text; 14 binary: …_receives_bytes;
                                   15 invalid: a_malformed_packet_closes_the_websocket
heartbeat                          16, 17 polling: polling_pings, polling_ends_without_pongs;
                                   18, 19 WebSocket: a_websocket_is_pinged, a_websocket_is_closed_without_pongs
close                              20 polling_closes; 21 a_websocket_closes
upgrade                            22 polling_changes_to_a_websocket; 23 polls_are_refused_after_the_upgrade;
                                   24 another_websocket_is_refused_after_the_upgrade
=================================  ====================================================================================
"""

import asyncio
import base64
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest
import pytest_asyncio

from airnode.chat.engineio.encoded import EncodedPacket
from airnode.chat.engineio.websocket_frames import Opcode, server_frame
from tests.support.chat import SUITE_LIMITS, ChatServer, EngineClient, chat_server, closed, receive, receive_binary

OPEN_KEYS = {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}


class EngineEcho:
    """Above Engine.IO only: sends every message back."""

    def __init__(self, session) -> None:
        self.session = session

    def text(self, data: str) -> None:
        self.session.send(_message(data))

    def binary(self, data: bytes) -> None:
        self.session.send(_message(data))

    def drained(self) -> None:
        pass

    def closed(self, reason) -> None:
        pass


def _message(data):
    if isinstance(data, str):
        return EncodedPacket(b"4" + data.encode())
    return BinaryMessage(data)


class BinaryMessage:
    def __init__(self, data: bytes) -> None:
        self.frames, self.record = server_frame(Opcode.BINARY, data), b"b" + base64.b64encode(data)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ChatServer]:
    def receiver(session, **of_the_request):
        session.admit()
        return EngineEcho(session)

    async with chat_server(SUITE_LIMITS, receiver=receiver) as found:
        yield found


@pytest_asyncio.fixture
async def client(server: ChatServer) -> AsyncIterator[EngineClient]:
    async with aiohttp.ClientSession() as http:
        yield EngineClient(server, http)


def check_open(text: str, upgrades: list[str]) -> None:
    assert text[0] == "0"
    data = orjson.loads(text[1:])
    assert data.keys() == OPEN_KEYS
    assert isinstance(data["sid"], str)
    assert (data["upgrades"], data["pingInterval"], data["pingTimeout"]) == (upgrades, 300, 200)
    assert data["maxPayload"] == 1_000_000


# -- handshake ---------------------------------------------------------------------------------------------------------


async def test_polling_opens_a_session(client: EngineClient):
    status, text = await client.get("EIO=4&transport=polling")
    assert status == 200
    check_open(text, ["websocket"])


@pytest.mark.parametrize("query", ["transport=polling", "EIO=abc&transport=polling", "EIO=3&transport=polling"])
async def test_polling_fails_with_another_revision(client: EngineClient, query: str):
    assert await client.get(query) == (400, '{"code":5,"message":"Unsupported protocol version"}')


@pytest.mark.parametrize("query", ["EIO=4", "EIO=4&transport=abc"])
async def test_polling_fails_with_an_unknown_transport(client: EngineClient, query: str):
    assert await client.get(query) == (400, '{"code":0,"message":"Transport unknown"}')


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_polling_fails_with_another_method(client: EngineClient, method: str):
    async with client.http.request(method, client.address("EIO=4&transport=polling")) as answer:
        assert (answer.status, await answer.json()) == (400, {"code": 2, "message": "Bad handshake method"})


async def test_a_websocket_opens_a_session(client: EngineClient):
    check_open(await receive(await client.websocket()), [])


@pytest.mark.parametrize(
    "query", ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"]
)
async def test_a_websocket_fails_with_another_revision_or_transport(client: EngineClient, query: str):
    with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
        await client.http.ws_connect(client.address(query))


async def test_the_transport_and_the_request_must_agree(client: EngineClient):
    assert (await client.get("EIO=4&transport=websocket"))[0] == 400
    with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
        await client.http.ws_connect(client.address("EIO=4&transport=polling"))


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", ["4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA==", "4\x1e4다🎓"])
async def test_polling_sends_and_receives(client: EngineClient, payload: str):
    sid = await client.open_polling()
    assert await client.post(sid, payload) == (200, "ok")
    assert await client.poll(sid) == (200, payload)


@pytest.mark.parametrize("payload", ["abc", "", "4a\x1e", "4a\x1eb%%%", "7", "0", b"4\xff", "5"])
async def test_a_malformed_payload_closes_the_session(client: EngineClient, payload: str | bytes):
    sid = await client.open_polling()
    assert (await client.post(sid, payload))[0] == 400
    assert await client.poll(sid) == (400, '{"code":1,"message":"Session ID unknown"}')


async def test_a_second_poll_closes_the_session(client: EngineClient):
    sid = await client.open_polling()
    first = asyncio.ensure_future(client.poll(sid))
    await asyncio.sleep(0.05)
    assert (await client.poll(sid))[0] == 400
    assert await first == (200, "1")
    assert (await client.poll(sid))[0] == 400


async def test_a_websocket_sends_and_receives_text(client: EngineClient):
    websocket = await client.open_websocket()
    await websocket.send_str("4hello")
    assert await receive(websocket) == "4hello"


async def test_a_websocket_sends_and_receives_bytes(client: EngineClient):
    websocket = await client.open_websocket()
    await websocket.send_bytes(b"\x01\x02\x03\x04")
    assert await receive_binary(websocket) == b"\x01\x02\x03\x04"


@pytest.mark.parametrize("text", ["abc", "", "0", "5", "9"])
async def test_a_malformed_packet_closes_the_websocket(client: EngineClient, text: str):
    websocket = await client.open_websocket()
    await websocket.send_str(text)
    await closed(websocket)


# -- heartbeat ---------------------------------------------------------------------------------------------------------


async def test_polling_pings(client: EngineClient):
    sid = await client.open_polling()
    for _ in range(3):
        assert await client.poll(sid) == (200, "2")
        assert await client.post(sid, "3") == (200, "ok")


async def test_polling_ends_without_pongs(client: EngineClient):
    sid = await client.open_polling()
    await asyncio.sleep(0.5)
    assert (await client.post(sid, "3"))[0] == 400


async def test_an_open_poll_is_told_of_the_end(client: EngineClient):
    sid = await client.open_polling()
    assert await client.poll(sid) == (200, "2")
    assert await client.poll(sid) == (200, "1")
    assert (await client.poll(sid))[0] == 400


async def test_a_websocket_is_pinged(client: EngineClient):
    websocket = await client.open_websocket()
    for _ in range(3):
        assert (await asyncio.wait_for(websocket.receive(), 5)).data == "2"
        await websocket.send_str("3")


async def test_a_websocket_is_closed_without_pongs(client: EngineClient):
    assert await closed(await client.open_websocket()) == 1000


# -- close -------------------------------------------------------------------------------------------------------------


async def test_polling_closes(client: EngineClient):
    sid = await client.open_polling()
    poll = asyncio.ensure_future(client.poll(sid))
    await asyncio.sleep(0.05)
    assert await client.post(sid, "1") == (200, "ok")
    assert await poll == (200, "6")
    assert (await client.poll(sid))[0] == 400


async def test_a_websocket_closes(client: EngineClient):
    websocket = await client.open_websocket()
    await websocket.send_str("1")
    await closed(websocket)


# -- upgrade -----------------------------------------------------------------------------------------------------------


async def upgraded(client: EngineClient, sid: str) -> aiohttp.ClientWebSocketResponse:
    websocket = await client.websocket(sid)
    await websocket.send_str("2probe")
    assert await receive(websocket) == "3probe"
    return websocket


async def test_polling_changes_to_a_websocket(client: EngineClient):
    sid = await client.open_polling()
    websocket = await upgraded(client, sid)
    assert await client.poll(sid) == (200, "6")
    await websocket.send_str("5")
    await websocket.send_str("4hello")
    assert await receive(websocket) == "4hello"


async def test_what_waits_for_a_poll_goes_over_the_websocket(client: EngineClient, server: ChatServer):
    sid = await client.open_polling()
    websocket = await upgraded(client, sid)
    assert await client.post(sid, "4one\x1e4two") == (200, "ok")
    await websocket.send_str("5")
    assert [await receive(websocket), await receive(websocket)] == ["4one", "4two"]


async def test_polls_are_refused_after_the_upgrade(client: EngineClient):
    sid = await client.open_polling()
    websocket = await upgraded(client, sid)
    await websocket.send_str("5")
    await websocket.send_str("4hello")
    assert await receive(websocket) == "4hello"
    assert (await client.poll(sid))[0] == 400
    assert (await client.post(sid, "4x"))[0] == 400
    await websocket.send_str("4still here")
    assert await receive(websocket) == "4still here"


async def test_another_websocket_is_refused_after_the_upgrade(client: EngineClient):
    sid = await client.open_polling()
    websocket = await upgraded(client, sid)
    await websocket.send_str("5")
    with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
        await client.websocket(sid)
    await websocket.send_str("4hello")
    assert await receive(websocket) == "4hello"


@pytest.mark.parametrize("text", ["4hello", "5", "2", "abc"])
async def test_a_wrong_probe_ends_the_websocket_only(client: EngineClient, text: str):
    sid = await client.open_polling()
    websocket = await client.websocket(sid)
    await websocket.send_str(text)
    await closed(websocket)
    assert await client.post(sid, "4hello") == (200, "ok")
    assert await client.poll(sid) == (200, "4hello")


async def test_a_websocket_lost_before_the_upgrade_changes_nothing(client: EngineClient):
    sid = await client.open_polling()
    await (await upgraded(client, sid)).close()
    websocket = await upgraded(client, sid)
    await websocket.send_str("5")
    await websocket.send_str("4hello")
    assert await receive(websocket) == "4hello"
