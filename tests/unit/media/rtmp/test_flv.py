"""FLV tag bodies: the legacy and the enhanced forms, refused codecs, hostile bytes."""

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.codecs.opus import USUAL_DOPS
from airnode.media.frames import CodecRecord, ExtraTrack, Frame, RefusedTrack, StreamMetadata, VideoCodec
from airnode.media.rtmp.errors import MalformedMedia
from airnode.media.rtmp.flv import FlvDemuxer
from tests.support.rtmp import tag_audio, tag_enhanced, tag_video

AVCC = bytes.fromhex("0142c01effe100196742c01eda0280bfe5c044000003000400000300f03c58ba8001000468ce0fc8")
OTHER_AVCC = bytes.fromhex("014d401effe10018674d401eeca06c1ef37808800000030080000019078b16cb01000568ebe3cb20")
HVCC = bytes.fromhex(
    "0101600000009000000000003ff000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003f959409a10001002b"
    "42010101600000030090000003000003003fa005020171f2e595952930bc05a020000003002000000303c1a2000100064401c073c189"
)
AV1C = bytes.fromhex("81010c000a0b0000000cc4ff6736be4010")
ASC = bytes.fromhex("1190")
NAL = b"\0\0\0\2\x65\x88"
ARRIVED_S = 1_700_000_000.5


def video_frame(dts_ms: int, cts_ms: int, is_key: bool, data: bytes) -> Frame:
    return Frame("video", dts_ms * 90, cts_ms * 90, data, is_key, ARRIVED_S)


def audio_frame(dts_ms: int, data: bytes) -> Frame:
    return Frame("audio", dts_ms * 90, 0, data, True, ARRIVED_S)


def test_h264() -> None:
    demuxer = FlvDemuxer()
    assert demuxer.video(0, tag_video(0, AVCC, key=True), ARRIVED_S) == [CodecRecord("avc", AVCC)]
    assert demuxer.video(40, tag_video(1, NAL, key=True, cts=66), ARRIVED_S) == [video_frame(40, 66, True, NAL)]
    assert demuxer.video(80, tag_video(1, NAL, cts=-33), ARRIVED_S) == [video_frame(80, -33, False, NAL)]
    # End of sequence, an empty frame, a command frame.
    assert demuxer.video(160, tag_video(2, b""), ARRIVED_S) == []
    assert demuxer.video(160, tag_video(1, b""), ARRIVED_S) == [video_frame(160, 0, False, b"")]
    assert demuxer.video(160, b"\x57\x00", ARRIVED_S) == []


def test_aac() -> None:
    demuxer = FlvDemuxer()
    assert demuxer.audio(0, tag_audio(0, ASC), ARRIVED_S) == [CodecRecord("aac", ASC)]
    assert demuxer.audio(21, tag_audio(1, b"\x21\x00"), ARRIVED_S) == [audio_frame(21, b"\x21\x00")]
    assert demuxer.audio(42, tag_audio(1, b""), ARRIVED_S) == [audio_frame(42, b"")]
    assert demuxer.audio(42, tag_audio(7, b"x"), ARRIVED_S) == []


def test_frames_without_a_configuration_are_behind_an_empty_one() -> None:
    demuxer = FlvDemuxer()
    assert demuxer.video(0, tag_video(1, NAL), ARRIVED_S) == [CodecRecord("avc", b""), video_frame(0, 0, False, NAL)]
    assert demuxer.video(40, tag_video(1, NAL), ARRIVED_S) == [video_frame(40, 0, False, NAL)]
    assert demuxer.audio(0, tag_audio(1, b"x"), ARRIVED_S) == [CodecRecord("aac", b""), audio_frame(0, b"x")]
    assert demuxer.audio(21, tag_audio(1, b"x"), ARRIVED_S) == [audio_frame(21, b"x")]


@pytest.mark.parametrize(
    ("fourcc", "record", "codec", "composition"),
    [(b"avc1", AVCC, "avc", True), (b"hvc1", HVCC, "hevc", True), (b"av01", AV1C, "av1", False)],
)
def test_enhanced_video(fourcc: bytes, record: bytes, codec: VideoCodec, composition: bool) -> None:
    demuxer = FlvDemuxer()
    assert demuxer.video(0, tag_enhanced(0, fourcc, record, key=True), ARRIVED_S) == [CodecRecord(codec, record)]
    body = (-5).to_bytes(3, "big", signed=True) + NAL if composition else NAL
    assert demuxer.video(40, tag_enhanced(1, fourcc, body, key=True), ARRIVED_S) == [
        video_frame(40, -5 if composition else 0, True, NAL)
    ]
    assert demuxer.video(80, tag_enhanced(3, fourcc, NAL), ARRIVED_S) == [video_frame(80, 0, False, NAL)]
    assert demuxer.video(120, tag_enhanced(2, fourcc, b""), ARRIVED_S) == []
    assert demuxer.video(120, tag_enhanced(4, fourcc, b"\x02\x00\x09colorInfo"), ARRIVED_S) == []
    assert demuxer.video(120, b"\xd1\x00", ARRIVED_S) == []  # a command frame has no FourCC


