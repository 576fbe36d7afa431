"""Cases of media: tracks that come and go, groups of pictures, clocks, sizes."""

from collections.abc import Callable

from tests.encoders.cases import Case
from tests.encoders.stream import (
    AUDIO,
    DATA,
    EACH_SECOND,
    LOW_LATENCY,
    VIDEO,
    X264,
    Stream,
    Tag,
    base,
    clip,
    in_order,
    one_after_the_other,
    retimed,
    tag,
)

_PLAIN = (*LOW_LATENCY, *EACH_SECOND)


def x264(name: str, options: str, *more: str, seconds: int = 14) -> Stream:
    return list(clip(name, (*X264, *more, "-x264-params", options), seconds=seconds))


def without(kind: int, from_ms: int, until_ms: int = 1 << 40) -> Stream:
    """Return the base stream without the coded frames of one track for a while; its header stays."""
    return [each for each in base() if not (each.kind == kind and each.is_coded and from_ms <= each.at_ms < until_ms)]


def drifting(ppm: int) -> Stream:
    """Return the base stream as from a sound card whose clock differs from the camera's."""
    return in_order(
        tag(AUDIO, int(each.at_ms * (1 + ppm / 1e6)), each.body) if each.kind == AUDIO else each for each in base()
    )


def with_offset(offset_ms: int, *, only: int | None = None) -> Stream:
    """Return the base stream with this composition offset in all frames, or in one."""
    made, number = [], 0
    for each in base():
        if each.kind == VIDEO and each.is_coded:
            number += 1
            if only is None or number == only:
                each = tag(VIDEO, each.at_ms, each.body[:2] + offset_ms.to_bytes(3, "big", signed=True) + each.body[5:])
        made.append(each)
    return made


def one_key_frame() -> Stream:
    return list(clip("one-key", (*LOW_LATENCY, "-g", "9999", "-keyint_min", "9999", "-sc_threshold", "0")))


def flagged(change: Callable[[Tag], bool]) -> Stream:
    """Return the base stream with other key frame flags in its tags; the pictures do not change."""
    return [
        tag(VIDEO, each.at_ms, bytes([0x17 if change(each) else 0x27]) + each.body[1:])
        if each.kind == VIDEO and each.is_coded
        else each
        for each in base()
    ]


def sized(name: str, size: str) -> tuple[Tag, ...]:
    return clip(name, _PLAIN, picture=f"testsrc2=size={size}:rate=30")


def pictured(name: str, rate: int, group: int) -> Stream:
    options = (*LOW_LATENCY, "-g", str(group))
    return list(clip(name, options, picture=f"testsrc2=size=640x360:rate={rate}"))


def sounding(name: str, *options: str) -> Stream:
    return list(clip(name, _PLAIN, options))


