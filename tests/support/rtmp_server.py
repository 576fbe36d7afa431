"""An RTMP server of the test process, with an authority and a hub that the test controls."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

from prometheus_client import CollectorRegistry

from airnode.config.sections.rtmp import RtmpSection
from airnode.errors import Conflict
from airnode.media.frames import Frame, IngestEvent, MediaEvent, TrackKind
from airnode.media.rtmp.server import Ingest, PublisherInfo, PublishRefusal, PublishRequest, RtmpServer
from airnode.media.samples.examiner import Examiner
from airnode.media.samples.findings import Findings
from tests.support.rtmp import RtmpPublisher

AVCC = bytes.fromhex("0142c01effe100196742c01eda0280bfe5c044000003000400000300f03c58ba8001000468ce0fc8")
ASC = bytes.fromhex("1190")
NAL = b"\0\0\0\2\x65\x88"
KEY = "sesame-7f3a"


class Room:
    """Stores what one publisher sent."""

    def __init__(self, hub: "Hub", name: str, publisher: PublisherInfo) -> None:
        self.hub = hub
        self.name = name
        self.publisher = publisher
        self.events: list[IngestEvent] = []
        self.received_bytes = 0
        self.needs_audio_at_once = False
        self.closed: list[str] = []
        self._examiner = Examiner(Findings())

    def push(self, events: Sequence[IngestEvent], received_bytes: int) -> None:
        assert not self.closed, "a push after the close"
        self.events += events
        self.received_bytes += received_bytes
        self.hub.changed.set()
        if self.hub.fails_with is not None:
            raise self.hub.fails_with
        self._examiner.examine(events, time.time())

    def close(self, reason: str) -> None:
        self.closed.append(reason)
        self.hub.changed.set()

    def events_of(self, kind: type[MediaEvent]) -> list[MediaEvent]:
        """Return the examined events of one kind."""
        examiner = Examiner(Findings())
        examined = examiner.examine(self.events, 0.0) + examiner.finish()
        return [event for event in examined if isinstance(event, kind)]

    def frames(self, track: TrackKind) -> list[Frame]:
        return [event for event in self.events if isinstance(event, Frame) and event.track == track]


class Hub:
    """Accepts one publisher per room."""

    def __init__(self) -> None:
        self.rooms: list[Room] = []
        self.fails_with: Exception | None = None
        self.changed = asyncio.Event()

    async def wait_for_turn(self, room: str, key: str) -> None:
        """Return at once: nobody has to wait."""

    def open(self, room: str, publisher: PublisherInfo) -> Ingest:
        if any(other.name == room and not other.closed for other in self.rooms):
            raise Conflict("This class is live already.")
        self.rooms.append(Room(self, room, publisher))
        self.changed.set()
        return self.rooms[-1]


class Authority:
    """Accepts one key."""

    def __init__(self) -> None:
        self.requests: list[PublishRequest] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.fails_with: Exception | None = None

    async def authorize(self, request: PublishRequest) -> str | PublishRefusal:
        self.requests.append(request)
        await self.answers.wait()
        if self.fails_with is not None:
            raise self.fails_with
        if request.key != KEY:
            return PublishRefusal("key", "The stream key is wrong.")
        return request.name if request.name != KEY else "stream"


class Rig:
    """A running server with its authority and its hub."""

    def __init__(self, **settings: object) -> None:
        self.registry = CollectorRegistry()
        self.hub = Hub()
        self.authority = Authority()
        section = RtmpSection.model_validate({"port": 0, **settings})
        self.server = RtmpServer(section, "127.0.0.1", self.authority, self.hub, self.registry)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition is true; it is checked after each change in the hub, and every 10 ms."""
        async with asyncio.timeout(20):
            while not condition():
                self.hub.changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.hub.changed.wait(), 0.01)

    async def no_connections(self) -> None:
        await self.until(lambda: self.metric("airnode_rtmp_connections") == 0)

    async def publisher(self, name: str = KEY) -> tuple[RtmpPublisher, int, Room]:
        """Return an accepted publisher, its stream id and its room."""
        peer = await RtmpPublisher.connect(self.server.port)
        stream_id, code = await peer.publish(name)
        assert code == "NetStream.Publish.Start"
        return peer, stream_id, self.hub.rooms[-1]


@contextlib.asynccontextmanager
async def running(**settings: object) -> AsyncIterator[Rig]:
    rig = Rig(**settings)
    await rig.server.start()
    try:
        yield rig
    finally:
        await rig.server.stop()
        assert rig.metric("airnode_rtmp_connections") == 0
        assert rig.metric("airnode_rtmp_publishers") == 0
        assert all(len(room.closed) == 1 for room in rig.hub.rooms)
