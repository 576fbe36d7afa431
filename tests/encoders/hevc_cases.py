"""Cases of HEVC and AV1: the kinds of ``sample_cases``, in the syntax of these codecs."""

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from tests.encoders.cases import Case
from tests.encoders.device_cases import av1, with_av1
from tests.encoders.stream import AUDIO, VIDEO, Stream, Tag, base, in_order, joined, nals, tag
from tests.support.rtmp import box_body, boxes

_X265 = "keyint=30:min-keyint=30:scenecut=0:bframes=0:log-level=error:repeat-headers=0"
_HEAD_BYTES = 8
_SIZE_BYTES = 3


@cache
def hevc(options: str = _X265) -> tuple[Tag, ...]:
    """Return a clip in Enhanced RTMP, with the sound of the base stream; its pictures have a composition offset."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hevc.mp4"
        source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-t", "14", "-pix_fmt", "yuv420p"]
        video = ["-c:v", "libx265", "-preset", "ultrafast", "-b:v", "400k", "-x265-params", options, "-tag:v", "hvc1"]
        flags = ["-movflags", "+delay_moov+default_base_moof+frag_every_frame"]
        subprocess.run(["ffmpeg", "-v", "error", *source, *video, *flags, str(path)], check=True)
        data = path.read_bytes()
    made = [tag(VIDEO, 0, b"\x90hvc1" + box_body(data, b"hvcC"))]
    for number, frame in enumerate(body for kind, body in boxes(data) if kind == b"mdat"):
        # The pictures of an open GOP are reordered by at most this many frames.
        offset_ms = 0 if "bframes=0" in options else 100
        head = bytes([0x91 if number % 30 == 0 else 0xA1]) + b"hvc1" + offset_ms.to_bytes(3, "big")
        made.append(tag(VIDEO, number * 1000 // 30, head + frame))
    return tuple(in_order([*made, *(each for each in base() if each.kind == AUDIO)]))


def record() -> bytes:
    return next(each.body[5:] for each in hevc() if each.kind == VIDEO and each.body[0] & 0xF == 0)


def parameter_sets() -> list[bytes]:
    """Return the VPS, the SPS and the PPS of the clip."""
    data, pos, found = record(), 23, list[bytes]()
    for _ in range(data[22]):
        count = int.from_bytes(data[pos + 1 : pos + 3], "big")
        pos += 3
        for _ in range(count):
            size = int.from_bytes(data[pos : pos + 2], "big")
            found.append(data[pos + 2 : pos + 2 + size])
            pos += 2 + size
    return [nal for nal in found if nal[0] >> 1 & 0x3F in (32, 33, 34)]


def each_picture(
    change: Callable[[bytes], bytes | list[bytes]],
    *,
    only: int | None = None,
    key: bool = False,
    source: tuple[Tag, ...] | None = None,
) -> Stream:
    """Return the clip with changed pictures; ``change`` gets the NAL units with their sizes.

    Args:
        only: change only the picture with this number.
        key: change key frames only.
    """
    made: Stream = []
    number = 0
    for each in source or hevc():
        if each.kind == VIDEO and each.body[0] & 0xF == 1:
            number += 1
            if (only is None or number == only) and (not key or each.body[0] >> 4 == 9):
                bodies = change(each.body[_HEAD_BYTES:])
                bodies = bodies if isinstance(bodies, list) else [bodies]
                made += [tag(VIDEO, each.at_ms, each.body[:_HEAD_BYTES] + body) for body in bodies]
                continue
        made.append(each)
    return made


def with_units(before: list[bytes], behind: list[bytes]) -> Stream:
    return each_picture(lambda data: joined([*before, *nals(data), *behind]))


def without_record() -> tuple[Tag, ...]:
    return tuple(each for each in hevc() if each.kind != VIDEO or each.body[0] & 0xF)


def legacy() -> Stream:
    """Return the clip as codec id 12, as encoders sent it before Enhanced RTMP."""
    made: Stream = []
    for each in hevc():
        if each.kind == VIDEO and each.body[0] & 0xF in (0, 1):
            head = bytes([each.body[0] & 0x70 | 12, each.body[0] & 0xF])
            rest = bytes(3) + each.body[5:] if each.body[0] & 0xF == 0 else each.body[5:]
            each = tag(VIDEO, each.at_ms, head + rest)
        made.append(each)
    return made


def changed_record(change: Callable[[bytes], bytes]) -> Stream:
    return [
        tag(VIDEO, each.at_ms, each.body[:5] + change(each.body[5:])) if _is_record(each) else each for each in hevc()
    ]


def _is_record(each: Tag) -> bool:
    return each.kind == VIDEO and each.body[0] & 0xF == 0


def annex_b(data: bytes) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in nals(data))


def each_unit_alone(data: bytes) -> list[bytes]:
    return [joined([unit]) for unit in nals(data)]


# ---- AV1


def each_unit(change: Callable[[bytes], bytes | list[bytes]], *, only: int | None = None) -> Stream:
    """Return the AV1 clip with changed temporal units."""
    made: Stream = []
    for number, each in enumerate(av1()):
        if each.body[0] & 0xF == 1 and (only is None or number == only):
            bodies = change(each.body[5:])
            bodies = bodies if isinstance(bodies, list) else [bodies]
            made += [tag(VIDEO, each.at_ms, each.body[:5] + body) for body in bodies]
        else:
            made.append(each)
    return in_order([*made, *(each for each in base() if each.kind == AUDIO)])


def without_av1c() -> Stream:
    return [each for each in with_av1() if each.kind != VIDEO or each.body[0] & 0xF]


_DELIMITER = b"\x12\x00"
_PADDING = b"\x7a\x03\x00\x00\x80"
_OPEN_GOP = f"{_X265}:open-gop=1".replace("bframes=0", "bframes=3:b-adapt=0")

CASES = {
    "hevc": Case("HEVC", lambda: list(hevc())),
    "hevc_codec_id_12": Case("HEVC", legacy),
    "hevc_zero_nal_each": Case("HEVC samples", lambda: each_picture(lambda d: bytes(4) + d + bytes(4))),
    "hevc_trailing_zero": Case("HEVC samples", lambda: each_picture(lambda d: d + bytes(3))),
    "hevc_annexb": Case("HEVC samples", lambda: each_picture(annex_b)),
    "hevc_truncated": Case("HEVC samples", lambda: each_picture(lambda d: d[: len(d) // 2], only=100), still_s=1.6),
    "hevc_overrun": Case("HEVC samples", lambda: each_picture(lambda d: b"\xff" * 4 + d[4:], only=100), still_s=1.6),
    "hevc_delimiter_only": Case("HEVC samples", lambda: each_picture(lambda d: [joined([b"\x46\1\x50"]), d], only=100)),
    "hevc_units_alone": Case("HEVC samples", lambda: each_picture(each_unit_alone)),
    "hevc_sets_each_frame": Case("HEVC samples", lambda: with_units(parameter_sets(), [])),
    "hevc_odd_types": Case(
        "HEVC samples", lambda: with_units([bytes([kind << 1, 1, 2]) for kind in (41, 44, 48, 50)], [b"\x50\1\1\2\x80"])
    ),
    "hevc_layer_1": Case(
        "HEVC samples", lambda: each_picture(lambda d: d + joined([bytes([u[0], u[1] | 8]) + u[2:] for u in nals(d)]))
    ),
    "hevc_no_hvcc_in_band": Case(
        "HEVC configuration",
        lambda: each_picture(lambda d: joined(parameter_sets()) + d, key=True, source=without_record()),
    ),
    "hevc_hvcc_version_0": Case("HEVC configuration", lambda: changed_record(lambda r: b"\0" + r[1:])),
    "hevc_hvcc_profile_0": Case("HEVC configuration", lambda: changed_record(lambda r: b"\1" + bytes(12) + r[13:])),
    "hevc_hvcc_as_frame": Case("HEVC configuration", lambda: each_picture(lambda d: [record(), d], only=100)),
    "hevc_hvcc_no_vps": Case(
        "HEVC configuration",
        lambda: each_picture(
            lambda d: joined(parameter_sets()) + d, key=True, source=tuple(changed_record(_without_vps))
        ),
    ),
    "hevc_open_gop": Case("HEVC open GOP", lambda: list(hevc(_OPEN_GOP)), late_s=3.3),
    "av1_delimiters": Case("AV1 samples", lambda: each_unit(lambda d: _DELIMITER + d)),
    "av1_padding": Case("AV1 samples", lambda: each_unit(lambda d: d + _PADDING)),
    "av1_trailing_zeros": Case("AV1 samples", lambda: each_unit(lambda d: d + bytes(3))),
    "av1_truncated": Case("AV1 samples", lambda: each_unit(lambda d: d[: len(d) // 2], only=100), still_s=1.6),
    "av1_no_size_at_end": Case("AV1 samples", lambda: each_unit(_without_last_size)),
    "av1_no_av1c": Case("AV1 configuration", without_av1c, said="config_in_band"),
    "av1_av1c_without_header": Case(
        "AV1 configuration",
        lambda: [tag(VIDEO, e.at_ms, e.body[:9]) if e.body[:5] == b"\x90av01" else e for e in with_av1()],
    ),
}
CASES |= {name: replace(case, in_browser=False) for name, case in CASES.items() if name.startswith("hevc")}


def _without_vps(data: bytes) -> bytes:
    sets = parameter_sets()[1:]
    arrays = b"".join(bytes([0x80 | s[0] >> 1, 0, 1]) + len(s).to_bytes(2, "big") + s for s in sets)
    return data[:22] + bytes([len(sets)]) + arrays


def _without_last_size(data: bytes) -> bytes:
    """Return a temporal unit whose last OBU has no size, as WebRTC and the RTP form have it."""
    pos = 0
    while True:
        begin, size, shift = pos + 1, 0, 0
        while True:
            byte = data[begin]
            size |= (byte & 0x7F) << shift
            shift, begin = shift + 7, begin + 1
            if byte < 0x80:
                break
        if begin + size >= len(data):
            return data[:pos] + bytes([data[pos] & ~2]) + data[begin:]
        pos = begin + size
