"""The endless ``live.mp4`` of one room: initialization section, then fragments without end, to many viewers at once.

No I/O and no clock of its own: a viewer comes with a transport (asyncio's, in production), which takes bytes without
waiting and reports how many it still holds. Each fragment is one bytes object for all viewers, its HTTP framing
included, and is written to every transport in one loop: no task wakes up for a viewer. The transport's buffer is the
viewer's queue. It is bounded: a viewer that holds too much is skipped until a key frame comes and its buffer has
drained (its timeline simply jumps, which the page copes with); one whose buffer does not shrink at all for a while is
dropped.

A response outlives its publisher. When one comes (back), or its configuration changes, the timeline continues behind a
small hole; a new initialization section follows in the same response as long as the codec strings stay the same, which
MSE takes in the same SourceBuffer. When they change, the response ends, and its viewers request it again: the
Content-Type of the next one names the codecs.

While nobody watches, no fragments are made (:mod:`.on_demand`). The first viewer wakes the feed; a while after
the last one has left, it rests again, at the next frame that a viewer could begin with.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.kernel.meter import Meter
from airnode.media.cmaf.bmff import Track
from airnode.media.frames import Frame, VideoConfig
from airnode.media.live.fragmenter import Fragment, http_chunk
from airnode.media.live.on_demand import OnDemandFragmenter

#: Most that is kept for viewers who come: a stream whose key frames lie further apart can only be entered at the next.
RING_BYTES, RING_FRAGMENTS = 12 << 20, 2_400
#: Fragments go on being made for so long after the last viewer left: one who reloads the page finds them.
LINGER_S = 5.0

Ending = Literal["ended", "codecs", "moved", "stuck"]


class ViewerTransport(Protocol):
    """Where a viewer's bytes go: the part of asyncio's transports that is needed here."""

    def write(self, data: bytes, /) -> None:
        """Take bytes, without waiting."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes were taken and not sent yet."""
        ...


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """Bounds per viewer; ``stuck_s``: a viewer that takes nothing for this long is dropped."""

    fragment_ms: int = 0
    queue_bytes: int = 4 << 20
    queue_fragments: int = 150
    stuck_s: float = 10.0


class LiveMetrics:
    """Metrics of all rooms' live feeds."""

    def __init__(self, registry: CollectorRegistry, sent_bytes: Meter) -> None:
        self.viewers = Gauge("airnode_media_live_viewers", "Open live.mp4 responses", registry=registry)
        self.sent_bytes = sent_bytes
        self.skips = Counter(
            "airnode_media_live_skips_total", "Times a slow viewer was moved to a later key frame", registry=registry
        )
        self.dropped = Counter(
            "airnode_media_live_dropped_total", "Viewers dropped because they took nothing", registry=registry
        )


class LiveViewer:
    """One response's place in the feed.

    Args:
        chunked: the response is HTTP/1.1; false: fragments go out without their framing.
        ended: called once when nothing more will come.
    """

    def __init__(self, transport: ViewerTransport, *, chunked: bool, ended: Callable[[Ending], None]) -> None:
        self._transport = transport
        self._chunked = chunked
        self.ended = ended
        #: Waiting for a key frame.
        self.waiting = True
        self._init = b""
        #: Sizes of what was written, oldest first, as far as the transport may still hold it; and their sum.
        self._queue: deque[int] = deque()
        self._queue_bytes = 0
        #: Size of the first burst, which a slow viewer may hold beyond its limit.
        self._burst_bytes = 0
        #: What the transport held when it was last looked at, with what was written since.
        self._held_bytes = 0
        #: When it was last seen to have sent something.
        self._progress_s = 0.0

    def enter(self, init: bytes, ring: bytes, now_s: float) -> int:
        """Write the initialization section and all there is since the key frame at once. Return the bytes written."""
        self._init = init
        self._progress_s = now_s
        self.waiting = not ring
        burst = init + ring
        self._burst_bytes = len(burst)
        return self._write(http_chunk(burst) if self._chunked else burst)

    def renew(self, init: bytes) -> int:
        """Write a new initialization section, unless this viewer waits for a key frame (it gets it then)."""
        if self.waiting:
            return 0
        self._init = init
        return self._write(http_chunk(init) if self._chunked else init)

    def offer(self, fragment: Fragment, init: bytes, limits: LiveLimits, now_s: float) -> int:
        """Write the fragment, or leave it out. Return the bytes written; -1: this viewer falls behind now."""
        held_bytes = self._update_queue(now_s)
        if self.waiting:
            drained = held_bytes <= limits.queue_bytes // 2 and len(self._queue) <= limits.queue_fragments // 2
            return self._resume(fragment, init) if fragment.is_key and drained else 0
        if held_bytes > limits.queue_bytes + self._burst_bytes or len(self._queue) > limits.queue_fragments:
            self.waiting = True
            return -1
        return self._write(fragment.chunk if self._chunked else fragment.body)

    def stuck(self, limits: LiveLimits, now_s: float) -> bool:
        """Return whether it took nothing for too long, though there was something to take."""
        return self._held_bytes > 0 and now_s - self._progress_s > limits.stuck_s

    def _resume(self, fragment: Fragment, init: bytes) -> int:
        self.waiting = False
        written = 0
        if init != self._init:
            written = self.renew(init)
        return written + self._write(fragment.chunk if self._chunked else fragment.body)

    def _update_queue(self, now_s: float) -> int:
        """Forget the sizes of what the transport has sent. Return how many bytes it still holds."""
        held_bytes = self._transport.get_write_buffer_size()
        if held_bytes < self._held_bytes or not held_bytes:
            self._progress_s = now_s
        self._held_bytes = held_bytes
        if not held_bytes:
            self._queue.clear()
            self._queue_bytes = self._burst_bytes = 0
        else:
            while self._queue and self._queue_bytes - self._queue[0] >= held_bytes:
                self._queue_bytes -= self._queue.popleft()
        return held_bytes

    def _write(self, data: bytes) -> int:
        size_bytes = len(data)
        try:
            self._transport.write(data)
        except RuntimeError:
            # uvloop raises this for a closed transport: the viewer is gone, and its handler removes it in a moment.
            return 0
        self._queue.append(size_bytes)
        self._queue_bytes += size_bytes
        self._held_bytes += size_bytes
        return size_bytes


