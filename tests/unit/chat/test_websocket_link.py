"""The asyncio side of a WebSocket, over a transport that only keeps what it is told."""

import asyncio
from typing import Any, cast

from airnode.chat.engineio.channels import CloseReason
from airnode.chat.engineio.limits import ChatLimits
from airnode.chat.engineio.session import EngineSession
from airnode.chat.websocket_link import WebSocketLink
from tests.unit.chat.test_engine_session import Owner
from tests.unit.chat.test_websocket_frames import client_frame

FRAMES = ChatLimits().frames_per_turn


class Transport:
    """Counts pongs, and knows whether it reads."""

    def __init__(self) -> None:
        self.pongs = 0
        self.written = b""
        self.reads = True
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data
        self.pongs += data.count(b"\x8a\x00")

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        assert self.reads
        assert not self.is_closed
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.reads
        assert not self.is_closed
        self.reads = True

    def can_write_eof(self) -> bool:
        return False

    def abort(self) -> None:
        self.is_closed = True


def _linked() -> tuple[WebSocketLink, EngineSession, Transport]:
    loop = asyncio.get_running_loop()
    session = EngineSession("sid.node", ChatLimits(), loop.time(), Owner())
    link, transport = WebSocketLink(session, loop), Transport()
    link.connection_made(cast(Any, transport))
    session.attach(cast(Any, link))
    return link, session, transport


async def test_others_have_their_turn_between_many_frames():
    link, session, transport = _linked()
    link.data_received(client_frame(9, b"") * (3 * FRAMES + 1))
    assert (transport.pongs, transport.reads) == (FRAMES, False)
    assert cast(Owner, session.owner).limits == ["frames_per_turn"]
    for _ in range(20):
        await asyncio.sleep(0)
    assert (transport.pongs, transport.reads) == (3 * FRAMES + 1, True)


async def test_a_full_session_stays_unread_when_its_turn_comes():
    link, session, transport = _linked()
    link.data_received(client_frame(9, b"") * (FRAMES + 1))
    session.set_full(True)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (transport.pongs, transport.reads) == (FRAMES, False)
    session.set_full(False)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (transport.pongs, transport.reads) == (FRAMES + 1, True)


async def test_a_turn_of_a_lost_connection_is_over():
    link, _, transport = _linked()
    link.data_received(client_frame(9, b"") * (FRAMES + 1))
    transport.is_closed = True
    link.connection_lost(None)
    await asyncio.sleep(0)
    assert transport.pongs == FRAMES


async def test_a_client_without_a_namespace_sends_small_messages():
    link, session, transport = _linked()
    data = client_frame(2, b"x" * (session.limits.max_greeting_bytes + 1))
    link.data_received(data[:20])
    assert session.close_reason is CloseReason.PARSE_ERROR
    assert cast(Owner, session.owner).limits == ["max_greeting_bytes"]
    assert b"a message above 65536 bytes (chat.max_greeting_bytes)" in transport.written
    link, session, _ = _linked()
    session.admit()
    link.data_received(data[:20])
    assert session.close_reason is None
