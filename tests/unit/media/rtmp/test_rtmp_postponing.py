"""Postponed reads: the events and their order stay the same, and nothing is postponed for long."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.rtmp.chunks import ChunkLimits
from airnode.media.rtmp.errors import ProtocolViolation
from airnode.media.rtmp.events import AudioReceived, Event, PublishStopped, VideoReceived
from airnode.media.rtmp.session import ServerSession, SessionState
from airnode.media.rtmp.session_limits import SessionLimits
from tests.support.rtmp import chunk, command, simple_c1

LIMITS = SessionLimits(chunks=ChunkLimits(max_message_bytes=200_000, max_buffered_bytes=400_000))


class Peer:
    """A publisher; like the connection, it tries to postpone each read before it receives it."""

    def __init__(self, *, postpones: bool = True) -> None:
        self.session = ServerSession(LIMITS, 0.0)
        self.postpones = postpones
        self.audio_waits = True
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
        """Return whether the read was postponed."""
        if self.postpones and self.session.postpone(data, self.now_s, audio=self.audio_waits):
            return True
        self.events += self.session.receive(data, self.now_s)
        return False


def audio(timestamp_ms: int, size: int = 40) -> bytes:
    return chunk(8, b"\xaf\x01" + bytes(size), timestamp_ms=timestamp_ms, stream_id=1, csid=4)


def video(timestamp_ms: int, size: int = 60) -> bytes:
    return chunk(9, b"\x27\x01\0\0\0" + bytes(size), timestamp_ms=timestamp_ms, stream_id=1, csid=6)


def timestamps_ms(events: list[Event]) -> list[int]:
    return [event.timestamp_ms for event in events if isinstance(event, AudioReceived | VideoReceived)]


def publishing_peer() -> Peer:
    """Return a publisher that has sent both tracks."""
    peer = Peer()
    peer.read(audio(0))
    peer.read(video(0))
    peer.events.clear()
    return peer


def test_audio_waits_for_the_next_video_message_and_precedes_it() -> None:
    peer = publishing_peer()
    assert peer.read(audio(21))
    assert peer.read(audio(42))
    assert peer.events == []
    assert not peer.read(video(33))
    assert timestamps_ms(peer.events) == [21, 42, 33]


def test_a_header_waits_for_its_payload() -> None:
    peer = publishing_peer()
    data = audio(21)
    assert peer.read(data[:12])
    assert peer.read(data[12:])
    data = video(33)
    assert peer.read(data[:12])
    assert not peer.read(data[12:])
    assert timestamps_ms(peer.events) == [21, 33]


def test_audio_does_not_wait_while_somebody_hears_it_at_once() -> None:
    peer = publishing_peer()
    peer.audio_waits = False
    assert not peer.read(audio(21))
    assert timestamps_ms(peer.events) == [21]
    data = audio(42)
    assert peer.read(data[:12])
    assert not peer.read(data[12:])
    peer.audio_waits = True
    assert peer.read(audio(63))
    peer.audio_waits = False
    assert not peer.read(audio(84))
    assert timestamps_ms(peer.events) == [21, 42, 63, 84]


def test_video_is_never_postponed() -> None:
    peer = publishing_peer()
    assert not peer.read(video(33))
    assert not peer.read(video(66, size=3))
    assert timestamps_ms(peer.events) == [33, 66]


def test_audio_without_video_is_not_postponed() -> None:
    peer = Peer()
    assert not any(peer.read(audio(each * 21)) for each in range(10))
    peer = publishing_peer()
    assert [peer.read(audio(each * 21)) for each in range(1, 9)] == [True] * 4 + [False] * 4
    assert timestamps_ms(peer.events) == [each * 21 for each in range(1, 9)]


def test_commands_and_control_messages_are_never_postponed() -> None:
    peer = publishing_peer()
    assert peer.read(audio(21))
    assert not peer.read(chunk(4, struct.pack(">HI", 6, 77), csid=2))
    assert peer.session.data_to_send().endswith(struct.pack(">HI", 7, 77))
    assert peer.read(audio(42))
    assert not peer.read(command("deleteStream", 4.0, None, 1.0))
    assert timestamps_ms(peer.events) == [21, 42]
    assert isinstance(peer.events[-1], PublishStopped)


def test_nothing_is_postponed_before_or_after_publishing() -> None:
    session = ServerSession(LIMITS, 0.0)
    assert not session.postpone(audio(0), 0.0)
    peer = publishing_peer()
    peer.read(command("deleteStream", 4.0, None, 1.0))
    assert not peer.read(audio(21))


def test_postponed_reads_count_as_received() -> None:
    peer = publishing_peer()
    before = peer.session.received_bytes
    peer.now_s = 20.0
    assert peer.read(audio(21))
    assert peer.session.received_bytes - before == len(audio(21))
    deadline = peer.session.deadline()
    assert deadline is not None
    assert deadline[0] == 20.0 + LIMITS.idle_timeout_s
    assert not peer.read(b"")
    assert timestamps_ms(peer.events) == [21]


_PIECES = st.sampled_from(
    [
        audio(10),
        audio(20, 300),
        audio(0x1000000),
        video(30),
        video(40, 900),
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
def test_the_events_do_not_depend_on_the_sizes_of_the_reads(
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
        peer.events += peer.session.receive(video(0), 0.0)
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
