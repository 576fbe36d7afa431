"""Made-up publishers, and a recorder that watches a packager's window as a strict client would."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge

from airnode.config.sections.hls import HlsSection
from airnode.media.cmaf.packager import Packager
from airnode.media.frames import AudioConfig, AudioSample, MediaEvent, VideoConfig, VideoSample
from airnode.media.hls.window import Found, Pending, Window
from tests.support import bmff
from tests.support.hls import History, Media

AVC_RECORD = bytes.fromhex("0142c01effe1000000")
VIDEO = VideoConfig("avc", AVC_RECORD, "avc1.42c01e", 640, 360, None)
AUDIO = AudioConfig(bytes.fromhex("1190"), "mp4a.40.2", 48000, 2)

Timed = tuple[float, MediaEvent]


def video(
    fps: float, duration_s: float, *, gop: int = 0, start_ms: float = 0.0, size: int = 400, cts_ms: int = 0
) -> Iterator[Timed]:
    """(arrival in s, sample): frames at a constant rate, timestamps cut to milliseconds as encoders do."""
    gop = gop or max(1, round(fps))
    for index in range(round(fps * duration_s)):
        at_ms = index * 1000 / fps
        data = index.to_bytes(4, "big") * (size // 4)
        yield at_ms / 1000, VideoSample(int(start_ms + at_ms), cts_ms, index % gop == 0, data)


def frames(times_ms: Iterable[int], *, gop_ms: int = 1000, size: int = 400) -> Iterator[Timed]:
    """Frames at any times, with a key frame whenever ``gop_ms`` have passed."""
    last_key = None
    for index, at_ms in enumerate(times_ms):
        key = last_key is None or at_ms - last_key >= gop_ms
        last_key = at_ms if key else last_key
        yield at_ms / 1000, VideoSample(at_ms, 0, key, index.to_bytes(4, "big") * (size // 4))


def audio(duration_s: float, *, rate: int = 48000, start_ms: float = 0.0, size: int = 40) -> Iterator[Timed]:
    """AAC frames without a hole."""
    for index in range(int(duration_s * rate / 1024)):
        at_ms = index * 1024_000 / rate
        yield at_ms / 1000, AudioSample(int(start_ms + at_ms), (index | 1 << 31).to_bytes(4, "big") * (size // 4))


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

    def __post_init__(self) -> None:
        self.window = Window(segment_count=self.settings.segment_count, low_latency=self.settings.low_latency)
        self.packager = Packager(self.settings, self.window)
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

    def configure(self, *configs: MediaEvent, at_s: float = 0.0) -> "Recorder":
        self.packager.push(configs, self.start_unix_s + at_s)
        return self

    def push(self, timed: Iterable[Timed]) -> "Recorder":
        for at_s, event in timed:
            self.packager.push((event,), self.start_unix_s + at_s)
            self.look()
        return self

    def finish(self, at_s: float = 0.0) -> "Recorder":
        self.packager.finish(self.start_unix_s + at_s)
        self.look()
        return self

    def look(self) -> None:
        """What a client that reloads after every change sees and fetches."""
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
                assert isinstance(found, Found) and found.size < 100
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
        """All samples of all finished segments, by track."""
        return bmff.samples(b"".join(self.bodies[msn] for msn in sorted(self.bodies)))


def monotonic(samples: list[bmff.Sample]) -> bool:
    """Whether decode times never overlap."""
    return all(a.time + a.duration <= b.time for a, b in itertools.pairwise(samples))
