"""Reads that wait for the next one: what comes out is the same, in the same order, and nothing waits for long."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.rtmp.chunks import ChunkLimits
from airnode.media.rtmp.errors import ProtocolViolation
from airnode.media.rtmp.events import AudioReceived, Event, PublishStopped, VideoReceived
from airnode.media.rtmp.session import ServerSession, SessionLimits, SessionState
from tests.support.rtmp import chunk, command, simple_c1

LIMITS = SessionLimits(chunks=ChunkLimits(max_message_bytes=200_000, max_buffered_bytes=400_000))


class Peer:
    """A publisher whose every read is offered for postponing first, as the connection does it."""

    def __init__(self, *, postpones: bool = True) -> None:
        self.session = ServerSession(LIMITS, 0.0)
        self.postpones = postpones
        self.events: list[Event] = []
        self.now_s = 0.0
        for data in (
            b"\x03" + simple_c1(),
            bytes(1536),
            command("connect", 1.0, {"app": "live"}),
            command("createStream", 2.0, None),
            command("publish", 3.0, None, "key", "live", stream_id=1),
        ):
            self.read(data)
        self.session.accept_publish()
        self.session.data_to_send()
        self.events.clear()

    def read(self, data: bytes) -> bool:
        """Whether it was postponed."""
        if self.postpones and self.session.postpone(data, self.now_s):
            return True
        self.events += self.session.receive(data, self.now_s)
        return False


def sound(time: int, size: int = 40) -> bytes:
    return chunk(8, b"\xaf\x01" + bytes(size), timestamp_ms=time, stream_id=1, csid=4)


def picture(time: int, size: int = 60) -> bytes:
    return chunk(9, b"\x27\x01\0\0\0" + bytes(size), timestamp_ms=time, stream_id=1, csid=6)


def times(events: list[Event]) -> list[int]:
    return [event.timestamp_ms for event in events if isinstance(event, AudioReceived | VideoReceived)]


def warm() -> Peer:
    """A publisher of both tracks."""
    peer = Peer()
    peer.read(sound(0))
    peer.read(picture(0))
    peer.events.clear()
    return peer


def test_sound_waits_for_the_picture_and_comes_before_it() -> None:
    peer = warm()
    assert peer.read(sound(21))
    assert peer.read(sound(42))
    assert peer.events == []
    assert not peer.read(picture(33))
    assert times(peer.events) == [21, 42, 33]


def test_a_header_waits_for_its_payload() -> None:
    peer = warm()
    data = sound(21)
    assert peer.read(data[:12])
    assert peer.read(data[12:])
    data = picture(33)
    assert peer.read(data[:12])
    assert not peer.read(data[12:])
    assert times(peer.events) == [21, 33]


def test_pictures_never_wait() -> None:
    peer = warm()
    assert not peer.read(picture(33))
    assert not peer.read(picture(66, size=3))
    assert times(peer.events) == [33, 66]


def test_sound_alone_does_not_wait() -> None:
    peer = Peer()
    assert not any(peer.read(sound(each * 21)) for each in range(10))
    peer = warm()
    assert [peer.read(sound(each * 21)) for each in range(1, 9)] == [True] * 4 + [False] * 4
    assert times(peer.events) == [each * 21 for each in range(1, 9)]


def test_commands_and_controls_never_wait() -> None:
    peer = warm()
    assert peer.read(sound(21))
    assert not peer.read(chunk(4, struct.pack(">HI", 6, 77), csid=2))
    assert peer.session.data_to_send().endswith(struct.pack(">HI", 7, 77))
    assert peer.read(sound(42))
    assert not peer.read(command("deleteStream", 4.0, None, 1.0))
    assert times(peer.events) == [21, 42]
    assert isinstance(peer.events[-1], PublishStopped)


def test_nothing_waits_before_or_after_publishing() -> None:
    session = ServerSession(LIMITS, 0.0)
    assert not session.postpone(sound(0), 0.0)
    peer = warm()
    peer.read(command("deleteStream", 4.0, None, 1.0))
    assert not peer.read(sound(21))


def test_what_waits_is_received_all_the_same() -> None:
    peer = warm()
    before = peer.session.received_bytes
    peer.now_s = 20.0
    assert peer.read(sound(21))
    assert peer.session.received_bytes - before == len(sound(21))
    deadline = peer.session.deadline()
    assert deadline is not None
    assert deadline[0] == 20.0 + LIMITS.idle_timeout_s
    assert not peer.read(b"")
    assert times(peer.events) == [21]


_PIECES = st.sampled_from(
    [
        sound(10),
        sound(20, 300),
        sound(0x1000000),
        picture(30),
        picture(40, 900),
        chunk(1, struct.pack(">I", 64), csid=2),
        chunk(1, struct.pack(">I", 4096), csid=2),
        # Headers of formats 1, 2 and 3, and one without its payload.
        b"\x44\0\0\x15\0\0\x03\x08\xaf\x01x",
        b"\x84\0\0\x15\xaf\x01y",
        b"\xc4\xaf\x01z",
        b"\x44\0\0\x15\0\0\x03\x08",
        chunk(8, b"\xaf\x01q", stream_id=1, csid=6),
        command("onSomething", 0.0, None),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(_PIECES | st.binary(max_size=30), max_size=25), st.lists(st.integers(1, 400), max_size=40), st.data())
def test_however_it_is_cut_into_reads_the_events_are_the_same(
    pieces: list[bytes], cuts: list[int], data: st.DataObject
) -> None:
    stream = b"".join(pieces)
    if data.draw(st.booleans()):
        reads = pieces
    else:
        reads, at = [], 0
        for cut in [*cuts, len(stream)]:
            reads.append(stream[at : at + cut])
            at += cut
    outcomes = []
    for postpones in (True, False):
        peer, reason = Peer(postpones=postpones), ""
        peer.events += peer.session.receive(picture(0), 0.0)
        try:
            for read in reads:
                if read:
                    peer.read(read)
            peer.events += peer.session.receive(b"", 0.0)
        except ProtocolViolation as violation:
            reason = violation.reason
        outcomes.append((reason, peer.events if not reason else [], peer.session.state, peer.session.data_to_send()))
    assert outcomes[0][:3] == outcomes[1][:3]
    assert (outcomes[0][2] is SessionState.CLOSED) == bool(outcomes[0][0])
