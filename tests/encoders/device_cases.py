"""Cases of devices and programs: phones, cameras, drones, hardware encoders, and encoders that reconnect."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.encoders.cases import Case
from tests.encoders.media_cases import x264
from tests.encoders.sample_cases import avcc, parameter_sets
from tests.encoders.stream import (
    AUDIO,
    EACH_SECOND,
    LOW_LATENCY,
    VIDEO,
    Stream,
    Tag,
    base,
    clip,
    each_second,
    every,
    in_order,
    joined,
    joined_by_reconnects,
    nals,
    one_after_the_other,
    tag,
)
from tests.support.opus_clip import opus_tags
from tests.support.rtmp import box_body, boxes

_PLAIN = (*LOW_LATENCY, *EACH_SECOND)
#: An H.264 filler data NAL unit, as encoders with constant bitrate send it.
_FILLER = b"\x0c" + b"\xff" * 300 + b"\x80"
_PREFIX = bytes.fromhex("6ec00000")
_END_OF_SEQUENCE = b"\x0a"


def with_nals(before: list[bytes], behind: list[bytes], *, key: bool | None = None) -> Stream:
    """Return the base stream with more NAL units in front of each picture, and behind it."""
    return every(lambda body: body[:5] + joined([*before, *nals(body[5:]), *behind]), key=key)


def header_each_key() -> Stream:
    """Return the base stream with both sequence headers again in front of each key frame."""
    heads = [each for each in base() if each.kind in (AUDIO, VIDEO) and not each.is_coded]
    made: Stream = []
    for each in base():
        if each.is_key:
            made += [tag(head.kind, each.at_ms, head.body) for head in heads]
        made.append(each)
    return made


def bursts(kind: int, length_ms: int) -> Stream:
    """Return the base stream; one track is sent in bursts, with correct timestamps."""
    return in_order(
        Tag(each.kind, each.at_ms // length_ms * length_ms + length_ms, each.body, each.stamp_ms)
        if each.kind == kind and each.is_coded
        else each
        for each in base()
    )


def late(kind: int, by_ms: int) -> Stream:
    """Return the base stream; one track is sent later than the other, with correct timestamps."""
    return in_order(
        Tag(each.kind, each.at_ms + by_ms, each.body, each.stamp_ms) if each.kind == kind and each.is_coded else each
        for each in base()
    )


def from_another_origin(kind: int, by_ms: int) -> Stream:
    """Return the base stream; the timestamps of one track count from another origin."""
    return [Tag(each.kind, each.at_ms, each.body, each.stamp_ms + by_ms * (each.kind == kind)) for each in base()]


def thinned() -> Stream:
    """Return the base stream with a frame rate that varies between 1 and 30, as screens that are shared have it."""
    return [
        each
        for each in clip("all-intra", (*LOW_LATENCY, "-g", "1"))
        if each.kind != VIDEO or not each.is_coded or each.at_ms % 4_000 < 1_500 or each.at_ms % 1_000 < 34
    ]


def twice() -> Stream:
    """Return the base stream, in which each 30th picture that is no reference of others is sent twice."""
    return every(lambda body: [body, body], only=70, key=False)


@cache
def opus() -> tuple[Tag, ...]:
    with tempfile.TemporaryDirectory() as folder:
        found = opus_tags(Path(folder) / "tone.mp4", 14)
    return tuple(tag(AUDIO, each.at_ms, each.body) for each in found)


def with_opus() -> Stream:
    return in_order([*(each for each in clip("video-only", _PLAIN, ())), *opus()])


@cache
def av1() -> tuple[Tag, ...]:
    """Return the pictures of Enhanced RTMP with AV1, a key frame each second."""
    options = [
        "-c:v",
        "libaom-av1",
        "-cpu-used",
        "8",
        "-usage",
        "realtime",
        "-g",
        "30",
        "-b:v",
        "300k",
        "-lag-in-frames",
        "0",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "av1.mp4"
        source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-t", "14"]
        flags = ["-movflags", "+delay_moov+default_base_moof+frag_every_frame"]
        subprocess.run(["ffmpeg", "-v", "error", *source, *options, *flags, str(path)], check=True)
        data = path.read_bytes()
    frames = [body for kind, body in boxes(data) if kind == b"mdat"]
    made = [tag(VIDEO, 0, b"\x90av01" + box_body(data, b"av1C"))]
    for number, frame in enumerate(frames):
        made.append(tag(VIDEO, number * 1000 // 30, bytes([0x91 if number % 30 == 0 else 0xA1]) + b"av01" + frame))
    return tuple(made)


def with_av1() -> Stream:
    return in_order([*av1(), *(each for each in base() if each.kind == AUDIO)])


CASES = {
    "filler_every_frame": Case("hardware encoder", lambda: with_nals([], [_FILLER])),
    "filler_only_messages": Case(
        "hardware encoder",
        lambda: each_second(lambda each: tag(VIDEO, each.at_ms, b"\x27\1\0\0\0" + joined([_FILLER]))),
    ),
    "prefix_nals": Case("temporal layers", lambda: with_nals([_PREFIX], [])),
    "end_of_sequence": Case("hardware encoder", lambda: with_nals([], [_END_OF_SEQUENCE], key=False), still_s=1.6),
    "aud_behind": Case("hardware encoder", lambda: with_nals([], [b"\x09\xf0"])),
    "sets_every_frame": Case("phone", lambda: with_nals([*parameter_sets()], [])),
    "many_sei": Case("hardware encoder", lambda: with_nals([b"\x06\x05\x01\xaa\x80"] * 40, [])),
    "header_each_key": Case("header repeated", header_each_key),
    "header_each_second_with_metadata": Case(
        "header repeated", lambda: each_second(lambda each: tag(VIDEO, each.at_ms, b"\x17\0\0\0\0" + avcc()))
    ),
    "all_intra": Case("camera", lambda: list(clip("all-intra", (*LOW_LATENCY, "-g", "1")))),
    "varying_frame_rate": Case("screen", thinned, still_s=1.6),
    "picture_twice": Case("phone", twice),
    "audio_bursts_500ms": Case("camera", lambda: bursts(AUDIO, 500)),
    "video_bursts_300ms": Case("phone", lambda: bursts(VIDEO, 300)),
    "audio_late_1s": Case("track behind", lambda: late(AUDIO, 1_000)),
    "video_late_1s": Case("track behind", lambda: late(VIDEO, 1_000)),
    "audio_origin_20000s": Case("clock", lambda: from_another_origin(AUDIO, 20_000_000)),
    "video_origin_3s": Case("clock", lambda: from_another_origin(VIDEO, 3_000)),
    "weighted_8_refs": Case("H.264", lambda: x264("refs-8", "ref=8:weightp=2:bframes=2:keyint=30:scenecut=0")),
    "opus_audio": Case("Enhanced RTMP", with_opus),
    "av1_video": Case("Enhanced RTMP", with_av1),
    "picture_appears": Case(
        "track appears",
        lambda: one_after_the_other(clip("audio-only", ()), clip("base")),
        seconds=10,
        first_s=9,
        file_still_s=6,
    ),
    "reconnect": Case("reconnect", lambda: joined_by_reconnects(clip("base"), clip("base")), still_s=2.5),
    "reconnect_with_sound": Case(
        "reconnect", lambda: joined_by_reconnects(clip("video-only", _PLAIN, ()), clip("base")), still_s=2.5
    ),
    "reconnect_without_sound": Case(
        "reconnect", lambda: joined_by_reconnects(clip("base"), clip("video-only", _PLAIN, ())), still_s=2.5
    ),
    "reconnect_with_picture": Case(
        "reconnect",
        lambda: joined_by_reconnects(clip("audio-only", ()), clip("base")),
        seconds=10,
        first_s=9,
        file_still_s=6,
    ),
    "reconnect_without_picture": Case(
        "reconnect",
        lambda: joined_by_reconnects(clip("base"), clip("audio-only", ())),
        seconds=10,
        counts_pictures=False,
        still_s=3.0,
    ),
    "reconnect_with_other_size": Case(
        "reconnect",
        lambda: joined_by_reconnects(
            clip("base"), clip("rotate", _PLAIN, picture="testsrc2=size=360x640:rate=30"), clip("base")
        ),
        seconds=15,
        still_s=2.5,
    ),
}
