"""Frames of fragmented MP4 from other muxers and from airnode."""

import contextlib
import itertools
import subprocess
from dataclasses import replace
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.cmaf.bmff import Track, box, init_segment
from airnode.media.cmaf.fragment import TrackRun, write_fragment
from airnode.media.codecs.avc import parse_avcc
from airnode.media.codecs.opus import packet_samples, parse_dops
from airnode.media.codecs.silence import silence
from airnode.media.frames import AudioConfig, Frame, VideoConfig
from airnode.media.mediamtx.fmp4 import Fmp4Demuxer, UnsupportedTrack

AVCC = bytes.fromhex(
    "0142c01effe1001867 42c01ed900a02ff9610000030001000003003c8f162e48 01000468cb83cb20".replace(" ", "")
)
ARRIVED_S = 1_700_000_000.5
AAC = AudioConfig(bytes.fromhex("1190"), "mp4a.40.2", 48000, 2)
#: Version 0, two channels, pre-skip 312, 48 kHz, no gain, mapping family 0.
OPUS = parse_dops(bytes.fromhex("0002013800 00bb80000000".replace(" ", "")))


def fragments(*, durations_90k: list[int], start: int = 0, opus_frame: int = 0) -> bytes:
    video = TrackRun(1, start, video=True)
    for index, duration in enumerate(durations_90k):
        video.add_video(b"v%d" % index, duration, 900, is_key=index == 0)
    audio = TrackRun(2, start * 48 // 90, video=False)
    for index in range(3):
        audio.add_audio(b"a%d" % index, opus_frame or 1024)
    return write_fragment(1, [video, audio])


@pytest.fixture(scope="module")
def video_config() -> VideoConfig:
    return parse_avcc(AVCC)


@pytest.mark.parametrize("audio", [AAC, OPUS], ids=["aac", "opus"])
def test_fragments_of_airnode_are_read(video_config: VideoConfig, audio: AudioConfig):
    demuxer = Fmp4Demuxer(init_segment([Track(1, video_config), Track(2, audio)]))
    assert [track.config for track in demuxer.tracks] == [video_config, audio]
    found = demuxer.read(
        fragments(durations_90k=[3000, 3000], start=90_000, opus_frame=audio.samples_per_frame), ARRIVED_S
    )
    assert [each for each in found if each.track == "video"] == [
        Frame("video", 90_000, 900, b"v0", True, ARRIVED_S),
        Frame("video", 93_000, 900, b"v1", False, ARRIVED_S + 3_000 / 90_000),
    ]
    assert [each.data for each in found if each.track == "audio"] == [b"a0", b"a1", b"a2"]


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        ("f8fffe", 960),
        ("e0", 120),
        ("e8", 240),
        ("f0", 480),
        ("0800", 960),
        ("1800", 2880),
        ("6000", 480),
        ("6800", 960),
        ("f9", 1920),
        ("fa", 1920),
        ("fb03", 2880),
        ("fb06", 5760),
        ("fb07", 0),
        ("fb", 0),
        ("", 0),
    ],
)
def test_the_number_of_samples_in_an_opus_packet(packet: str, samples: int):
    assert packet_samples(bytes.fromhex(packet)) == samples


def test_repeated_samples_are_read_once(video_config: VideoConfig):
    demuxer = Fmp4Demuxer(init_segment([Track(1, video_config), Track(2, AAC)]))
    part = fragments(durations_90k=[3000, 3000])
    assert len(demuxer.read(part, ARRIVED_S)) == 5
    assert demuxer.read(part, ARRIVED_S) == []
    whole = part + fragments(durations_90k=[3000], start=6000)
    assert [each.data for each in demuxer.read(whole, ARRIVED_S) if each.track == "video"] == [b"v0"]


def test_an_unsupported_codec_is_named(video_config: VideoConfig):
    init = init_segment([Track(1, video_config)]).replace(b"avc1", b"vp09")
    with pytest.raises(UnsupportedTrack, match="vp09"):
        Fmp4Demuxer(init)


@pytest.mark.parametrize("init", [b"", b"\0\0\0\x08moov", box(b"moov", box(b"mvex")), b"x" * 40], ids=repr)
def test_other_bytes_are_no_initialization_section(init: bytes):
    with pytest.raises(ValueError):  # noqa: PT011 - any message
        Fmp4Demuxer(init)


