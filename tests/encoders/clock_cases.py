"""More cases of timestamps, composition offsets, metadata, tags and changes of codec."""

import struct
from collections.abc import Callable

from tests.encoders.cases import Case
from tests.encoders.device_cases import av1, opus
from tests.encoders.media_cases import x264
from tests.encoders.protocol_cases import enhanced_avc, metadata, number, text
from tests.encoders.stream import (
    AUDIO,
    DATA,
    EACH_SECOND,
    LOW_LATENCY,
    RECONNECT,
    VIDEO,
    Stream,
    Tag,
    base,
    clip,
    each_second,
    in_order,
    retimed,
    tag,
)

_PLAIN = (*LOW_LATENCY, *EACH_SECOND)
_B_FRAMES = "bframes=3:b-adapt=0:keyint=30:scenecut=0"


def restamped(stream: Stream, stamp_ms: Callable[[Tag], int]) -> Stream:
    return [Tag(each.kind, each.at_ms, each.body, stamp_ms(each)) for each in stream]


def with_offsets(change: Callable[[int, int], int]) -> Stream:
    """Return a stream with B-frames; ``change`` returns the composition offset for (its number, the right offset)."""
    made: Stream = []
    count = 0
    for each in x264("b-frames", _B_FRAMES):
        if each.kind == VIDEO and each.is_coded:
            offset_ms = change(count, int.from_bytes(each.body[2:5], "big", signed=True))
            each = tag(VIDEO, each.at_ms, each.body[:2] + offset_ms.to_bytes(3, "big", signed=True) + each.body[5:])
            count += 1
        made.append(each)
    return made


def stamped_in_groups(count: int) -> Stream:
    """Return the base stream; this many audio frames in a row have the timestamp of the first of them."""
    made: Stream = []
    number, first_ms = 0, 0
    for each in base():
        if each.kind == AUDIO and each.is_coded:
            first_ms = each.at_ms if number % count == 0 else first_ms
            each = Tag(AUDIO, each.at_ms, each.body, first_ms)
            number += 1
        made.append(each)
    return made


def announced(**values: float) -> Stream:
    """Return the base stream with other metadata."""
    body = b"\x02" + text("@setDataFrame") + b"\x02" + text("onMetaData") + b"\x08" + struct.pack(">I", len(values))
    body += b"".join(text(name) + number(value) for name, value in values.items()) + b"\0\0\x09"
    return [tag(DATA, each.at_ms, body) if each.kind == DATA else each for each in base()]


def framed(frame_type: int) -> Stream:
    """Return the base stream with another frame type in the tags of all pictures that are no key frames."""
    return [
        tag(VIDEO, each.at_ms, bytes([frame_type << 4 | 7]) + each.body[1:])
        if each.kind == VIDEO and each.is_coded and not each.is_key
        else each
        for each in base()
    ]


def many_tracks(kind: int, *, own_codecs: bool) -> Stream:
    """Return the base stream; each message of one kind has two tracks, of which track 0 is the second one."""
    made: Stream = []
    for each in base():
        if each.kind != kind:
            made.append(each)
            continue
        is_video = kind == VIDEO
        fourcc = b"avc1" if is_video else b"mp4a"
        packet = each.body[1] & 15
        body = each.body[(5 if packet == 0 else 2) if is_video else 2 :]
        head = bytes([0x80 | each.body[0] & 0x70 | 6 if is_video else 0x95, (0x20 if own_codecs else 0x10) | packet])
        parts = b"" if own_codecs else fourcc
        for track in (1, 0):
            parts += (fourcc if own_codecs else b"") + bytes([track]) + len(body).to_bytes(3, "big") + body
        made.append(tag(kind, each.at_ms, head + parts))
    return made


def modified(body: bytes) -> bytes:
    """Return an Enhanced RTMP message with a timestamp offset in nanoseconds (ModEx)."""
    enhanced = enhanced_avc(body)
    return bytes([enhanced[0] & 0xF0 | 7, 2, 0, 0, 1, enhanced[0] & 0xF]) + enhanced[1:]


def changes_to_av1(*, reconnects: bool) -> Stream:
    """Return a stream that changes from H.264 to AV1 after 5 s."""
    made = [each for each in base() if each.at_ms < 5_000 or each.kind == AUDIO]
    made += [Tag(VIDEO, each.at_ms + 5_000, each.body, each.at_ms + 5_000) for each in av1()]
    made = in_order(made)
    if reconnects:
        head = next(each for each in base() if each.kind == AUDIO)
        at = next(index for index, each in enumerate(made) if each.at_ms >= 5_000)
        made[at:at] = [tag(RECONNECT, 5_000, b""), tag(AUDIO, 5_000, head.body)]
    return made


