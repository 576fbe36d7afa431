"""A good stream as a list of RTMP messages, and functions that change it for the cases."""

import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.flvfile import read_tags
from tests.support.rtmp import chunk

AUDIO, VIDEO, DATA = 8, 9, 18
#: No message: the encoder closes its connection, and publishes again at once.
RECONNECT = -1
CHUNK_SIZE_BYTES = 60_000

#: x264 as a live encoder runs it: one key frame a second, no frame waits for another.
LOW_LATENCY = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-b:v", "600k")
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-b:v", "600k")
EACH_SECOND = ("-g", "30", "-keyint_min", "30", "-sc_threshold", "0")
AAC = ("-c:a", "aac", "-b:a", "64k", "-ar", "48000")


@dataclass(frozen=True)
class Tag:
    """One RTMP message of media or data.

    Attributes:
        at_ms: when it is sent, from the start.
        stamp_ms: its timestamp.
        raw: returns the bytes of the message for a stream id; None: the usual framing.
    """

    kind: int
    at_ms: int
    body: bytes
    stamp_ms: int
    raw: Callable[[int], bytes] | None = None

    @property
    def is_coded(self) -> bool:
        """Whether it is a coded frame, not a configuration."""
        return self.kind in (AUDIO, VIDEO) and len(self.body) > 1 and self.body[1] == 1

    @property
    def is_key(self) -> bool:
        return self.kind == VIDEO and self.is_coded and self.body[0] >> 4 == 1

    def wire(self, stream_id: int) -> bytes:
        if self.raw is not None:
            return self.raw(stream_id)
        if self.kind == RECONNECT:
            return b""
        return chunk(
            self.kind,
            self.body,
            timestamp_ms=self.stamp_ms & 0xFFFFFFFF,
            stream_id=stream_id,
            csid={AUDIO: 4, VIDEO: 6}.get(self.kind, 5),
            chunk_size_bytes=CHUNK_SIZE_BYTES,
        )


Stream = list[Tag]


def tag(kind: int, at_ms: int, body: bytes) -> Tag:
    return Tag(kind, at_ms, body, at_ms)


def raw(at_ms: int, make: bytes | Callable[[int], bytes]) -> Tag:
    """Return a tag of any bytes; ``make``: the bytes, or a function that returns them for a stream id."""
    return Tag(0, at_ms, b"", at_ms, make if callable(make) else lambda _: make)


@cache
def clip_folder() -> Path:
    path = Path(tempfile.gettempdir()) / "airnode-encoder-clips"
    path.mkdir(exist_ok=True)
    return path


_MAKING = threading.Lock()


@cache
def clip(
    name: str,
    video: tuple[str, ...] = LOW_LATENCY + EACH_SECOND,
    audio: tuple[str, ...] = AAC,
    *,
    picture: str = "testsrc2=size=640x360:rate=30",
    seconds: int = 14,
) -> tuple[Tag, ...]:
    """Return the tags of a clip that ffmpeg makes once; an empty ``video`` or ``audio`` leaves the track out."""
    path = clip_folder() / f"{name}-{seconds}.flv"
    with _MAKING:
        if not path.exists():
            part = path.with_suffix(".part.flv")
            command = ["ffmpeg", "-v", "error", "-y"]
            command += ["-f", "lavfi", "-i", picture] if video else []
            command += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"] if audio else []
            subprocess.run([*command, "-t", str(seconds), *video, *audio, str(part)], check=True)
            part.rename(path)
    return tuple(tag(kind, at_ms, bytes(body)) for kind, at_ms, body in read_tags(path))


def base() -> Stream:
    return list(clip("base"))


def nals(data: bytes) -> list[bytes]:
    """Return the NAL units of a body with sizes of four bytes."""
    found, at = [], 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def joined(units: Iterable[bytes]) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def every(
    change: Callable[[bytes], bytes | list[bytes]],
    *,
    kind: int = VIDEO,
    key: bool | None = None,
    only: int | None = None,
    source: Stream | None = None,
) -> Stream:
    """Return a stream with changed bodies of coded frames; a list replaces one message by several.

    Args:
        key: True: change key frames only; False: change the others only.
        only: change only the first such frame from this number on.
    """
    made: Stream = []
    number, done = 0, False
    for each in source if source is not None else base():
        if each.kind != kind or not each.is_coded:
            made.append(each)
            continue
        if not done and (only is None or number >= only) and (key is None or each.is_key == key):
            bodies = change(each.body)
            made += [tag(kind, each.at_ms, body) for body in (bodies if isinstance(bodies, list) else [bodies])]
            done = only is not None
        else:
            made.append(each)
        number += 1
    return made


def configured(change: Callable[[bytes], bytes], *, kind: int = VIDEO) -> Stream:
    """Return the base stream with changed sequence headers of a track."""
    return [
        tag(each.kind, each.at_ms, change(each.body)) if each.kind == kind and each.body[1] == 0 else each
        for each in base()
    ]


def each_second(extra: Callable[[Tag], Tag], *, first_ms: int = 1_000, once: bool = False) -> Stream:
    """Return the base stream with one more message once a second."""
    made: Stream = []
    next_ms = first_ms
    for each in base():
        if each.at_ms >= next_ms:
            made.append(extra(each))
            next_ms = 1 << 40 if once else next_ms + 1_000
        made.append(each)
    return made


def in_order(stream: Iterable[Tag]) -> Stream:
    return sorted(stream, key=lambda each: each.at_ms)


def one_after_the_other(*parts: tuple[Tag, ...], length_ms: int = 5_000) -> Stream:
    """Return the first ``length_ms`` of each clip, one after the other, in one publish."""
    made: Stream = []
    start_ms = 0
    for part in parts:
        taken = [each for each in part if each.at_ms < length_ms and each.kind != DATA]
        made += [tag(each.kind, each.at_ms + start_ms, each.body) for each in taken]
        start_ms += length_ms
    return made


def retimed(stamp_ms: Callable[[Tag], int]) -> Stream:
    """Return the base stream, sent at the same pace with other timestamps."""
    return [Tag(each.kind, each.at_ms, each.body, stamp_ms(each)) for each in base()]


def joined_by_reconnects(*parts: tuple[Tag, ...], length_ms: int = 5_000) -> Stream:
    """Return the first ``length_ms`` of each clip; the encoder publishes each of them anew, with times from 0."""
    made: Stream = []
    for number, part in enumerate(parts):
        start_ms = number * length_ms
        made += [tag(RECONNECT, start_ms, b"")] if number else []
        made += [
            Tag(each.kind, each.at_ms + start_ms, each.body, each.stamp_ms) for each in part if each.at_ms < length_ms
        ]
    return made