def test_hevc_of_encoders_older_than_enhanced_rtmp() -> None:
    assert FlvDemuxer().video(0, b"\x1c\x00\0\0\0" + HVCC, ARRIVED_S) == [CodecRecord("hevc", HVCC)]


def test_enhanced_audio() -> None:
    demuxer = FlvDemuxer()
    assert demuxer.audio(0, b"\x90mp4a" + ASC, ARRIVED_S) == [CodecRecord("aac", ASC)]
    assert demuxer.audio(21, b"\x91mp4a\x21", ARRIVED_S) == [audio_frame(21, b"\x21")]
    assert demuxer.audio(42, b"\x92mp4a", ARRIVED_S) == []
    assert demuxer.audio(42, b"\x94mp4a\x01\x06", ARRIVED_S) == []


def test_modifiers_are_skipped() -> None:
    demuxer = FlvDemuxer()
    demuxer.video(0, tag_enhanced(0, b"hvc1", HVCC, key=True), ARRIVED_S)
    # ModEx with three bytes (a nanosecond offset), then one with 300 bytes (the long form), then coded frames.
    short = b"\x02" + b"\x00\x01\x02" + b"\x07"
    long = b"\xff" + (299).to_bytes(2, "big") + bytes(300) + b"\x03"
    assert demuxer.video(40, b"\x97" + short + long + b"hvc1" + NAL, ARRIVED_S) == [video_frame(40, 0, True, NAL)]
    with pytest.raises(MalformedMedia, match="modifiers"):
        demuxer.video(40, b"\x97" + (b"\x00\x00\x07") * 9 + b"hvc1" + NAL, ARRIVED_S)


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (b"\x12x", "Sorenson H.263"),
        (b"\x13x", "Screen Video"),
        (b"\x14x", "VP6"),
        (b"\x10x", "video codec 0"),
        (b"\x90vp08", "VP8"),
        (b"\x90vp09", "VP9"),
        (b"\x91vp09\0\0\0x", "VP9"),
        (b"\x93vvc1", "H.266"),
        (b"\x90\0\1\2\3", "00010203"),
        (b"\x96\x01vp09\0x", "VP9"),
    ],
)
def test_video_that_cannot_be_played_is_named(payload: bytes, name: str) -> None:
    assert FlvDemuxer().video(0, payload, ARRIVED_S) == [RefusedTrack("video", name)]


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (b"\x2fx", "MP3"),
        (b"\xb2x", "Speex"),
        (b"\x62x", "Nellymoser"),
        (b"\x72x", "G.711 A-law"),
        (b"\xd0x", "Opus without Enhanced RTMP"),
        (b"\x90ac-3", "AC-3"),
        (b"\x91ec-3x", "E-AC-3"),
        (b"\x91.mp3x", "MP3"),
        (b"\x90fLaCx", "FLAC"),
        (b"\x95\x00ac-3\0x", "AC-3"),
    ],
)
def test_audio_that_cannot_be_played_is_named(payload: bytes, name: str) -> None:
    assert FlvDemuxer().audio(0, payload, ARRIVED_S) == [RefusedTrack("audio", name)]


@pytest.mark.parametrize("fourcc", [b"avc1", b"vp09", b"hvc1"])
def test_packets_without_a_picture_are_skipped(fourcc: bytes) -> None:
    for packet_type in (2, 4, 5, 8, 15):
        assert FlvDemuxer().video(0, bytes([0x90 | packet_type]) + fourcc + b"x", ARRIVED_S) == []
    assert FlvDemuxer().video(0, b"\xd4" + fourcc + b"\x02\0\x09colorInfo", ARRIVED_S) == []


@pytest.mark.parametrize("fourcc", [b"mp4a", b"ac-3", b"Opus"])
def test_packets_without_sound_are_skipped(fourcc: bytes) -> None:
    for packet_type in (2, 3, 4, 6, 8, 15):
        assert FlvDemuxer().audio(0, bytes([0x90 | packet_type]) + fourcc + b"x", ARRIVED_S) == []


