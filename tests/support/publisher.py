"""Synthetic publishers, and a recorder that checks a packager's window like a strict client."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge

from msgspec.structs import replace

from airnode.config.sections.hls import HlsSection
from airnode.media.frames import AudioConfig, Frame, MediaEvent, VideoConfig
from airnode.media.hls.media_store import Found
from airnode.media.hls.window import Pending, Window
from airnode.media.live.feed import LiveFeed
from airnode.media.room.packager import Packager
from airnode.media.samples.findings import Findings
from tests.support import bmff
from tests.support.hls import Media
from tests.support.hls_history import History

AVC_RECORD = bytes.fromhex("0142c01effe1000000")
VIDEO = VideoConfig("avc", AVC_RECORD, "avc1.42c01e", 640, 360, None)
AUDIO = AudioConfig(bytes.fromhex("1190"), "mp4a.40.2", 48000, 2)

Timed = tuple[float, MediaEvent]


def video_frame(dts_ms: int, data: bytes = b"video", *, is_key: bool = False, cts_ms: int = 0) -> Frame:
    """Return a frame as an ingest makes it; `arriving` sets its time of arrival."""
    return Frame("video", dts_ms * 90, cts_ms * 90, data, is_key, 0.0)


def audio_frame(dts_ms: int, data: bytes = b"audio") -> Frame:
    return Frame("audio", dts_ms * 90, 0, data, True, 0.0)


def arriving(event: MediaEvent, unix_s: float) -> MediaEvent:
    """Return the event; a frame arrives at this time."""
    return replace(event, arrived_s=unix_s) if isinstance(event, Frame) else event


def video(
    fps: float, duration_s: float, *, gop: int = 0, start_ms: float = 0.0, size: int = 400, cts_ms: int = 0
) -> Iterator[Timed]:
    """Yield (arrival in s, frame) at a constant rate, with timestamps truncated to milliseconds, as encoders do."""
    gop = gop or max(1, round(fps))
    for index in range(round(fps * duration_s)):
        at_ms = index * 1000 / fps
        data = index.to_bytes(4, "big") * (size // 4)
        yield at_ms / 1000, video_frame(int(start_ms + at_ms), data, is_key=index % gop == 0, cts_ms=cts_ms)


def frames(times_ms: Iterable[int], *, gop_ms: int = 1000, size: int = 400) -> Iterator[Timed]:
    """Yield frames at any times, with a key frame every ``gop_ms``."""
    last_key = None
    for index, at_ms in enumerate(times_ms):
        is_key = last_key is None or at_ms - last_key >= gop_ms
        last_key = at_ms if is_key else last_key
        yield at_ms / 1000, video_frame(at_ms, index.to_bytes(4, "big") * (size // 4), is_key=is_key)


def audio(duration_s: float, *, rate: int = 48000, start_ms: float = 0.0, size: int = 40) -> Iterator[Timed]:
    """Yield AAC frames without a gap."""
    for index in range(int(duration_s * rate / 1024)):
        at_ms = index * 1024_000 / rate
        yield at_ms / 1000, audio_frame(int(start_ms + at_ms), (index | 1 << 31).to_bytes(4, "big") * (size // 4))


def interleave(*tracks: Iterable[Timed]) -> Iterator[Timed]:
    return merge(*tracks, key=lambda timed: timed[0])


@dataclass
class PartSeen:
    data: bytes
    duration_s: float
    independent: bool


@dataclass
class Recorder:
    """Pushes events and checks, after each change, every playlist that a client could see."""

    settings: HlsSection = field(default_factory=HlsSection)
    start_unix_s: float = 1_700_000_000.0
    check_every: bool = True
    live: LiveFeed | None = None
    findings: Findings | None = None

    def __post_init__(self) -> None:
        self.window = Window(segment_count=self.settings.segment_count, low_latency=self.settings.low_latency)
        self.packager = Packager(self.settings, self.window, live=self.live, findings=self.findings)
        self.history = History()
        #: Every part ever listed, by name, and every segment's map and body, in order.
        self.parts: dict[str, PartSeen] = {}
        self.bodies: dict[int, bytes] = {}
        self.maps: dict[int, str] = {}
        self.inits: dict[str, bytes] = {}
        self.discontinuities: set[int] = set()
        self._seen_version = -1
        self._grown = 0
        self.window.add_listener(self.look)

    def configure(self, *configs: MediaEvent) -> "Recorder":
        self.packager.push(configs)
        return self

    def push(self, timed: Iterable[Timed]) -> "Recorder":
        for at_s, event in timed:
            self.packager.push((arriving(event, self.start_unix_s + at_s),))
            self.look()
        return self

    def finish(self) -> "Recorder":
        self.packager.finish()
        self.look()
        return self

    def look(self) -> None:
        """Check the playlists and parts that a client fetches if it reloads after each change."""
        if not self.window.ready or self.window.version == self._seen_version:
            return
        self._seen_version = self.window.version
        before, self._grown = self._grown, self.packager.stats.irregular_parts
        media = self.history.add(self.window.media_playlist(), grown=self._grown > before)
        if media.hint:
            assert self.window.lookup(media.hint) == Pending()
        self._fetch(media)

    def _fetch(self, media: Media) -> None:
        for segment in media.segments:
            if segment.gap:
                found = self.window.lookup(segment.uri)
                assert isinstance(found, Found) and found.size_bytes < 100
                continue
            if segment.discontinuity:
                self.discontinuities.add(segment.msn)
            if segment.msn not in self.bodies:
                self.bodies[segment.msn] = self.body(segment.uri)
                self.maps[segment.msn] = segment.map_uri
                self.inits[segment.map_uri] = self.body(segment.map_uri)
        for segment in (*media.segments, *([media.open_segment] if media.open_segment else [])):
            for part in segment.parts:
                if part.uri not in self.parts:
                    self.parts[part.uri] = PartSeen(self.body(part.uri), part.duration_s, part.independent)

    def body(self, name: str) -> bytes:
        found = self.window.lookup(name)
        assert isinstance(found, Found), name
        return b"".join(found.body)

    def samples(self) -> dict[int, list[bmff.Sample]]:
        """Return all samples of all finished segments, by track."""
        return bmff.samples(b"".join(self.bodies[msn] for msn in sorted(self.bodies)))


def monotonic(samples: list[bmff.Sample]) -> bool:
    """Return whether decode times never overlap."""
    return all(a.time + a.duration <= b.time for a, b in itertools.pairwise(samples))