CASES = {
    "baseline": Case("good stream", base),
    "announced_audio_never": Case("sound announced, never sent", lambda: without(AUDIO, 0)),
    "announced_audio_no_header": Case(
        "sound announced, never sent", lambda: [each for each in base() if each.kind != AUDIO]
    ),
    "one_audio_frame_only": Case("sound stops", lambda: without(AUDIO, 40)),
    "audio_from_1200ms": Case("sound late", lambda: without(AUDIO, 0, 1_200)),
    "mute_from_start_then_sound": Case("sound late", lambda: without(AUDIO, 0, 6_000)),
    "mute_3s": Case("sound stops", lambda: without(AUDIO, 4_000, 7_000)),
    "mute_forever": Case("sound stops", lambda: without(AUDIO, 4_000)),
    "mute_forever_late": Case("sound stops", lambda: without(AUDIO, 2_000), late_s=5, seconds=10),
    "freeze_video_3s": Case("picture stops", lambda: without(VIDEO, 4_000, 7_000), still_s=4.5),
    "freeze_video_forever": Case("picture stops", lambda: without(VIDEO, 4_000), counts_pictures=False),
    "announced_video_never": Case("picture stops", lambda: without(VIDEO, 0), counts_pictures=False, first_s=6),
    "pause_3s": Case(
        "both stop", lambda: [each for each in base() if not 4_000 <= each.at_ms < 7_000], still_s=4.5, seconds=14
    ),
    "audio_only": Case("one track", lambda: list(clip("audio-only", ()))),
    "video_only": Case("one track", lambda: list(clip("video-only", _PLAIN, ()))),
    "open_gop_late": Case(
        "open GOP", lambda: x264("open-gop", "open-gop=1:bframes=3:keyint=60:min-keyint=60:scenecut=0"), late_s=3.3
    ),
    **{
        f"open_gop_late_{late_s:.0f}s": Case(
            "open GOP",
            lambda: x264("open-gop", "open-gop=1:bframes=3:keyint=60:min-keyint=60:scenecut=0"),
            late_s=late_s,
            seconds=late_s + 5,
        )
        for late_s in (1.3, 5.3, 7.3, 8.3)
    },
    "intra_refresh_late": Case(
        "intra refresh",
        lambda: x264("intra-refresh", "intra-refresh=1:keyint=60:bframes=0:scenecut=0"),
        late_s=3.3,
    ),
    "gop_10s_late": Case(
        "long GOP",
        lambda: list(clip("gop-10s", (*LOW_LATENCY, "-g", "300", "-keyint_min", "300"))),
        late_s=5,
        seconds=10,
        said="key_frames",
        hidden_in=("HLS",),
    ),
    "one_key_frame": Case("one key frame", one_key_frame, said="key_frames", hidden_in=("HLS",)),
    "all_frames_flagged_key": Case("key frame flags", lambda: flagged(lambda _: True), late_s=1.5),
    "no_frame_flagged_key": Case("key frame flags", lambda: flagged(lambda _: False)),
    "b_pyramid": Case("B-frames", lambda: x264("b-pyramid", "b-pyramid=normal:bframes=5:b-adapt=0", *EACH_SECOND)),
    "rotate": Case(
        "change of size",
        lambda: one_after_the_other(clip("base"), sized("rotate", "360x640"), clip("base")),
        seconds=14,
    ),
    "size_up": Case(
        "change of size", lambda: one_after_the_other(clip("base"), sized("720p", "1280x720"), clip("base")), seconds=14
    ),
    "profile_change": Case(
        "change of profile",
        lambda: one_after_the_other(
            clip("base"), clip("main", (*X264, "-profile:v", "main", "-bf", "0", *EACH_SECOND)), clip("base")
        ),
        seconds=14,
        still_s=2.0,
    ),
    "audio_rate_change": Case(
        "change of sound",
        lambda: one_after_the_other(
            clip("base"), clip("a44", _PLAIN, ("-c:a", "aac", "-ar", "44100", "-ac", "2")), clip("base")
        ),
        seconds=14,
        still_s=2.0,
    ),
    "audio_appears": Case(
        "track appears",
        lambda: one_after_the_other(clip("video-only", _PLAIN, ()), clip("base")),
        still_s=2.0,
    ),
    "fps_5": Case("frame rate", lambda: pictured("fps-5", 5, 10)),
    "fps_1_slides": Case("frame rate", lambda: pictured("fps-1", 1, 2), first_s=6, still_s=2.5),
    "fps_60": Case("frame rate", lambda: pictured("fps-60", 60, 60)),
    "all_timestamps_zero": Case("clock", lambda: retimed(lambda _: 0)),
    "not_monotonic": Case(
        "clock",
        lambda: retimed(
            lambda each: (
                each.at_ms - 40
                if each.kind == VIDEO and (each.at_ms // 33) % 4 == 3 and each.at_ms > 100
                else each.at_ms + 100
            )
        ),
    ),
    "wraps_at_32_bits": Case("clock", lambda: retimed(lambda each: each.at_ms + (1 << 32) - 4_000)),
    "drift_3000ppm": Case("clock", lambda: drifting(3_000)),
    "drift_minus_3000ppm": Case("clock", lambda: drifting(-3_000)),
    "audio_ahead_1s": Case(
        "clock",
        lambda: in_order(tag(VIDEO, each.at_ms + 1_000, each.body) if each.kind == VIDEO else each for each in base()),
    ),
    "offset_60s_all": Case("composition offset", lambda: with_offset(60_000)),
    "offset_60s_once": Case("composition offset", lambda: with_offset(60_000, only=100)),
    "offset_minus_5s_once": Case("composition offset", lambda: with_offset(-5_000, only=100)),
    "aac_22050_mono": Case("AAC", lambda: sounding("a22", "-c:a", "aac", "-ar", "22050", "-ac", "1")),
    "aac_8000_mono": Case("AAC", lambda: sounding("a8", "-c:a", "aac", "-ar", "8000", "-ac", "1")),
    "aac_96000": Case("AAC", lambda: sounding("a96", "-c:a", "aac", "-ar", "96000", "-ac", "2")),
    "aac_5_1": Case("AAC", lambda: sounding("a51", "-c:a", "aac", "-ac", "6")),
    "high_10": Case(
        "H.264 profile", lambda: list(clip("high10", (*_PLAIN, "-pix_fmt", "yuv420p10le", "-profile:v", "high10")))
    ),
    "interlaced": Case("H.264", lambda: x264("interlaced", "interlaced=1:keyint=30", "-flags", "+ilme+ildct")),
    "odd_size": Case("H.264", lambda: list(clip("odd-size", _PLAIN, picture="testsrc2=size=642x362:rate=30"))),
    "four_slices": Case(
        "H.264",
        lambda: x264("slices", "slices=4:aud=1:nal-hrd=cbr:vbv-maxrate=600:vbv-bufsize=600:keyint=30"),
    ),
    "no_metadata_video_only": Case(
        "one track", lambda: [each for each in clip("video-only", _PLAIN, ()) if each.kind != DATA]
    ),
}
