"""Streams with intra refresh: viewers of live.mp4 who join late get a picture. ffmpeg decodes what they get."""

import subprocess
from pathlib import Path

import pytest

from airnode.media.frames import CodecRecord, Frame, IngestEvent
from airnode.media.live.lead_in import lead_in
from airnode.media.live.splitter import LiveSplitter
from airnode.media.samples.examiner import Examiner
from airnode.media.samples.findings import Findings
from tests.support.flvfile import read_tags
from tests.support.livefeed import LIMITS, Room, Viewer
from tests.support.livemp4 import VIDEO

pytestmark = pytest.mark.ffmpeg

INTRA_REFRESH = "intra-refresh=1:keyint=30:bframes=0:scenecut=0"
CLOSED = "keyint=30:min-keyint=30:scenecut=0:bframes=0"
OPEN = "open-gop=1:keyint=30:min-keyint=30:scenecut=0:bframes=2"


def x264(path: Path, options: str, *more: str) -> Path:
    source = ["-f", "lavfi", "-i", "testsrc2=size=320x192:rate=30", "-t", "6"]
    codec = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-x264-params", options, *more]
    subprocess.run(["ffmpeg", "-v", "error", *source, *codec, str(path)], check=True)
    return path


def event(at_ms: int, body: bytes) -> IngestEvent:
    if body[1] == 0:
        return CodecRecord("avc", body[5:])
    offset_ms = int.from_bytes(body[2:5], "big", signed=True)
    return Frame("video", at_ms * 90, offset_ms * 90, body[5:], body[0] >> 4 == 1, at_ms / 1000)


class IntraRoom(Room):
    """A room whose publisher sends the pictures of an FLV file."""

    def __init__(self, path: Path) -> None:
        super().__init__(LIMITS)
        self._examiner = Examiner(Findings())
        self._tags = [(at_ms, body) for kind, at_ms, body in read_tags(path) if kind == 9 and body[1] < 2]

    def until(self, until_ms: int) -> None:
        while self._tags and self._tags[0][0] < until_ms:
            at_ms, body = self._tags.pop(0)
            self.now_s = at_ms / 1000
            self.packager.push(self._examiner.examine([event(at_ms, body)], self.now_s))


def decoded(data: bytes, path: Path) -> tuple[int, bytes]:
    """Return (number of pictures, the last one as grey values). Fail if ffmpeg finds a fault."""
    path.write_bytes(data)
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-err_detect",
        "explode",
        "-xerror",
        "-i",
        str(path),
        "-fps_mode",
        "passthrough",
    ]
    done = subprocess.run([*command, "-pix_fmt", "gray", "-f", "rawvideo", "-"], capture_output=True, check=False)
    assert not done.stderr, done.stderr
    return len(done.stdout) // (320 * 192), done.stdout[-320 * 192 :]


@pytest.mark.parametrize("more", [(), ("-profile:v", "baseline"), ("-pix_fmt", "yuv422p")])
def test_a_late_viewer_sees_the_picture_after_one_refresh(tmp_path: Path, more: tuple[str, ...]):
    room = IntraRoom(x264(tmp_path / "clip.flv", INTRA_REFRESH, *more))
    room.until(500)
    first = Viewer(room)
    room.until(2_500)
    late = Viewer(room)
    room.until(6_000)
    assert late.stream.fragments[0].key
    count, picture = decoded(late.data, tmp_path / "late.mp4")
    assert count > 90
    seen, expected = decoded(first.data, tmp_path / "first.mp4")
    assert seen == len(first.stream.samples(VIDEO)) == 180
    different = sum(abs(a - b) > 24 for a, b in zip(picture, expected, strict=True))
    assert different < len(expected) // 50


def test_the_grey_picture_does_not_disturb_the_times(tmp_path: Path):
    room = IntraRoom(x264(tmp_path / "clip.flv", INTRA_REFRESH))
    room.until(2_500)
    samples = Viewer(room).stream.samples(VIDEO)
    assert samples[0].time + samples[0].duration == samples[1].time
    assert (samples[0].sync, samples[1].sync) == (True, True)


@pytest.mark.parametrize(("options", "grey"), [(CLOSED, 0), (OPEN, 1)])
def test_an_open_gop_begins_with_a_grey_picture_and_a_closed_one_does_not(tmp_path: Path, options: str, grey: int):
    room = IntraRoom(x264(tmp_path / "clip.flv", options))
    room.until(500)
    first = Viewer(room)
    room.until(3_300)
    late = Viewer(room)
    in_order = [sample.data for sample in first.stream.samples(VIDEO)]
    is_own = [sample.data not in in_order for sample in late.stream.samples(VIDEO)]
    assert [sum(is_own), sum(is_own[:1])] == [grey, grey]


def test_a_viewer_that_was_slow_gets_it_too(tmp_path: Path):
    room = IntraRoom(x264(tmp_path / "clip.flv", INTRA_REFRESH))
    room.until(500)
    slow = Viewer(room)
    slow.wire.reading = False
    room.until(2_500)
    assert slow.viewer.waits_for_key
    slow.wire.read_all()
    slow.wire.reading = True
    before = len(slow.stream.fragments)
    room.until(6_000)
    grey, refreshed = slow.stream.fragments[before : before + 2]
    assert grey.key
    assert refreshed.key
    assert len(slow.stream.fragments) - before > 60


def test_an_edge_makes_the_same_picture_from_the_fragments(tmp_path: Path):
    room = IntraRoom(x264(tmp_path / "clip.flv", INTRA_REFRESH))
    room.until(500)
    relay = Viewer(room)
    room.until(6_000)
    pieces = LiveSplitter().feed(relay.data)
    keys = [piece.fragment for piece in pieces if piece.fragment is not None and piece.fragment.is_key]
    assert [bool(lead_in(pieces[0].init, key)) for key in keys] == [False] + [True] * (len(keys) - 1)


@pytest.mark.parametrize("cut", [0, 20, 60, 100, 130])
def test_damaged_fragments_get_none(tmp_path: Path, cut: int):
    room = IntraRoom(x264(tmp_path / "clip.flv", INTRA_REFRESH))
    room.until(2_500)
    viewer = Viewer(room, chunked=False)
    piece = [piece for piece in LiveSplitter().feed(viewer.data) if piece.fragment is not None][1]
    assert piece.fragment is not None
    init = viewer.data[: viewer.data.index(b"moof") - 36]
    broken = type(piece.fragment)(b"1\r\n" + piece.fragment.body[:cut] + b"\r\n", True)
    assert lead_in(init, broken) == b""
    assert lead_in(init[: len(init) - cut], piece.fragment) in (b"", lead_in(init, piece.fragment))
