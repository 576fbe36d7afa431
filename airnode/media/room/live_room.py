"""One room that is published to this node: its window, its packager, and its state for the cluster."""

import asyncio
import time
from dataclasses import dataclass

from airnode.bus.messages import RoomPhase, RoomState, StreamInfo
from airnode.bus.recordings import RecordingMode
from airnode.config.sections.hls import HlsSection
from airnode.media.frames import KeyFrameReason
from airnode.media.hls.blocking_reload import Waiters
from airnode.media.hls.window import Continuation, Window
from airnode.media.live.feed import LiveFeed
from airnode.media.room.packager import Packager
from airnode.media.room.playability import NotPlayable, why_not_playable
from airnode.media.room.viewers import Viewers
from airnode.media.room.watchable import RequestKind
from airnode.media.rtmp.publishing import PublisherInfo
from airnode.media.samples.findings import Findings


@dataclass(frozen=True, slots=True)
class Ownership:
    """This node's right to publish a room.

    Attributes:
        epoch: of this node's claim.
        after: where the window of the room's previous node ended; None: there was no previous node.
    """

    epoch: int
    after: Continuation | None = None


class LiveRoom:
    """One room: its window, its packager and its current publisher.

    Attributes:
        epoch: of this node's claim: at least the unix time in milliseconds at which the room went live here.
        recording_id: of the running recording; empty: nothing is recorded. Owned by the recorder.
        recording_mode: which classes this node records; None: not known yet. Owned by the recorder.
        closed: the room will never change again.
        findings: about the publishers' samples.
        published_s: unix time at which the publisher joined.
        not_playable: the reason why the room cannot be played; None: it can be played.
    """

    def __init__(
        self,
        name: str,
        settings: HlsSection,
        viewer_window_s: float,
        live: LiveFeed,
        ownership: Ownership,
        findings: Findings,
    ) -> None:
        self.name = name
        self.findings = findings
        self.epoch = ownership.epoch
        self.window = Window(
            segment_count=settings.segment_count,
            low_latency=settings.low_latency,
            after=ownership.after,
            retained_max_bytes=settings.retained_max_bytes,
        )
        self.live = live
        self.packager = Packager(
            settings, self.window, room=name, live=live, findings=findings, want_key=self.request_key_frame
        )
        live.want_key = self.request_key_frame
        self.waiters = Waiters()
        self.viewers = Viewers(viewer_window_s)
        self.phase: RoomPhase = "live"
        self.since = time.time()
        #: Unix seconds at which the class went live; it stays while a publisher is awaited.
        self.live_since = self.since
        self.reconnect_deadline: float | None = None
        self.closed = False
        self.origin_unreachable = False
        self.publisher: PublisherInfo | None = None
        self.published_s = 0.0
        self.not_playable: NotPlayable | None = None
        self.recording_id = ""
        self.recording_mode: RecordingMode | None = None
        #: {kind: number of the packager's faults that the metrics already contain}.
        self.counted_faults: dict[str, int] = {}
        #: Loop time at which the last media arrived.
        self.last_media_s = 0.0
        #: Ends the grace time, or the time for which an ended room is kept.
        self.timer: asyncio.TimerHandle | None = None
        #: By the loop's clock: nobody publishes here before then, as the teacher ended the class.
        self.stays_ended_until_s = 0.0
        self.window.add_listener(self.waiters.wake)

    def check_playable(self, now_s: float) -> None:
        """Update ``not_playable``; ``now_s`` is the unix time."""
        if self.publisher is None or self.phase != "live":
            self.not_playable = None
            return
        self.not_playable = why_not_playable(now_s, self.published_s, self.packager.received, self.findings)

    def request_key_frame(self, reason: KeyFrameReason) -> None:
        """Ask the publisher for a key frame, if its protocol can."""
        if self.publisher is not None and self.publisher.request_key_frame is not None:
            self.publisher.request_key_frame(reason)

    def note_request(self, what: RequestKind) -> None:
        """Do nothing: the window and the live feed exist without requests."""

    def state(self, node_id: str, now_s: float) -> RoomState:
        """Return the state that this node reports to the cluster; ``now_s`` is the loop's time."""
        return RoomState(
            room=self.name,
            node_id=node_id,
            phase=self.phase,
            since=self.since,
            viewers=self.viewers.count(now_s),
            epoch=self.epoch,
            reconnect_deadline=self.reconnect_deadline,
            stream=self._stream() if self.phase == "live" else None,
            next_msn=self.window.next_msn,
            target_duration_s=self.window.target_duration_s,
            discontinuities=self.window.discontinuities,
            silent_s=round(max(0.0, now_s - self.last_media_s), 1),
            recording_id=self.recording_id,
            recording_mode=self.recording_mode,
            part_target_s=self.window.part_target_s,
            live_since=self.live_since,
            heard_s=self.last_media_s,
        )

    def _stream(self) -> StreamInfo:
        stats = self.packager.stats
        alarms = [self.not_playable.notice] if self.not_playable is not None else []
        return StreamInfo(
            width=stats.width,
            height=stats.height,
            frame_rate=round(stats.frame_rate, 2),
            bitrate_bps=round(stats.bitrate_bps(time.time())),
            video_codecs=stats.video_codecs,
            audio_codecs=stats.audio_codecs,
            key_frame_interval_s=round(stats.key_frame_interval_s, 2),
            encoder=stats.encoder,
            uptime_s=round(time.time() - self.since, 1),
            dropped_samples=stats.dropped.total(),
            findings=[*alarms, *self.findings.notices(time.time())],
        )
