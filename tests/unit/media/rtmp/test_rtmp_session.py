"""The server's session, with bytes and a time that the test sets."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.rtmp import amf0
from airnode.media.rtmp.chunks import ChunkDecoder, ChunkLimits, Message
from airnode.media.rtmp.errors import ProtocolViolation
from airnode.media.rtmp.events import (
    AudioReceived,
    DataReceived,
    Event,
    PublishRequested,
    PublishStopped,
    VideoReceived,
)
from airnode.media.rtmp.messages import split_stream_name
from airnode.media.rtmp.session import ServerSession, SessionLimits, SessionState
from tests.support.rtmp import chunk, command, simple_c1

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


def test_connect_is_answered() -> None:
    peer = Peer()
    messages = peer.connect()
    assert [message.type_id for message in messages] == [5, 6, 20]
    assert peer.decoder.chunk_size_bytes == 65_536
    assert messages[0].payload == struct.pack(">I", 2_500_000)
    assert messages[1].payload == struct.pack(">IB", 2_500_000, 2)
    name, transaction, properties, info = amf0.decode(messages[2].payload)
    assert (name, transaction) == ("_result", 1.0)
    assert isinstance(properties, dict)
    assert isinstance(info, dict)
    assert (info["level"], info["code"], info["objectEncoding"]) == ("status", "NetConnection.Connect.Success", 0.0)
    assert "fourCcList" not in properties


def test_enhanced_rtmp_is_answered_to_clients_that_support_it() -> None:
    messages = Peer().connect(fourCcList=["hvc1", "vp09"], capsEx=15.0)
    properties = amf0.decode(messages[2].payload)[2]
    assert isinstance(properties, dict)
    assert properties["fourCcList"] == ["avc1", "hvc1", "av01", "mp4a"]
    assert properties["videoFourCcInfoMap"] == {"avc1": 4.0, "hvc1": 4.0, "av01": 4.0}
    assert properties["capsEx"] == 4.0


def test_the_commands_of_an_encoder() -> None:
    peer = Peer()
    peer.connect()
    assert (
        peer.send(
            command("releaseStream", 2.0, None, "key"),
            command("FCPublish", 3.0, None, "key"),
            command("createStream", 4.0, None),
            command("_checkbw", 5.0, None),
        )
        == []
    )
    assert [(values[0], values[1], values[3]) for values in peer.commands() if values[0] == "_result"] == [
        ("_result", 2.0, amf0.UNDEFINED),
        ("_result", 4.0, 1.0),
        ("_result", 5.0, amf0.UNDEFINED),
    ]
    peer.send(command("FCPublish", 6.0, None, "key"))
    assert peer.commands()[0][0] == "onFCPublish"


def test_publish_is_requested_and_accepted() -> None:
    peer = Peer()
    events = peer.request_publish("room?key=k%20k&x=1", app="live?y=2")
    assert events == [PublishRequested("live", "room", {"key": "k k", "x": "1", "y": "2"}, 1)]
    assert "room" not in repr(events)
    peer.messages()
    peer.session.accept_publish()
    messages = peer.messages()
    assert messages[0] == Message(4, 0, 0, struct.pack(">HI", 0, 1))
    assert messages[1].stream_id == 1
    status = amf0.decode(messages[1].payload)
    assert status[0] == "onStatus"
    assert status[3] == {"level": "status", "code": "NetStream.Publish.Start", "description": "Publishing"}
    with pytest.raises(RuntimeError):
        peer.session.accept_publish()


def test_publish_is_rejected() -> None:
    peer = Peer()
    peer.request_publish()
    peer.messages()
    peer.session.reject_publish("NetStream.Publish.BadName", "Wrong stream key.")
    status = peer.commands()[0]
    assert status[3] == {"level": "error", "code": "NetStream.Publish.BadName", "description": "Wrong stream key."}
    assert peer.session.state is SessionState.CLOSED
    assert peer.send(chunk(9, b"video", stream_id=1)) == []


def test_nothing_behind_a_publish_is_decoded_before_the_answer() -> None:
    peer = Peer()
    peer.connect()
    peer.send(command("createStream", 2.0, None))
    publish = command("publish", 3.0, None, "key", "live", stream_id=1)
    events = peer.send(publish, chunk(9, b"\x17\x00", stream_id=1, csid=6), chunk(8, b"\xaf\x00", stream_id=1, csid=4))
    assert [type(event) for event in events] == [PublishRequested]
    assert peer.send(chunk(9, b"\x27\x01", timestamp_ms=40, stream_id=1, csid=6)) == []
    peer.session.accept_publish()
    assert peer.send() == [
        VideoReceived(0, b"\x17\x00"),
        AudioReceived(0, b"\xaf\x00"),
        VideoReceived(40, b"\x27\x01"),
    ]


def test_input_during_a_decision_is_bounded() -> None:
    peer = Peer()
    peer.request_publish()
    for _ in range(20):
        assert peer.send(bytes(65_536)) == []
    assert peer.violation(bytes(200_000)) == "buffered_bytes"


def test_media_and_metadata() -> None:
    peer = Peer()
    peer.publish()
    metadata = {"width": 640.0}
    events = peer.send(
        chunk(18, amf0.encode(("@setDataFrame", "onMetaData", metadata)), stream_id=1, csid=4),
        chunk(15, b"\0" + amf0.encode(("onMetaData", metadata)), stream_id=1, csid=4),
        chunk(9, b"v" * 1000, timestamp_ms=0xFFFFFFF0, stream_id=1, csid=6),
        chunk(8, b"a", timestamp_ms=16, stream_id=1, csid=4),
    )
    assert events == [
        DataReceived(["onMetaData", metadata]),
        DataReceived(["onMetaData", metadata]),
        VideoReceived(0xFFFFFFF0, b"v" * 1000),
        AudioReceived((1 << 32) + 16, b"a"),
    ]


def test_timestamps_past_32_bits() -> None:
    peer = Peer()
    peer.publish()
    timestamps_ms = [0xFFFFFF00, 0xFFFFFFF0, 0x10, 0x1000]
    events = peer.send(
        *(chunk(8, b"a", timestamp_ms=timestamp_ms, stream_id=1, csid=4) for timestamp_ms in timestamps_ms)
    )
    assert [event.timestamp_ms for event in events if isinstance(event, AudioReceived)] == [
        0xFFFFFF00,
        0xFFFFFFF0,
        (1 << 32) + 0x10,
        (1 << 32) + 0x1000,
    ]


def _tag(type_id: int, timestamp_ms: int, body: bytes) -> bytes:
    head = (
        bytes([type_id])
        + len(body).to_bytes(3, "big")
        + (timestamp_ms & 0xFFFFFF).to_bytes(3, "big")
        + bytes([timestamp_ms >> 24])
    )
    return head + bytes(3) + body + struct.pack(">I", 11 + len(body))


def test_aggregate_messages() -> None:
    peer = Peer()
    peer.publish()
    body = _tag(8, 0x1000010, b"a") + _tag(9, 0x1000020, b"v") + _tag(8, 0x1000030, b"b")
    for payload in (body, body[:-4]):  # some encoders omit the last back pointer
        assert peer.send(chunk(22, payload, timestamp_ms=5000, stream_id=1, csid=4)) == [
            AudioReceived(5000, b"a"),
            VideoReceived(5016, b"v"),
            AudioReceived(5032, b"b"),
        ]
    assert peer.violation(chunk(22, body[:-8], stream_id=1)) == "aggregate"


@pytest.mark.parametrize(
    "ending",
    [
        command("FCUnpublish", 5.0, None, "key"),
        command("deleteStream", 5.0, None, 1.0),
        command("closeStream", 5.0, None, stream_id=1),
    ],
)
def test_publishing_ends_and_can_start_again(ending: bytes) -> None:
    peer = Peer()
    peer.publish()
    events = peer.send(ending)
    assert [type(event) for event in events] == [PublishStopped]
    assert peer.session.state is SessionState.READY
    # Media that was sent before the end is no violation.
    assert peer.send(chunk(9, b"v", stream_id=1)) == []
    assert peer.send(ending) == []
    peer.send(command("createStream", 6.0, None))
    assert isinstance(peer.send(command("publish", 7.0, None, "key", "live", stream_id=2))[0], PublishRequested)


def test_deleting_another_stream_changes_nothing() -> None:
    peer = Peer()
    peer.publish()
    assert peer.send(command("deleteStream", 5.0, None, 9.0), command("closeStream", 6.0, None)) == []
    assert peer.send(command("deleteStream", 5.0, None, float("nan"))) == []
    assert peer.session.state is SessionState.PUBLISHING


def test_play_is_refused() -> None:
    peer = Peer()
    peer.connect()
    assert peer.send(command("play", 2.0, None, "key", stream_id=1)) == []
    info = peer.commands()[0][3]
    assert isinstance(info, dict)
    assert (info["level"], info["code"]) == ("error", "NetStream.Play.Failed")


def test_ping_and_acknowledgement() -> None:
    peer = Peer()
    peer.publish()
    peer.send(chunk(4, struct.pack(">HI", 6, 0xABCD), csid=2))
    assert peer.messages() == [Message(4, 0, 0, struct.pack(">HI", 7, 0xABCD))]
    peer.send(chunk(5, struct.pack(">I", 10_000), csid=2))
    peer.messages()
    before = peer.session.received_bytes
    peer.send(chunk(8, bytes(9_000), stream_id=1, csid=4))
    messages = peer.messages()
    acknowledged = [struct.unpack(">I", message.payload)[0] for message in messages if message.type_id == 3]
    assert acknowledged == [peer.session.received_bytes]
    assert peer.session.received_bytes > before + 9_000
    peer.send(chunk(8, bytes(100), stream_id=1, csid=4))
    assert peer.messages() == []


def test_commands_in_amf3_messages() -> None:
    peer = Peer()
    peer.shake_hands()
    peer.send(chunk(17, b"\0" + amf0.encode(("connect", 1.0, {"app": "live", "objectEncoding": 3.0}))))
    assert peer.commands()[0][0] == "_result"


def test_unknown_messages_and_commands_are_ignored() -> None:
    peer = Peer()
    peer.connect()
    assert peer.send(command("FCSubscribe", 0.0, None), chunk(19, b"shared"), chunk(200, b"x"), chunk(3, b"")) == []


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


def test_an_abort_sends_a_status_only_to_publishers() -> None:
    peer = Peer()
    peer.send(b"\x03")
    peer.session.abort_publish("NetStream.Publish.Failed", "over")
    assert peer.session.data_to_send() == b""
    peer = Peer()
    peer.publish()
    peer.session.abort_publish("NetStream.Publish.Failed", "over")
    assert peer.commands()[0][0] == "onStatus"
    peer.session.abort_publish("NetStream.Publish.Failed", "again")
    assert peer.session.data_to_send() == b""


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


@pytest.mark.parametrize(
    ("app", "tc_url", "name", "expected"),
    [
        ("live", "rtmp://h/live", "key", ("live", "key", {})),
        ("live/", "rtmp://h/live/", "room?key=k", ("live", "room", {"key": "k"})),
        ("live?key=k", "rtmp://h/live?key=k", "room", ("live", "room", {"key": "k"})),
        ("live", "rtmp://h/live?key=k", "room", ("live", "room", {"key": "k"})),
        ("live?key=b", "rtmp://h/live?key=c", "room?key=a", ("live", "room", {"key": "a"})),
        ("live", "", "room?" + "a&" * 100, ("live", "room", {})),
        ("live", "", "room?key=", ("live", "room", {"key": ""})),
    ],
)
def test_stream_names_and_queries(app: str, tc_url: str, name: str, expected: tuple[str, str, dict[str, str]]) -> None:
    assert split_stream_name(app, tc_url, name) == expected


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
        chunk(22, _tag(8, 1, b"a"), stream_id=1, csid=6),
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