def changes_to_opus() -> Stream:
    sound = [each for each in base() if each.kind == AUDIO and each.at_ms < 5_000]
    sound += [tag(AUDIO, each.at_ms + 5_000, each.body) for each in opus()]
    return in_order([*(each for each in base() if each.kind != AUDIO), *sound])


def aggregates() -> Stream:
    """Return the base stream with two tags in each aggregate message (type 22)."""
    made: Stream = []
    tags = base()
    for at in range(0, len(tags) - 1, 2):
        body = b"".join(
            bytes([each.kind])
            + len(each.body).to_bytes(3, "big")
            + (each.at_ms & 0xFFFFFF).to_bytes(3, "big")
            + bytes([each.at_ms >> 24])
            + bytes(3)
            + each.body
            + (11 + len(each.body)).to_bytes(4, "big")
            for each in tags[at : at + 2]
        )
        made.append(Tag(22, tags[at].at_ms, body, tags[at].at_ms))
    return made


CASES = {
    "stamps_begin_negative": Case(
        "clock", lambda: restamped(x264("b-frames", _B_FRAMES), lambda e: e.at_ms - 100 if e.kind == VIDEO else e.at_ms)
    ),
    "stamps_back_to_0": Case(
        "clock", lambda: retimed(lambda e: e.at_ms if e.at_ms < 5_000 else e.at_ms - 5_000), still_s=1.6
    ),
    "stamps_back_to_0_video": Case(
        "clock",
        lambda: retimed(lambda e: e.at_ms if e.at_ms < 5_000 or e.kind != VIDEO else e.at_ms - 5_000),
        still_s=1.6,
    ),
    "stamps_back_to_0_each_3s": Case("clock", lambda: retimed(lambda e: e.at_ms % 3_000), still_s=1.6),
    "stamps_jump_1h": Case(
        "clock", lambda: retimed(lambda e: e.at_ms + (3_600_000 if e.at_ms > 5_000 else 0)), still_s=1.6
    ),
    "stamps_jump_1h_audio": Case(
        "clock",
        lambda: retimed(lambda e: e.at_ms + (3_600_000 if e.at_ms > 5_000 and e.kind == AUDIO else 0)),
        still_s=1.6,
    ),
    "stamps_jump_1500ms": Case(
        "clock", lambda: retimed(lambda e: e.at_ms + (1_500 if e.at_ms > 5_000 else 0)), still_s=2.2
    ),
    "stamps_wrap_at_24_bits": Case(
        "clock", lambda: retimed(lambda e: (e.at_ms + (1 << 24) - 4_000) % (1 << 24)), still_s=1.6
    ),
    "stamps_wrap_at_31_bits": Case(
        "clock", lambda: retimed(lambda e: (e.at_ms + (1 << 31) - 4_000) % (1 << 31)), still_s=1.6
    ),
    "stamps_pass_24_bits": Case("clock", lambda: retimed(lambda e: e.at_ms + (1 << 24) - 4_000)),
    "stamps_in_seconds": Case("clock", lambda: retimed(lambda e: e.at_ms // 1_000), still_s=1.6),
    "stamps_in_90_khz": Case("clock", lambda: retimed(lambda e: e.at_ms * 90), still_s=2.5),
    "stamps_in_microseconds": Case("clock", lambda: retimed(lambda e: e.at_ms * 1_000), still_s=2.5),
    "stamps_half_speed": Case("clock", lambda: retimed(lambda e: e.at_ms // 2), still_s=3.5, said="clock_speed"),
    "stamps_of_unix_time": Case("clock", lambda: retimed(lambda e: e.at_ms + 1_800_000_000_000)),
    "stamps_to_100ms": Case("clock", lambda: retimed(lambda e: e.at_ms // 100 * 100)),
    "audio_stamps_in_fours": Case("clock", lambda: stamped_in_groups(4)),
    "audio_stamps_in_twelves": Case("clock", lambda: stamped_in_groups(12)),
    "audio_stamps_zero": Case("clock", lambda: retimed(lambda e: 0 if e.kind == AUDIO else e.at_ms)),
    "video_stamps_zero": Case("clock", lambda: retimed(lambda e: 0 if e.kind == VIDEO else e.at_ms), still_s=1.6),
    "jitter_80ms": Case("clock", lambda: retimed(lambda e: e.at_ms + (e.at_ms * 7919) % 80)),
    "offsets_zero": Case("composition offset", lambda: with_offsets(lambda _, right: 0)),
    "offsets_negative": Case("composition offset", lambda: with_offsets(lambda _, right: right - 100)),
    "offsets_odd_each_20th": Case(
        "composition offset", lambda: with_offsets(lambda n, right: 8_000_000 if n % 20 == 7 else right)
    ),
    "offsets_random": Case("composition offset", lambda: with_offsets(lambda n, right: (n * 7919) % 3_000)),
    "metadata_frame_rate_1": Case(
        "odd metadata", lambda: announced(width=640, height=360, framerate=1, audiocodecid=10)
    ),
    "metadata_frame_rate_1000": Case(
        "odd metadata", lambda: announced(width=0, height=-5, framerate=1000, videodatarate=float("nan"))
    ),
    "metadata_other_size_each_second": Case(
        "odd metadata",
        lambda: each_second(lambda e: tag(DATA, e.at_ms, metadata().replace(b"\x40\x84", b"\x40\x94", 1))),
    ),
    "metadata_after_5s": Case(
        "odd metadata", lambda: in_order(tag(DATA, 5_000, e.body) if e.kind == DATA else e for e in base())
    ),
    "frame_type_0": Case("odd tag", lambda: framed(0)),
    "frame_type_3": Case("odd tag", lambda: framed(3)),
    "frame_type_4": Case("odd tag", lambda: framed(4)),
    "frame_type_7": Case("odd tag", lambda: framed(7)),
    "enhanced_mod_ex": Case(
        "Enhanced RTMP", lambda: [tag(VIDEO, e.at_ms, modified(e.body)) if e.kind == VIDEO else e for e in base()]
    ),
    "enhanced_packet_type_9": Case(
        "Enhanced RTMP", lambda: each_second(lambda e: tag(VIDEO, e.at_ms, b"\xd9avc1abcd"))
    ),
    "enhanced_codec_unknown_once": Case(
        "Enhanced RTMP", lambda: each_second(lambda e: tag(VIDEO, e.at_ms, b"\x91zzzzabcd"), once=True)
    ),
    "enhanced_audio": Case(
        "Enhanced RTMP",
        lambda: [
            tag(AUDIO, e.at_ms, bytes([0x90 | e.body[1]]) + b"mp4a" + e.body[2:]) if e.kind == AUDIO else e
            for e in base()
        ],
    ),
    "enhanced_audio_layout": Case("Enhanced RTMP", lambda: each_second(lambda e: tag(AUDIO, e.at_ms, b"\x94mp4a\0\1"))),
    "many_tracks_video": Case("second track", lambda: many_tracks(VIDEO, own_codecs=False)),
    "many_tracks_audio": Case("second track", lambda: many_tracks(AUDIO, own_codecs=False)),
    "many_tracks_own_codecs": Case("second track", lambda: many_tracks(VIDEO, own_codecs=True)),
    # The download shows the picture up to the change; the studio says so.
    "avc_to_av1": Case(
        "change of codec", lambda: changes_to_av1(reconnects=False), still_s=3, file_still_s=20, said="codec_changed"
    ),
    "avc_to_av1_reconnect": Case(
        "change of codec", lambda: changes_to_av1(reconnects=True), still_s=3, file_still_s=20, said="codec_changed"
    ),
    "aac_to_opus": Case("change of codec", changes_to_opus, still_s=3),
    "aggregates": Case("aggregate", aggregates),
    "slides_1_in_3s": Case(
        "frame rate",
        lambda: [
            e
            for e in clip("all-intra", (*LOW_LATENCY, "-g", "1"))
            if e.kind != VIDEO or not e.is_coded or e.at_ms % 3_000 < 34
        ],
        counts_pictures=False,
        first_s=7,
        still_s=4.5,
    ),
    "slides_1_in_3s_no_sound": Case(
        "frame rate",
        lambda: [
            e
            for e in clip("all-intra", (*LOW_LATENCY, "-g", "1"))
            if (e.kind == VIDEO and (not e.is_coded or e.at_ms % 3_000 < 34)) or e.kind == DATA
        ],
        counts_pictures=False,
        first_s=8,
        still_s=4.5,
    ),
}
