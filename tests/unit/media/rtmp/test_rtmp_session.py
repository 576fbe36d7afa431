"""The server's session, with bytes and a time that the test sets."""

import struct

import pytest

from airnode.media.rtmp import amf0
from airnode.media.rtmp.chunks import Message
from airnode.media.rtmp.events import (
    AudioReceived,
    DataReceived,
    MessageSkipped,
    PublishRequested,
    PublishStopped,
    VideoReceived,
)
from airnode.media.rtmp.session import SessionState
from tests.support.rtmp import chunk, command
from tests.support.rtmp_session import Peer, flv_tag


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
    assert properties["fourCcList"] == ["avc1", "hvc1", "av01", "mp4a", "Opus"]
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
    assert events == [PublishRequested("live", "room", {"key": "k k", "x": "1", "y": "2"}, 1, "k k")]
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


def test_aggregate_messages() -> None:
    peer = Peer()
    peer.publish()
    body = flv_tag(8, 0x1000010, b"a") + flv_tag(9, 0x1000020, b"v") + flv_tag(8, 0x1000030, b"b")
    for payload in (body, body[:-4]):  # some encoders omit the last back pointer
        assert peer.send(chunk(22, payload, timestamp_ms=5000, stream_id=1, csid=4)) == [
            AudioReceived(5000, b"a"),
            VideoReceived(5016, b"v"),
            AudioReceived(5032, b"b"),
        ]
    events = peer.send(chunk(22, body[:-8], timestamp_ms=6000, stream_id=1))
    assert events[:2] == [AudioReceived(6000, b"a"), VideoReceived(6016, b"v")]
    assert [event.reason for event in events[2:] if isinstance(event, MessageSkipped)] == ["aggregate"]


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
