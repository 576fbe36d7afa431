"""What a publisher sends and the server cannot read: it is skipped, and the media goes on."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.rtmp import amf0
from airnode.media.rtmp.amf_values import AmfValue, EcmaArray
from airnode.media.rtmp.events import AudioReceived, DataReceived, MessageSkipped, VideoReceived
from airnode.media.rtmp.session import SessionState
from tests.support.rtmp import chunk, command
from tests.support.rtmp_session import LIMITS, Peer

META = amf0.encode(["@setDataFrame", "onMetaData", EcmaArray(width=640.0, height=360.0)])
SIZE = {"width": 640.0, "height": 360.0}
AMF3_SIZE = b"\x11\x0a\x0b\x01\x0bwidth\x04\x85\x00\x01"
KEYFRAMES = {"keyframes": {"times": [1.0] * 2000, "filepositions": [1.0] * 2000}}
#: What OBS up to 30.1 sends for each frame of Twitch's VOD track.
_VOD_MEMBERS = b"\0\2id\x02\0\7stream0\0\5media\x11\x0c\x85\x49" + bytes(356) + b"\0\0\x09"
VOD_FRAME = amf0.encode(["additionalMedia"]) + b"\x03" + _VOD_MEMBERS

#: name: (type, payload, values that are read, reason why the rest was skipped)
DATA: dict[str, tuple[int, bytes, list[AmfValue], str]] = {
    "as it should be": (18, META, ["onMetaData", SIZE], ""),
    "amf3 value": (18, amf0.encode(["@setDataFrame", "onMetaData"]) + AMF3_SIZE, ["onMetaData", {"width": 640.0}], ""),
    "amf3 value, type 15": (
        15,
        b"\0" + amf0.encode(["@setDataFrame", "onMetaData"]) + AMF3_SIZE,
        ["onMetaData", {"width": 640.0}],
        "",
    ),
    "amf3 only": (
        15,
        b"\x06\x1b@setDataFrame\x06\x15onMetaData\x0a\x0b\x01\x0bwidth\x04\x85\x00\x01",
        ["onMetaData", {"width": 640.0}],
        "",
    ),
    "format byte in type 18": (18, b"\0" + META, ["onMetaData", SIZE], ""),
    "no format byte in type 15": (15, META, ["onMetaData", SIZE], ""),
    "unterminated": (18, META[:-3], ["onMetaData", SIZE], "amf_truncated"),
    "truncated": (18, META[:-6], ["onMetaData", {"width": 640.0}], "amf_truncated"),
    "truncated in its name": (18, META[:9], [], "amf_truncated"),
    "empty": (18, b"", [], ""),
    "an object only": (18, amf0.encode([SIZE]), [SIZE], ""),
    "too many items": (
        18,
        amf0.encode(["onMetaData", {**SIZE, **KEYFRAMES}]),
        ["onMetaData", SIZE],
        "amf_items",
    ),
    "too deep": (18, amf0.encode(["onMetaData"]) + b"\x03\0\1a" * 100, ["onMetaData", {}], "amf_depth"),
    "too deep in amf3": (18, amf0.encode(["onMetaData"]) + b"\x11" + b"\x09\x03\x01" * 99, ["onMetaData"], "amf_depth"),
    "unknown type": (18, amf0.encode(["onMetaData", SIZE])[:-3] + b"\0\1a\x0e", ["onMetaData", SIZE], "amf_type"),
    "too long": (18, META + bytes(LIMITS.chunks.max_message_bytes), [], "message_size"),
    "too long, type 15": (15, b"\0" + META + bytes(LIMITS.chunks.max_message_bytes), [], "message_size"),
    "twitch vod track": (18, VOD_FRAME, ["additionalMedia", {"id": "stream0", "media": amf0.decode(b"\x06")[0]}], ""),
}


def _media_goes_on(peer: Peer) -> None:
    events = peer.send(
        chunk(9, b"v" * 700, timestamp_ms=40, stream_id=1, csid=6),
        chunk(8, b"a" * 300, timestamp_ms=41, stream_id=1, csid=4),
    )
    assert events == [VideoReceived(40, b"v" * 700), AudioReceived(41, b"a" * 300)]
    assert peer.session.state is SessionState.PUBLISHING


@pytest.mark.parametrize("name", DATA)
def test_metadata_never_ends_a_publish(name: str) -> None:
    type_id, payload, values, reason = DATA[name]
    peer = Peer()
    peer.publish()
    events = peer.send(chunk(type_id, payload, stream_id=1, csid=5))
    assert [event.values for event in events if isinstance(event, DataReceived)] == ([values] if values else [])
    assert [event.reason for event in events if isinstance(event, MessageSkipped)] == ([reason] if reason else [])
    _media_goes_on(peer)


@pytest.mark.parametrize("name", [name for name in DATA if "too long" not in name])
def test_metadata_before_a_publish_is_ignored(name: str) -> None:
    type_id, payload, _, _ = DATA[name]
    peer = Peer()
    peer.connect()
    assert peer.send(chunk(type_id, payload, stream_id=1, csid=5)) == []
    assert peer.session.state is SessionState.READY


@pytest.mark.parametrize("cut", [1, 12, 13, 140, 141, 4_000, 150_000])
def test_a_message_that_is_too_long_is_not_kept(cut: int) -> None:
    peer = Peer()
    peer.publish()
    data = chunk(18, bytes(LIMITS.chunks.max_message_bytes + 1), stream_id=1, csid=5)
    assert all(isinstance(event, MessageSkipped) for event in peer.send(data[:cut]))
    assert peer.session._decoder.buffered_bytes < 20
    peer.send(data[cut:])
    _media_goes_on(peer)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x02\0\x03fo",
        amf0.encode([1.0, 2.0]),
        amf0.encode(["@updateData"]),
        amf0.encode(["foo", "no number"]),
        amf0.encode(["foo", 1.0]) + b"\x11\x0a\x01",
        amf0.encode(["foo", 1.0]) + b"\x11\xff",
        amf0.encode(["foo", 1.0]) + b"\x03\0\1a" * 50,
        random.Random(60).randbytes(60),
    ],
)
@pytest.mark.parametrize("type_id", [17, 20])
def test_commands_that_cannot_be_read_or_are_not_known(type_id: int, payload: bytes) -> None:
    peer = Peer()
    peer.publish()
    events = peer.send(chunk(type_id, (b"\0" if type_id == 17 else b"") + payload, stream_id=1))
    assert all(isinstance(event, MessageSkipped) for event in events)
    _media_goes_on(peer)
    assert peer.messages() == []


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("releaseStream", "_result"),
        ("getStreamLength", "_result"),
        ("_checkbw", "_result"),
        ("FCPublish", "onFCPublish"),
        ("FCSubscribe", None),
        ("setPeerInfo", None),
        ("onStatus", None),
        ("_error", None),
    ],
)
def test_answers_that_encoders_wait_for(name: str, answer: str | None) -> None:
    peer = Peer()
    peer.connect()
    peer.send(command(name, 9.0, None, "key"))
    assert [values[0] for values in peer.commands()] == ([answer] if answer else [])


@pytest.mark.parametrize("type_id", [0, 3, 6, 7, 16, 19, 21, 23, 255])
def test_types_without_a_use(type_id: int) -> None:
    peer = Peer()
    peer.publish()
    for payload in (b"", b"\0\0\1", random.Random(50).randbytes(50)):
        peer.send(chunk(type_id, payload, csid=7))
    _media_goes_on(peer)


@pytest.mark.parametrize("payload", ["", "00", "0006", "00060000", "001f", "002000000001", "00030000000100000bb8"])
def test_user_control_messages(payload: str) -> None:
    peer = Peer()
    peer.publish()
    assert peer.send(chunk(4, bytes.fromhex(payload), csid=2)) == []
    _media_goes_on(peer)


@pytest.mark.parametrize("payload", [b"", b"\0", bytes(4), b"\0\0\0"])
def test_a_window_of_zero_changes_nothing(payload: bytes) -> None:
    peer = Peer()
    peer.publish()
    peer.send(chunk(5, payload, csid=2))
    _media_goes_on(peer)
    assert peer.messages() == []


def test_media_on_message_stream_0() -> None:
    peer = Peer()
    peer.publish()
    events = peer.send(
        chunk(9, b"v", timestamp_ms=40, stream_id=0, csid=6),
        chunk(18, META, stream_id=0, csid=5),
        # A chunk stream that begins with format 1 has no message stream id.
        b"\x44" + bytes.fromhex("000029 000001 08") + b"a",
    )
    assert events == [VideoReceived(40, b"v"), DataReceived(["onMetaData", SIZE]), AudioReceived(41, b"a")]


def test_publish_on_message_stream_0() -> None:
    peer = Peer()
    peer.connect()
    peer.send(command("createStream", 2.0, None))
    peer.send(command("publish", 3.0, None, "key", "live", stream_id=0))
    peer.session.accept_publish()
    _media_goes_on(peer)


_AMF = st.recursive(
    st.floats() | st.booleans() | st.none() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4).map(EcmaArray)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=100)
@given(
    type_id=st.sampled_from([15, 16, 17, 18, 19, 20]),
    values=st.lists(_AMF, max_size=4),
    cut=st.integers(0, 40),
    extra=st.binary(max_size=30),
    stream_id=st.sampled_from([0, 1]),
)
def test_any_amf(type_id: int, values: list[AmfValue], cut: int, extra: bytes, stream_id: int) -> None:
    data = amf0.encode(values)
    peer = Peer()
    peer.publish()
    peer.send(chunk(type_id, data[: max(0, len(data) - cut)] + extra, stream_id=stream_id, csid=5))
    _media_goes_on(peer)


@settings(deadline=None, max_examples=100)
@given(type_id=st.sampled_from([0, 3, 4, 6, 15, 16, 17, 18, 19, 20]), payload=st.binary(max_size=200))
def test_any_payload(type_id: int, payload: bytes) -> None:
    peer = Peer()
    peer.publish()
    peer.send(chunk(type_id, payload, stream_id=1, csid=5))
    _media_goes_on(peer)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=100))
def test_any_aggregate(payload: bytes) -> None:
    peer = Peer()
    peer.publish()
    peer.send(chunk(22, payload, stream_id=1, csid=5))
    (event,) = peer.send(chunk(9, b"video", timestamp_ms=40, stream_id=1, csid=6))
    assert isinstance(event, VideoReceived)
    assert event.payload == b"video"


# --- what ends a publish says why


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (
            bytes.fromhex("06 000000 ffffff 09 01000000"),
            "message_size",
            "rtmp.max_message_bytes",
        ),
        (b"\xc9", "chunk_format", "begins with a header of format 3"),
        (command("connect", 9.0, {"app": "live"}), "command_order", "A second connect came."),
        (command("publish", 9.0, None, "key", stream_id=1), "command_order", "A second publish came"),
        (command("createStream", 9.0, None) * 9, "streams", "more than 8 streams"),
    ],
)
def test_what_ends_a_publish_says_why(data: bytes, reason: str, words: str) -> None:
    peer = Peer()
    peer.publish()
    assert peer.violation(data) == reason
    (status,) = [values for values in peer.commands() if values[0] == "onStatus"]
    info = status[3]
    assert isinstance(info, dict)
    assert (info["level"], info["code"]) == ("error", "NetStream.Publish.Failed")
    assert words.lower() in str(info["description"]).lower()
    assert str(info["description"]).endswith(".")


def test_a_publisher_that_is_silent_reads_why() -> None:
    peer = Peer()
    peer.publish()
    with pytest.raises(Exception, match="nothing came from the encoder for 30 s"):
        peer.session.expire(100.0)
    info = peer.commands()[0][3]
    assert isinstance(info, dict)
    assert info["description"] == "Nothing came from the encoder for 30 s."


def test_what_ends_a_connection_before_its_publish_says_why() -> None:
    peer = Peer()
    peer.connect()
    assert peer.violation(chunk(9, b"v", stream_id=1)) == "media_before_publish"
    info = peer.commands()[0][3]
    assert isinstance(info, dict)
    assert (info["code"], info["description"]) == ("NetStream.Publish.Rejected", "Media came before a publish.")
    peer = Peer()
    peer.shake_hands()
    assert peer.violation(command("createStream", 1.0, None)) == "command_order"
    info = peer.commands()[0][3]
    assert isinstance(info, dict)
    assert info["code"] == "NetConnection.Connect.Rejected"
