"""What a session does not accept: wrong order, floods, peers that are too slow, any bytes at all."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.rtmp import amf0
from airnode.media.rtmp.errors import ProtocolViolation
from airnode.media.rtmp.events import (
    VideoReceived,
)
from airnode.media.rtmp.session import ServerSession, SessionState
from tests.support.rtmp import chunk, command
from tests.support.rtmp_session import LIMITS, Peer, flv_tag

VIOLATIONS = [
    ([command("createStream", 1.0, None)], "command_order"),
    ([chunk(20, amf0.encode((1.0, 2.0)))], "command"),
    ([chunk(20, b"")], "command"),
    ([chunk(20, b"\x02\x00\x05conn")], "amf_truncated"),
    ([chunk(20, b"\x03\0\1a" * 20)], "amf_depth"),
    ([chunk(9, b"video", stream_id=1)], "media_before_publish"),
    ([chunk(20, bytes(65_537))[:500]], "message_size"),
]


@pytest.mark.parametrize(("data", "reason"), VIOLATIONS)
def test_violations_before_connect(data: list[bytes], reason: str) -> None:
    peer = Peer()
    peer.shake_hands()
    assert peer.violation(*data) == reason


def test_violations_after_connect() -> None:
    def peer() -> Peer:
        connected = Peer()
        connected.connect()
        return connected

    create = command("createStream", 2.0, None)
    publish = command("publish", 3.0, None, "key", "live", stream_id=1)
    assert peer().violation(command("connect", 2.0, {"app": "live"})) == "command_order"
    assert peer().violation(publish) == "command_order"
    assert peer().violation(create * 9) == "streams"
    assert peer().violation(create, command("publish", 3.0, None, 5.0, stream_id=1)) == "command"
    assert peer().violation(chunk(9, b"video", stream_id=1)) == "media_before_publish"
    publishing = Peer()
    publishing.publish()
    assert publishing.violation(publish) == "command_order"
    # Only a publisher may send more than 64 KiB, and nobody more than the limit.
    assert peer().violation(chunk(9, bytes(70_000), stream_id=1)) == "message_size"
    publishing = Peer()
    publishing.publish()
    assert publishing.send(chunk(9, bytes(70_000), stream_id=1)) == [VideoReceived(0, bytes(70_000))]
    assert publishing.violation(chunk(9, bytes(200_001), stream_id=1)) == "message_size"


def test_floods_without_a_publish() -> None:
    peer = Peer()
    peer.connect()
    acknowledgement = chunk(3, b"", csid=2)
    peer.send(acknowledgement * 900)
    assert peer.violation(acknowledgement * 200) == "flood"
    peer = Peer()
    peer.connect()
    peer.send(chunk(200, bytes(60_000)))
    peer.send(chunk(200, bytes(60_000)))
    peer.send(chunk(200, bytes(60_000)))
    assert peer.violation(acknowledgement) == "flood"


def test_deadlines() -> None:
    peer = Peer()
    assert peer.session.deadline() == (5.0, "handshake_timeout")
    peer.now_s = 4.0
    peer.connect()
    peer.session.expire(13.9)
    assert peer.session.deadline() == (14.0, "publish_timeout")
    peer.send(command("createStream", 2.0, None), command("publish", 3.0, None, "key", "live", stream_id=1))
    assert peer.session.deadline() is None
    peer.session.accept_publish()
    peer.now_s = 100.0
    peer.send(chunk(8, b"a", stream_id=1, csid=4))
    assert peer.session.deadline() == (130.0, "idle_timeout")
    peer.session.expire(129.0)
    with pytest.raises(ProtocolViolation) as caught:
        peer.session.expire(130.0)
    assert caught.value.reason == "idle_timeout"
    assert peer.session.state is SessionState.CLOSED


@pytest.mark.parametrize("reason", ["handshake_timeout", "publish_timeout"])
def test_slow_peers(reason: str) -> None:
    peer = Peer()
    if reason == "publish_timeout":
        peer.connect()
    with pytest.raises(ProtocolViolation) as caught:
        peer.session.expire(60.0)
    assert caught.value.reason == reason


_PIECES = st.sampled_from(
    [
        command("connect", 1.0, {"app": "live"}),
        command("createStream", 2.0, None),
        command("publish", 3.0, None, "key", "live", stream_id=1),
        command("deleteStream", 4.0, None, 1.0),
        command("FCUnpublish", 4.0, None),
        chunk(4, struct.pack(">HI", 6, 1), csid=2),
        chunk(5, struct.pack(">I", 1), csid=2),
        chunk(8, b"\xaf\x01x", stream_id=1, csid=4),
        chunk(9, b"\x17\x01\0\0\0x" * 50, stream_id=1, csid=6),
        chunk(22, flv_tag(8, 1, b"a"), stream_id=1, csid=6),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES | st.binary(max_size=60), max_size=20), st.booleans())
def test_any_conversation_ends_in_events_or_a_violation(conversation: list[bytes], accept: bool) -> None:
    peer = Peer()
    peer.shake_hands()
    ended = False
    try:
        for data in conversation:
            peer.send(data)
            if peer.session.state is SessionState.PUBLISH_REQUESTED and accept:
                peer.session.accept_publish()
                peer.send()
            assert len(peer.session.data_to_send()) < 10_000
    except ProtocolViolation:
        ended = True
    assert (peer.session.state is SessionState.CLOSED) == ended


@settings(deadline=None)
@given(st.lists(st.binary(max_size=4000), max_size=5))
def test_any_bytes_from_the_start(pieces: list[bytes]) -> None:
    session = ServerSession(LIMITS, 0.0)
    ended = False
    try:
        for piece in [b"\x03", *pieces]:
            session.receive(piece, 0.0)
    except ProtocolViolation:
        ended = True
    assert (session.state is SessionState.CLOSED) == ended