OPUS_HEAD = b"OpusHead" + bytes.fromhex("01 02 3801 80bb0000 0000 00")


def test_opus() -> None:
    demuxer = FlvDemuxer()
    dops = bytes.fromhex("00 02 0138 0000bb80 0000 00")
    assert demuxer.audio(0, b"\x90Opus" + OPUS_HEAD, ARRIVED_S) == [CodecRecord("opus", dops)]
    assert demuxer.audio(20, b"\x91Opus\xfc\xff\xfe", ARRIVED_S) == [audio_frame(20, b"\xfc\xff\xfe")]
    # Without its first eight bytes, with a table of channels, cut short, and never sent.
    assert FlvDemuxer().audio(0, b"\x90Opus" + OPUS_HEAD[8:], ARRIVED_S) == [CodecRecord("opus", dops)]
    surround = OPUS_HEAD[:9] + b"\6" + OPUS_HEAD[10:-1] + bytes.fromhex("01 04 02 000401020305")
    record = bytes.fromhex("00 06 0138 0000bb80 0000 01 04 02 000401020305")
    assert FlvDemuxer().audio(0, b"\x90Opus" + surround, ARRIVED_S) == [CodecRecord("opus", record)]
    assert FlvDemuxer().audio(0, b"\x90Opus" + OPUS_HEAD[:12], ARRIVED_S) == [CodecRecord("opus", USUAL_DOPS)]
    assert FlvDemuxer().audio(20, b"\x91Opus\xfc", ARRIVED_S) == [
        CodecRecord("opus", USUAL_DOPS),
        audio_frame(20, b"\xfc"),
    ]


def test_a_change_from_aac_to_opus() -> None:
    demuxer = FlvDemuxer()
    demuxer.audio(0, tag_audio(0, ASC), ARRIVED_S)
    assert [type(event) for event in demuxer.audio(20, b"\x91Opus\xfc", ARRIVED_S)] == [CodecRecord, Frame]
    assert demuxer.audio(40, tag_audio(1, b"\x21"), ARRIVED_S) == [CodecRecord("aac", b""), audio_frame(40, b"\x21")]


# --- several tracks


def one_track(packet_type: int, fourcc: bytes, track: int, body: bytes) -> bytes:
    return bytes([packet_type]) + fourcc + bytes([track]) + body


def many_tracks(packet_type: int, fourcc: bytes, *tracks: tuple[int, bytes]) -> bytes:
    bodies = b"".join(bytes([track]) + len(body).to_bytes(3, "big") + body for track, body in tracks)
    return bytes([0x10 | packet_type]) + fourcc + bodies


def many_codecs(packet_type: int, *tracks: tuple[bytes, int, bytes]) -> bytes:
    bodies = b"".join(code + bytes([track]) + len(body).to_bytes(3, "big") + body for code, track, body in tracks)
    return bytes([0x20 | packet_type]) + bodies


@pytest.mark.parametrize(
    "body",
    [
        one_track(0, b"mp4a", 0, ASC),
        many_tracks(0, b"mp4a", (0, ASC), (1, b"other")),
        many_tracks(0, b"mp4a", (2, b"other"), (0, ASC)),
        many_codecs(0, (b"ac-3", 1, b"other"), (b"mp4a", 0, ASC)),
        many_codecs(0, (b"mp4a", 0, ASC), (b"Opus", 1, b"")),
    ],
)
def test_track_0_of_sound_is_taken(body: bytes) -> None:
    demuxer = FlvDemuxer()
    assert demuxer.audio(0, b"\x95" + body, ARRIVED_S) == [CodecRecord("aac", ASC)]
    frame = many_tracks(1, b"mp4a", (0, b"\x21\x00"), (1, b"other"))
    assert demuxer.audio(21, b"\x95" + frame, ARRIVED_S) == [audio_frame(21, b"\x21\x00")]


@pytest.mark.parametrize("composition", [True, False])
def test_track_0_of_pictures_is_taken(composition: bool) -> None:
    demuxer = FlvDemuxer()
    start = many_codecs(0, (b"hvc1", 1, HVCC), (b"avc1", 0, AVCC))
    assert demuxer.video(0, b"\x96" + start, ARRIVED_S) == [CodecRecord("avc", AVCC)]
    offset = (-5).to_bytes(3, "big", signed=True) if composition else b""
    packet_type = 1 if composition else 3
    frame = many_codecs(packet_type, (b"hvc1", 1, b"other"), (b"avc1", 0, offset + NAL), (b"hvc1", 2, b"other"))
    expected = [video_frame(40, -5 if composition else 0, True, NAL)]
    assert demuxer.video(40, b"\x96" + frame, ARRIVED_S) == expected
    plain = one_track(packet_type, b"avc1", 0, offset + NAL)
    assert demuxer.video(40, b"\x96" + plain, ARRIVED_S) == expected
    # With a modifier before it: a timestamp offset in nanoseconds.
    modified = b"\x97\x02\0\0\x07\x06" + plain
    assert demuxer.video(40, modified, ARRIVED_S) == expected