def test_a_fragment_that_is_cut_short_is_refused(video_config: VideoConfig):
    init, part = init_segment([Track(1, video_config), Track(2, AAC)]), fragments(durations_90k=[3000, 3000])
    for size in range(1, len(part)):
        try:
            found = Fmp4Demuxer(init).read(part[:size], ARRIVED_S)
        except ValueError:
            continue
        assert size < 8 or found == [], size
    with pytest.raises(ValueError, match="samples"):
        Fmp4Demuxer(init).read(
            box(
                b"moof",
                box(
                    b"traf",
                    box(b"tfhd", pack(">II", 0, 1)),
                    box(b"tfdt", bytes(8)),
                    box(b"trun", pack(">II", 0x200, 1 << 31)),
                ),
            ),
            ARRIVED_S,
        )


@settings(max_examples=150)
@given(st.data())
def test_hostile_bytes_raise_only_the_documented_errors(data: st.DataObject):
    init = init_segment([Track(1, parse_avcc(AVCC)), Track(2, AAC)])
    whole = bytearray(init + fragments(durations_90k=[3000, 3000]))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError, UnsupportedTrack):
        Fmp4Demuxer(bytes(whole[: len(init)])).read(bytes(whole[len(init) :]), ARRIVED_S)


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("codecs", "video", "audio"),
    [
        (("libx264", "-bf", "2", "aac"), "avc1.", "mp4a.40.2"),
        (("libx265", "-x265-params", "log-level=none", "aac"), "hvc1.", "mp4a.40.2"),
        (("libx264", "libopus"), "avc1.", "opus"),
    ],
    ids=["avc-bframes-aac", "hevc-aac", "avc-opus"],
)
def test_fragments_of_ffmpeg_are_read(tmp_path: Path, codecs: tuple[str, ...], video: str, audio: str):
    encoders = subprocess.run(["ffmpeg", "-v", "error", "-encoders"], capture_output=True, text=True, check=True).stdout
    if any(each.startswith("lib") and each not in encoders for each in codecs):
        pytest.skip(f"this ffmpeg has no {codecs[0]} or {codecs[-1]}")
    path = tmp_path / "made.mp4"
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x180:rate=25",
            "-f",
            "lavfi",
            "-i",
            "sine",
            "-t",
            "1",
            "-pix_fmt",
            "yuv420p",
            "-ar",
            "48000",
            "-c:v",
            *codecs[:-1],
            "-g",
            "25",
            "-c:a",
            codecs[-1],
            "-movflags",
            "frag_keyframe+empty_moov+default_base_moof",
            "-frag_duration",
            "200000",
            "-tag:v",
            video[:4],
            str(path),
        ],
        check=True,
    )
    data = path.read_bytes()
    at = data.index(b"moof") - 4
    demuxer = Fmp4Demuxer(data[:at])
    configs = {track.kind: track.config for track in demuxer.tracks}
    assert configs["video"].codecs.startswith(video)
    assert configs["audio"].codecs == audio
    found = demuxer.read(data[at:], ARRIVED_S)
    video_frames = [each for each in found if each.track == "video"]
    assert [each.is_key for each in video_frames] == [True] + [False] * 24
    shown_90k = sorted(each.dts_90k + each.cts_90k for each in video_frames)
    assert all(39 * 90 <= b - a <= 41 * 90 for a, b in itertools.pairwise(shown_90k))
    audio_dts_90k = [each.dts_90k for each in found if each.track == "audio"]
    assert len(audio_dts_90k) >= 46
    assert audio_dts_90k == sorted(audio_dts_90k)


@pytest.mark.ffmpeg
@pytest.mark.parametrize("samples", [120, 240, 480, 960])
def test_silent_opus_is_silent(samples: int):
    config = replace(OPUS, samples_per_frame=samples)
    run = TrackRun(2, 0, video=False)
    packet = silence(config)
    assert packet is not None
    for _ in range(48_000 // samples):
        run.add_audio(packet, samples)
    media = init_segment([Track(2, config)]) + write_fragment(1, [run])
    command = ["ffmpeg", "-v", "error", "-i", "pipe:0", "-f", "s16le", "pipe:1"]
    done = subprocess.run(command, input=media, capture_output=True, check=True)
    assert done.stderr == b""
    # The encoder's delay (pre-skip) is cut off.
    assert 4 * 47_000 <= len(done.stdout) <= 4 * 48_000
    assert not any(done.stdout)
