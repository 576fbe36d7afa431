"""A room with a live feed, its own clock, and viewers on memory transports: no sockets, no waiting."""

from struct import unpack_from

from prometheus_client import CollectorRegistry

from airnode.config.sections.hls import HlsSection
from airnode.media.frames import AudioConfig, VideoConfig
from airnode.media.hls.window import Window
from airnode.media.live.feed import Ending, LiveFeed, LiveLimits, LiveMetrics, LiveViewer
from airnode.media.room.packager import Packager
from airnode.media.sent_bytes import SentBytes
from tests.support import livemp4
from tests.support.livemp4 import VIDEO as VIDEO_TRACK
from tests.support.publisher import Timed, arriving, audio, interleave, video

LIMITS = LiveLimits(queue_bytes=1 << 20, queue_fragments=40, stuck_s=5)


class Wire:
    """A transport whose other end reads only while ``reading`` is true."""

    def __init__(self) -> None:
        self.taken = bytearray()
        self.held = 0
        self.reading = True

    def write(self, data: bytes, /) -> None:
        self.taken += data
        self.held = 0 if self.reading else self.held + len(data)

    def get_write_buffer_size(self) -> int:
        return self.held

    def read_all(self) -> None:
        self.held = 0


class Viewer:
    """A viewer with its transport, and the reasons with which it ended."""

    def __init__(self, room: "Room", *, chunked: bool = True) -> None:
        self.wire = Wire()
        self.ended: list[Ending] = []
        self.chunked = chunked
        self.viewer = LiveViewer(self.wire, chunked=chunked, ended=self.ended.append)
        self.room = room
        room.feed.join(self.viewer)

    @property
    def data(self) -> bytes:
        return unframed(bytes(self.wire.taken)) if self.chunked else bytes(self.wire.taken)

    @property
    def stream(self) -> livemp4.Stream:
        return livemp4.read(self.data)

    def frames(self) -> list[int]:
        """Return the numbers of the frames that it got (tests.support.publisher.video writes them into the data)."""
        return [int.from_bytes(sample.data[:4], "big") for sample in self.stream.samples(VIDEO_TRACK)]

    def sequence_numbers(self) -> list[int]:
        """Return those of the movie fragment headers (ISO 14496-12 8.8.5), in order."""
        moofs = [box for kind, box in livemp4.boxes(self.data) if kind == "moof"]
        return [int(unpack_from(">I", moof, 8 + 12)[0]) for moof in moofs]

    def leave(self) -> None:
        self.room.feed.leave(self.viewer)


def unframed(data: bytes) -> bytes:
    """Return the payload of HTTP's chunked coding."""
    found, at = bytearray(), 0
    while at < len(data):
        head = data.index(b"\r\n", at)
        size = int(data[at:head], 16)
        found += data[head + 2 : head + 2 + size]
        assert data[head + 2 + size : head + 4 + size] == b"\r\n"
        at = head + 4 + size
    return bytes(found)


class Room:
    """A packager with a live feed, and a clock."""

    def __init__(self, limits: LiveLimits = LIMITS) -> None:
        self.now_s = 0.0
        self.registry = CollectorRegistry()
        self.feed = LiveFeed(limits, LiveMetrics(self.registry, SentBytes(self.registry).live), lambda: self.now_s)
        self.packager = Packager(HlsSection(), Window(), live=self.feed)

    def configure(self, *configs: VideoConfig | AudioConfig) -> "Room":
        self.packager.push(configs)
        return self

    def push(self, timed: "list[Timed] | object") -> None:
        for at_s, event in timed:  # type: ignore[attr-defined]
            self.now_s = max(self.now_s, at_s)
            self.packager.push((arriving(event, 1_700_000_000 + self.now_s),))

    def metric(self, name: str) -> float:
        return self.registry.get_sample_value(f"airnode_media_live_{name}") or 0.0


def clip(seconds: float = 4.0, **kwargs) -> list[Timed]:
    return list(interleave(video(30, seconds, **kwargs), audio(seconds)))