@pytest.mark.parametrize(
    "body",
    [
        one_track(0, b"mp4a", 1, ASC),
        one_track(1, b"xxxx", 7, b"x"),
        many_tracks(1, b"mp4a", (1, b"x"), (2, b"y")),
        many_codecs(1, (b"ac-3", 3, b"x")),
        many_tracks(1, b"mp4a"),
    ],
)
def test_other_tracks_are_left_out(body: bytes) -> None:
    demuxer = FlvDemuxer()
    assert demuxer.audio(0, b"\x95" + body, ARRIVED_S) == [ExtraTrack("audio")]
    assert demuxer.video(0, b"\x96" + body, ARRIVED_S) == [ExtraTrack("video")]
    # The track that is played goes on as before.
    demuxer.audio(0, tag_audio(0, ASC), ARRIVED_S)
    assert demuxer.audio(21, tag_audio(1, b"\x21"), ARRIVED_S) == [audio_frame(21, b"\x21")]


@pytest.mark.parametrize("body", ["", "01", "016d7034", "116d70346100", "116d7034610000ff0021", "2100", "31", "f1"])
def test_malformed_tracks(body: str) -> None:
    with pytest.raises(MalformedMedia):
        FlvDemuxer().audio(0, b"\x95" + bytes.fromhex(body), ARRIVED_S)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x17",
        b"\x17\x01\0\0",
        b"\x90",
        b"\x90hvc",
        b"\x97",
        b"\x97\xff",
    ],
)
def test_malformed_video(payload: bytes) -> None:
    with pytest.raises(MalformedMedia):
        FlvDemuxer().video(0, payload, ARRIVED_S)


@pytest.mark.parametrize("payload", [b"", b"\xaf", b"\x90mp4"])
def test_malformed_audio(payload: bytes) -> None:
    with pytest.raises(MalformedMedia):
        FlvDemuxer().audio(0, payload, ARRIVED_S)


def test_cut_short_composition_time() -> None:
    demuxer = FlvDemuxer()
    demuxer.video(0, tag_enhanced(0, b"hvc1", HVCC, key=True), ARRIVED_S)
    with pytest.raises(MalformedMedia):
        demuxer.video(0, tag_enhanced(1, b"hvc1", b"\0\0"), ARRIVED_S)


def test_metadata() -> None:
    fields = {"width": 1280.0, "height": 720.0, "framerate": "29.97", "videodatarate": 2500.0, "audiodatarate": 128.0}
    assert FlvDemuxer().metadata(["onMetaData", {**fields, "encoder": "obs"}]) == [
        StreamMetadata(1280, 720, 29.97, 2_500_000, 128_000, "obs")
    ]
    implausible = {
        "width": math.nan,
        "height": 1e300,
        "framerate": "fast",
        "videodatarate": -1.0,
        "encoder": "x" * 1000,
    }
    assert FlvDemuxer().metadata(["onMetaData", implausible]) == [StreamMetadata(encoder="x" * 128)]
    for other in ([], ["onMetaData"], ["onMetaData", 5.0], ["onCuePoint", {}]):
        assert FlvDemuxer().metadata(other) == []


_HEADS = [
    b"",
    b"\x17\x00\0\0\0",
    b"\x17\x01\0\0\0",
    b"\x90hvc1",
    b"\x91hvc1",
    b"\x90av01",
    b"\x97",
    b"\x95",
    b"\x96",
    b"\x95\x11mp4a",
    b"\x96\x21avc1",
    b"\x90Opus",
    b"\x91Opus",
    b"\xaf\x00",
    b"\xaf\x01",
]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(_HEADS), st.sampled_from([b"", AVCC, HVCC, AV1C, ASC]), st.binary(max_size=99)))
)
def test_any_bytes_end_in_events_or_a_named_error(messages: list[tuple[bytes, bytes, bytes]]) -> None:
    demuxer = FlvDemuxer()
    for head, record, tail in messages:
        for method in (demuxer.video, demuxer.audio):
            with contextlib.suppress(MalformedMedia):
                method(0, head + record + tail, ARRIVED_S)
