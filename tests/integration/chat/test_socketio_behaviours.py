"""What Socket.IO 5 prescribes, one test for each behaviour that its conformance suite looks at.

The suite's 32 behaviours are 16 of Engine.IO (handshake, heartbeat, close, upgrade: 1-7 and 16-24 of
``test_engineio_behaviours.py``), and these 16. What else stands here goes beyond the suite:

==========  ===========================================================================================================
connect     1, 2 main namespace without and with a payload, 3, 4 a custom one: a_client_enters_a_namespace;
            5 unknown namespace: an_unknown_namespace_is_refused;
            6 invalid handshake: a_client_that_does_not_connect_first_is_closed;
            7 no handshake: a_client_that_enters_no_namespace_is_closed
disconnect  8 a_client_leaves_the_main_namespace; 9 a_client_leaves_one_of_two_namespaces
message     10 text: an_event_in_text; 11 attachments: an_event_with_attachments; 12 with an ack: an_event_with_an_ack;
            13 attachments and an ack: an_event_with_attachments_and_an_ack;
            14 unknown type, 15 invalid payload, 16 invalid ack id: a_malformed_packet_closes_the_connection
==========  ===========================================================================================================
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import orjson
import pytest
import pytest_asyncio

from tests.support.chat import SUITE_LIMITS, ChatServer, EngineClient, chat_server, closed, receive, receive_binary
from tests.support.waiting import eventually


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with chat_server(replace(SUITE_LIMITS, ping_interval_s=30, ping_timeout_s=30)) as found:
        yield found


@pytest_asyncio.fixture
async def client(server: ChatServer) -> AsyncIterator[EngineClient]:
    async with aiohttp.ClientSession() as http:
        yield EngineClient(server, http)


# -- connect -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "/custom,"])
@pytest.mark.parametrize("auth", ["", '{"token":"123"}'])
async def test_a_client_enters_a_namespace(client: EngineClient, place: str, auth: str):
    websocket = await client.open_websocket()
    await websocket.send_str(f"40{place}{auth}")
    answer = await receive(websocket)
    assert answer.startswith(f"40{place}{{")
    assert orjson.loads(answer.removeprefix(f"40{place}")).keys() == {"sid"}
    assert await receive(websocket) == f'42{place}["auth",{auth or "{}"}]'


async def test_a_comma_behind_the_namespace_may_be_missing(client: EngineClient):
    websocket = await client.open_websocket()
    await websocket.send_str("40/custom")
    assert (await receive(websocket)).startswith('40/custom,{"sid":')


async def test_an_unknown_namespace_is_refused(client: EngineClient):
    websocket = await client.open_websocket()
    await websocket.send_str("40/random")
    assert await receive(websocket) == '44/random,{"message":"Invalid namespace"}'
    await websocket.send_str("40")
    assert (await receive(websocket)).startswith('40{"sid":')


async def test_a_refusal_has_a_message_and_data(client: EngineClient):
    websocket = await client.open_websocket()
    await websocket.send_str('40{"token":"wrong"}')
    assert await receive(websocket) == '44{"message":"Not authorized","data":{"code":7}}'


@pytest.mark.parametrize("packet", ["4abc", '42["message",1]', "41", '430["x"]', '44{"message":"x"}', "40[]", "401{}"])
async def test_a_client_that_does_not_connect_first_is_closed(client: EngineClient, packet: str):
    websocket = await client.open_websocket()
    await websocket.send_str(packet)
    await closed(websocket)


async def test_a_client_that_enters_no_namespace_is_closed(server: ChatServer, client: EngineClient):
    assert await closed(await client.open_websocket()) == 1000
    sid = await client.open_polling()
    assert await client.poll(sid) == (200, "1")
    assert len(server.gateway.sessions) == 0


async def test_a_second_connect_to_the_same_namespace_closes(client: EngineClient):
    websocket = await client.connect()
    await websocket.send_str("40")
    await closed(websocket)


# -- disconnect --------------------------------------------------------------------------------------------------------


async def test_a_client_leaves_the_main_namespace(server: ChatServer, client: EngineClient):
    websocket = await client.connect()
    await websocket.send_str("41")
    await closed(websocket)
    assert server.application.left == ["client namespace disconnect"]


async def test_a_client_leaves_one_of_two_namespaces(server: ChatServer, client: EngineClient):
    websocket = await client.connect()
    await websocket.send_str("40/custom")
    assert [(await receive(websocket))[:11] for _ in range(2)] == ["40/custom,{", "42/custom,["]
    await websocket.send_str("41/custom")
    await websocket.send_str('42["message","message to main namespace"]')
    assert await receive(websocket) == '42["message-back","message to main namespace"]'
    assert server.application.left == ["client namespace disconnect"]


async def test_the_server_disconnects_a_socket(server: ChatServer, client: EngineClient):
    websocket = await client.connect()
    server.application.sockets[0].disconnect()
    assert await receive(websocket) == "41"
    await closed(websocket)
    assert server.application.left == ["server namespace disconnect"]


async def test_a_poll_gets_the_disconnect_of_the_server(server: ChatServer, client: EngineClient):
    sid = await client.open_polling()
    await client.post(sid, "40")
    await client.poll(sid)
    poll = asyncio.ensure_future(client.poll(sid))
    await asyncio.sleep(0.1)
    server.application.sockets[0].disconnect()
    assert await poll == (200, "41\x1e1")


async def test_a_lost_connection_is_told_once(server: ChatServer, client: EngineClient):
    websocket = await client.connect()
    await websocket.send_str("40/custom")
    await eventually(lambda: len(server.application.sockets) == 2)
    await websocket.close()
    await eventually(lambda: server.application.left)
    assert server.application.left == ["transport close"] * 2
    assert len(server.gateway.sessions) == 0


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", ['1,"2",{"3":[true]}', "null", '"다🎓"', ""])
async def test_an_event_in_text(client: EngineClient, args: str):
    websocket = await client.connect()
    packet = f'["message",{args}]' if args else '["message"]'
    await websocket.send_str("42" + packet)
    assert await receive(websocket) == "42" + packet.replace("message", "message-back", 1)


TWO = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


async def test_an_event_with_attachments(client: EngineClient):
    websocket = await client.connect()
    await websocket.send_str(f'452-["message",{TWO}]')
    await websocket.send_bytes(b"\x01\x02\x03")
    await websocket.send_bytes(b"\x04\x05\x06")
    assert await receive(websocket) == f'452-["message-back",{TWO}]'
    assert [await receive_binary(websocket) for _ in range(2)] == [b"\x01\x02\x03", b"\x04\x05\x06"]


async def test_attachments_by_polling(client: EngineClient):
    sid = await client.open_polling()
    await client.post(sid, "40")
    await client.poll(sid)
    assert await client.post(sid, f'452-["message",{TWO}]\x1ebAQID\x1ebBAUG') == (200, "ok")
    assert await client.poll(sid) == (200, f'452-["message-back",{TWO}]\x1ebAQID\x1ebBAUG')


async def test_an_event_with_an_ack(client: EngineClient):
    websocket = await client.connect()
    await websocket.send_str('42456["message-with-ack",1,"2",{"3":[false]}]')
    assert await receive(websocket) == '43456[1,"2",{"3":[false]}]'


async def test_an_event_with_attachments_and_an_ack(client: EngineClient):
    websocket = await client.connect("40")
    await websocket.send_str(f'452-789["message-with-ack",{TWO}]')
    await websocket.send_bytes(b"\x01\x02\x03")
    await websocket.send_bytes(b"\x04\x05\x06")
    assert await receive(websocket) == f"462-789[{TWO}]"
    assert [await receive_binary(websocket) for _ in range(2)] == [b"\x01\x02\x03", b"\x04\x05\x06"]


async def test_the_server_asks_for_an_ack(server: ChatServer, client: EngineClient):
    websocket = await client.connect()
    socket = server.application.sockets[0]
    asked = asyncio.ensure_future(socket.emit_with_ack("sum", 2, 3, timeout_s=5))
    assert await receive(websocket) == '421["sum",2,3]'
    await websocket.send_str("439[0]")
    await websocket.send_str("431[5]")
    await websocket.send_str("431[6]")
    assert await asked == [5]
    with pytest.raises(TimeoutError):
        await socket.emit_with_ack("sum", timeout_s=0.05)
    asked = asyncio.ensure_future(socket.emit_with_ack("sum", timeout_s=5))
    await receive(websocket)
    await websocket.close()
    with pytest.raises(Exception, match="gone"):
        await asked


async def test_an_ack_with_attachments(server: ChatServer, client: EngineClient):
    websocket = await client.connect()
    asked = asyncio.ensure_future(server.application.sockets[0].emit_with_ack("picture", b"\x07", timeout_s=5))
    assert await receive(websocket) == '451-1["picture",{"_placeholder":true,"num":0}]'
    assert await receive_binary(websocket) == b"\x07"
    await websocket.send_str('461-1["bar",{"_placeholder":true,"num":0}]')
    await websocket.send_bytes(b"\x08")
    assert await asked == ["bar", b"\x08"]


MALFORMED = {
    "unknown type": "4abc",
    "payload is an object": "42{}",
    "payload is empty": "42[]",
    "no payload": "42",
    "ack id is no number": '42abc["message-with-ack",1,"2",{"3":[false]}]',
    "name is no text": "42[1]",
    "not JSON": '42["a"',
    "NaN": '42["a",NaN]',
    "nested too deeply": '42["a",' + "[" * 100_000 + "]" * 100_000 + "]",
    "a billion attachments": '451000000000-["a"]',
    "more attachments than allowed": '4511-["a"]',
    "attachments of a text event": '421-["a"]',
    "no count of attachments": '45["a"]',
    "ack without id": "43[1]",
    "ack that is an object": '431{"a":1}',
    "disconnect with a payload": "41{}",
    "only servers refuse": '44{"message":"x"}',
    "a namespace that is not entered": '42/custom,["message"]',
    "a long name of a namespace": f'42/{"n" * 1000},["message"]',
}


@pytest.mark.parametrize("packet", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_packet_closes_the_connection(server: ChatServer, client: EngineClient, packet: str):
    other = await client.connect()
    websocket = await client.connect()
    await websocket.send_str(packet)
    assert await closed(websocket) == 1002
    assert server.application.left == ["parse error"]
    await other.send_str('42["message"]')
    assert await receive(other) == '42["message-back"]'


@pytest.mark.parametrize(
    ("packet", "attachments"),
    [
        ('451-["a",{"_placeholder":true,"num":1}]', [b"x"]),
        ('451-["a",{"_placeholder":true,"num":-1}]', [b"x"]),
        ('451-["a",{"_placeholder":true,"num":"0"}]', [b"x"]),
        ('452-["a"]', [b"x" * 600_000, b"x" * 600_000]),
        ('451-["a",' + "[" * 900 + "]" * 900 + "]", [b"x"]),
    ],
)
async def test_wrong_attachments_close_the_connection(client: EngineClient, packet: str, attachments: list[bytes]):
    websocket = await client.connect()
    await websocket.send_str(packet)
    for each in attachments:
        await websocket.send_bytes(each)
    assert await closed(websocket) == 1002


async def test_text_between_attachments_closes_the_connection(client: EngineClient):
    websocket = await client.connect()
    await websocket.send_str('451-["a",{"_placeholder":true,"num":0}]')
    await websocket.send_str('42["message"]')
    assert await closed(websocket) == 1002


async def test_bytes_out_of_turn_close_the_connection(client: EngineClient):
    websocket = await client.connect()
    await websocket.send_bytes(b"x")
    assert await closed(websocket) == 1002


async def test_half_an_emoji_is_text(client: EngineClient):
    websocket = await client.connect()
    await websocket.send_str('42["message","\\ud83d","\\\\ud83d","\\ud83d\\ude00"]')
    assert await receive(websocket) == '42["message-back","\ufffd","\\\\ud83d","\U0001f600"]'


# -- the application ---------------------------------------------------------------------------------------------------


async def test_a_bug_of_the_application_is_told_by_number_only(client: EngineClient):
    websocket = await client.connect()
    await websocket.send_str('421["bug"]')
    error = orjson.loads((await receive(websocket)).removeprefix("431"))[0]
    assert error["ok"] is False
    assert error["error"].keys() == {"code", "title", "detail", "incident"}
    await websocket.send_str('42["bug"]')
    assert (await receive(websocket)).startswith('42["error",{"incident":')


async def test_events_of_a_client_are_handled_in_order(server: ChatServer, client: EngineClient):
    websocket = await client.connect()
    for number in range(500):
        await websocket.send_str(f'42["message",{number}]')
    assert [await receive(websocket) for _ in range(500)] == [f'42["message-back",{number}]' for number in range(500)]