class LiveFeed:
    """What one room sends to its live viewers.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, limits: LiveLimits, metrics: LiveMetrics, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._source = OnDemandFragmenter(limits.fragment_ms, self.take)
        self.codecs: tuple[str, ...] = ()
        self.ended = False
        self._init = b""
        #: Everything since the last key frame; empty: there is none, or too much.
        self._ring: deque[Fragment] = deque()
        self._ring_bytes = 0
        #: In the order in which they came.
        self._viewers: dict[LiveViewer, None] = {}
        #: When the last viewer left.
        self._left_s = float("-inf")

    # ---- writing, by the packager ------------------------------------------------------------------------------------

    def begin(self, init: bytes, tracks: list[Track], frame_s: float) -> None:
        """Start a period; see :meth:`Fragmenter.begin`."""
        video = audio = None
        for track in tracks:
            if isinstance(track.config, VideoConfig):
                video = track.config
            else:
                audio = track.config
        self._rest_if_unwatched()
        self._source.begin(has_video=video is not None, audio=audio, frame_s=frame_s)
        self.renew(init, tuple(track.config.codecs for track in tracks))

    def renew(self, init: bytes, codecs: tuple[str, ...]) -> None:
        """What follows belongs to another initialization section (or to the same one, behind a hole)."""
        self._clear_ring()
        if self.codecs and codecs != self.codecs:
            self._end_responses("codecs")
        elif init != self._init:
            self._metrics.sent_bytes.add(sum(viewer.renew(init) for viewer in self._viewers))
        self.codecs, self._init = codecs, init

    def add(self, frame: Frame) -> None:
        """Take a frame of the media timeline."""
        if self._source.working and self._source.can_begin_with(frame):
            self._rest_if_unwatched()
        self._source.add(frame)

    def finish(self) -> None:
        """The publisher is gone, or its period is over: write what is held back. Responses stay open."""
        self._source.finish()

    def interrupt(self) -> None:
        """What follows, if anything, has another timeline: end the responses; their viewers request them again."""
        self._init, self.codecs = b"", ()
        self._rest()
        self._end_responses("moved")

    def end(self) -> None:
        """End the responses: nothing will come any more."""
        self.ended = True
        self._rest()
        self._end_responses("ended")

    def take(self, fragment: Fragment) -> None:
        """Pass a fragment on to all viewers."""
        self._keep(fragment)
        now_s, limits, init = self._clock(), self._limits, self._init
        sent, stuck = 0, []
        for viewer in self._viewers:
            written = viewer.offer(fragment, init, limits, now_s)
            if written > 0:
                sent += written
            elif viewer.stuck(limits, now_s):
                stuck.append(viewer)
            elif written < 0:
                self._metrics.skips.inc()
        self._metrics.sent_bytes.add(sent)
        for viewer in stuck:
            self._metrics.dropped.inc()
            self._remove(viewer, "stuck")

    def _keep(self, fragment: Fragment) -> None:
        if fragment.is_key:
            self._clear_ring()
        elif not self._ring:
            return
        self._ring.append(fragment)
        self._ring_bytes += len(fragment.chunk)
        if self._ring_bytes > RING_BYTES or len(self._ring) > RING_FRAGMENTS:
            self._clear_ring()

    def _rest_if_unwatched(self) -> None:
        if not self._viewers and self._clock() - self._left_s > LINGER_S:
            self._rest()

    def _rest(self) -> None:
        self._source.rest()
        self._clear_ring()

    def _clear_ring(self) -> None:
        self._ring.clear()
        self._ring_bytes = 0

    # ---- viewers -----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._viewers)

    @property
    def ready(self) -> bool:
        """Whether there is an initialization section to begin with."""
        return bool(self._init)

    @property
    def content_type(self) -> str:
        """The Content-Type, with the codecs, as MediaSource.isTypeSupported takes it (RFC 6381)."""
        return f'video/mp4; codecs="{",".join(self.codecs)}"'

    def join(self, viewer: LiveViewer) -> None:
        """Add a viewer: it gets all there is since the last key frame at once, then what comes.

        Raises:
            RuntimeError: the feed is not `ready`.
        """
        if not self._init:
            raise RuntimeError("the feed has not begun")
        if self.ended:
            viewer.ended("ended")
            return
        self._source.wake()
        self._viewers[viewer] = None
        self._metrics.viewers.inc()
        ring = b"".join(fragment.body for fragment in self._ring)
        self._metrics.sent_bytes.add(viewer.enter(self._init, ring, self._clock()))

    def leave(self, viewer: LiveViewer) -> None:
        """Remove a viewer that has gone; nothing happens where the feed has removed it before."""
        if self._viewers.pop(viewer, viewer) is None:
            self._metrics.viewers.dec()
            self._left_s = self._clock()

    def _remove(self, viewer: LiveViewer, why: Ending) -> None:
        self.leave(viewer)
        viewer.ended(why)

    def _end_responses(self, why: Ending) -> None:
        for viewer in list(self._viewers):
            self._remove(viewer, why)
