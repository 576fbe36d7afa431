"""The publishers of MediaMTX, and the rooms that receive their media.

::

    listed ──▶ admitted ──▶ live ──no bytes for a while──▶ silent ──bytes──▶ live
      │ not by this airnode,  │                              │ for too long
      ▼ or cannot be played   ▼ gone from the list           ▼
    kicked                  ended                          kicked

MediaMTX still lists a publisher for up to 31 s after it has vanished (WHIP). While a publisher is silent, its room is
reconnecting.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from airnode.errors import AirnodeError
from airnode.kernel.tasks import TaskScope
from airnode.media.frames import IngestEvent, StreamMetadata
from airnode.media.mediamtx.api import MediaMtxMetrics, PublishedPath
from airnode.media.mediamtx.authorizer import MediaMtxAuthorizer, PublishGrant
from airnode.media.mediamtx.kicks import Kicks
from airnode.media.mediamtx.reader import Push
from airnode.media.mediamtx.tracks import TrackReport, report_tracks
from airnode.media.room.rooms import RoomIngest, Rooms
from airnode.media.rtmp.publishing import PublisherInfo

log = structlog.get_logger(__name__)

#: Times without media after which a publisher counts as silent, and after which it is kicked.
SILENT_S, KICK_SILENT_S = 3.0, 30.0
#: Interval of reports about sound that cannot be played. It is shorter than the time for which the studio shows one.
_REMARK_EVERY_S = 20.0

#: Reads a path until it is cancelled. Its errors end the publisher.
ReadPath = Callable[[str, str, Push], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Publisher:
    """An admitted publisher.

    Attributes:
        received_bytes: bytes of media so far; the number last grew at ``received_at_s`` (loop time).
        ingest, reading: None while the publisher is silent.
    """

    path: PublishedPath
    grant: PublishGrant
    report: TrackReport
    received_bytes: int
    received_at_s: float
    ingest: RoomIngest | None = None
    reading: asyncio.Task[None] | None = None
    remarked_at_s: float = float("-inf")


class Publishers:
    """Reads the publishers that MediaMTX lists into this node's rooms.

    Args:
        read: see :data:`ReadPath`; its arguments are the path, the room and the function that receives the media.
    """

    def __init__(
        self,
        rooms: Rooms,
        authorizer: MediaMtxAuthorizer,
        kicks: Kicks,
        metrics: MediaMtxMetrics,
        tasks: TaskScope,
        *,
        read: ReadPath,
    ) -> None:
        self._rooms = rooms
        self._authorizer = authorizer
        self._kicks = kicks
        self._metrics = metrics
        self._tasks = tasks
        self._read = read
        #: {path: publisher}.
        self._publishers: dict[str, _Publisher] = {}

    def __len__(self) -> int:
        return len(self._publishers)

    def update(self, paths: Sequence[PublishedPath]) -> None:
        """Start to read new publishers, and end those that are no longer listed."""
        sources = {path.name: path.source for path in paths}
        self._kicks.update(sources.values())
        for name, publisher in list(self._publishers.items()):
            if sources.get(name) != publisher.path.source:
                self._end(publisher, "the publisher has gone")
        for path in paths:
            if (current := self._publishers.get(path.name)) is not None:
                self._watch(current, path.received_bytes)
            elif path.source not in self._kicks:
                self._admit(path, self._authorizer.take(path.name))
        self._metrics.publishers.set(len(self._publishers))

    def end_all(self, reason: str) -> None:
        for publisher in list(self._publishers.values()):
            self._end(publisher, reason)

    def _admit(self, path: PublishedPath, grant: PublishGrant | None) -> None:
        if grant is None:
            # The publisher was admitted before this process started, or too long ago: it must connect again.
            self._kicks.kick(path.source, "", "it was not let in by this airnode")
            return
        publisher = _Publisher(path, grant, report_tracks(path.tracks), path.received_bytes, self._rooms.now_s())
        if self._open(publisher):
            self._publishers[path.name] = publisher
            log.info(
                "mediamtx_publish_started",
                room=grant.room,
                remote=grant.remote,
                protocol=path.source.protocol,
                tracks=path.tracks,
                left_out=[each.codec for each in publisher.report.refused],
            )

    def _open(self, publisher: _Publisher) -> bool:
        """Return whether the room accepts the publisher: if so, start to read it; if not, kick it."""
        path, grant = publisher.path, publisher.grant

        def disconnect(reason: str) -> None:
            self._kick(publisher, reason)

        secure = path.source.type in ("rtmpsConn", "rtspsSession")
        try:
            ingest = self._rooms.open(grant.room, PublisherInfo(grant.remote, grant.key, secure, disconnect))
        except AirnodeError as error:
            self._kicks.kick(path.source, grant.room, error.detail)
            return False
        publisher.ingest = ingest
        if publisher.report.is_playable:
            publisher.reading = self._tasks.spawn("read", self._read_into(publisher, ingest))
        return True

    async def _read_into(self, publisher: _Publisher, ingest: RoomIngest) -> None:
        try:
            metadata: list[IngestEvent] = [StreamMetadata(encoder=f"{publisher.path.source.protocol} (MediaMTX)")]
            ingest.push(metadata, 0)
            await self._read(publisher.path.name, publisher.grant.room, ingest.push)
        except AirnodeError as error:
            self._kick(publisher, error.detail)

    def _watch(self, publisher: _Publisher, received_bytes: int) -> None:
        """Close the room's ingest when the publisher becomes silent, and open it when the publisher sends again."""
        now_s = self._rooms.now_s()
        if not publisher.report.is_playable:
            self._remark(publisher, now_s)
            return
        if received_bytes != publisher.received_bytes:
            publisher.received_bytes, publisher.received_at_s = received_bytes, now_s
            if publisher.ingest is None and not self._open(publisher):
                del self._publishers[publisher.path.name]
            self._remark(publisher, now_s)
            return
        silent_s = now_s - publisher.received_at_s
        if publisher.ingest is not None and received_bytes and silent_s > SILENT_S:
            log.info("mediamtx_publisher_silent", room=publisher.grant.room, silent_s=round(silent_s, 1))
            self._close(publisher, "the publisher sends nothing")
        elif publisher.ingest is None and silent_s > KICK_SILENT_S:
            self._kick(publisher, "the publisher sends nothing")

    def _remark(self, publisher: _Publisher, now_s: float) -> None:
        """Report the unplayable tracks again. If no other tracks exist, this ends the publisher after a while."""
        due = now_s - publisher.remarked_at_s >= _REMARK_EVERY_S or not publisher.report.is_playable
        if publisher.ingest is not None and publisher.report.refused and due:
            publisher.remarked_at_s = now_s
            try:
                publisher.ingest.push(publisher.report.refused, 0)
            except AirnodeError as error:
                self._kick(publisher, error.detail)

    def _kick(self, publisher: _Publisher, reason: str) -> None:
        """Make MediaMTX disconnect the publisher, and stop reading."""
        self._kicks.kick(publisher.path.source, publisher.grant.room, reason)
        if self._publishers.get(publisher.path.name) is publisher:
            self._end(publisher, reason)

    def _end(self, publisher: _Publisher, reason: str) -> None:
        """Stop reading; the room continues without a publisher."""
        del self._publishers[publisher.path.name]
        log.info("mediamtx_publish_ended", room=publisher.grant.room, reason=reason)
        self._metrics.publishers.set(len(self._publishers))
        self._close(publisher, reason)

    def _close(self, publisher: _Publisher, reason: str) -> None:
        ingest, publisher.ingest = publisher.ingest, None
        reading, publisher.reading = publisher.reading, None
        if reading is not None and reading is not asyncio.current_task():
            reading.cancel()
        if ingest is not None:
            ingest.close(reason)
