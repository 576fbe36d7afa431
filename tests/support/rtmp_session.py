"""A server's RTMP session, and the bytes between it and a test."""

import struct

import pytest

from airnode.media.rtmp import amf0
from airnode.media.rtmp.chunks import ChunkDecoder, ChunkLimits, Message
from airnode.media.rtmp.errors import ProtocolViolation
from airnode.media.rtmp.events import (
    Event,
)
from airnode.media.rtmp.session import ServerSession, SessionState
from airnode.media.rtmp.session_limits import SessionLimits
from tests.support.rtmp import command, simple_c1

LIMITS = SessionLimits(chunks=ChunkLimits(max_message_bytes=200_000, max_buffered_bytes=400_000))


class Peer:
    """A session and the bytes between it and the test."""

    def __init__(self, limits: SessionLimits = LIMITS) -> None:
        self.session = ServerSession(limits, 0.0)
        self.now_s = 0.0
        self.decoder = ChunkDecoder(ChunkLimits())

    def send(self, *data: bytes) -> list[Event]:
        return self.session.receive(b"".join(data), self.now_s)

    def messages(self) -> list[Message]:
        self.decoder.feed(self.session.data_to_send())
        found = []
        while (message := self.decoder.next_message()) is not None:
            found.append(message)
        return found

    def commands(self) -> list[list[object]]:
        return [list(amf0.decode(message.payload)) for message in self.messages() if message.type_id == 20]

    def shake_hands(self) -> None:
        self.send(b"\x03" + simple_c1())
        self.session.data_to_send()
        self.send(bytes(1536))

    def connect(self, app: str = "live", **options: object) -> list[Message]:
        self.shake_hands()
        self.send(command("connect", 1.0, {"app": app, **options}))
        return self.messages()

    def request_publish(self, name: str = "key", app: str = "live", **options: object) -> list[Event]:
        self.connect(app, **options)
        self.send(command("createStream", 2.0, None))
        return self.send(command("publish", 3.0, None, name, "live", stream_id=1))

    def publish(self) -> None:
        self.request_publish()
        self.session.accept_publish()
        self.messages()

    def violation(self, *data: bytes) -> str:
        with pytest.raises(ProtocolViolation) as caught:
            self.send(*data)
        assert self.session.state is SessionState.CLOSED
        assert self.send(b"more") == []
        return caught.value.reason


def flv_tag(type_id: int, timestamp_ms: int, body: bytes) -> bytes:
    head = (
        bytes([type_id])
        + len(body).to_bytes(3, "big")
        + (timestamp_ms & 0xFFFFFF).to_bytes(3, "big")
        + bytes([timestamp_ms >> 24])
    )
    return head + bytes(3) + body + struct.pack(">I", 11 + len(body))
