"""The endless ``live.mp4`` of one room: an initialization section, then fragments, for many viewers at once.

No I/O and no clock. A viewer has a transport (asyncio's in production), which takes bytes without waiting and reports
how many it still holds. A fragment is one bytes object for all viewers, including its HTTP framing, and one loop writes
it to every transport: no task wakes up for a viewer.

**Slow viewers.** The transport's buffer is the viewer's queue, and it is bounded. A viewer whose transport holds too
much gets nothing until its buffer has drained and a key frame comes. Its timeline jumps then, and the page's player
can handle this. A viewer whose buffer does not shrink at all for ``stuck_s`` is dropped.

**Changes.** A response continues when its publisher leaves. When a publisher comes or its configuration changes, the
timeline continues after a small hole. If the codec strings stay the same, a new initialization section follows in the
same response: MSE accepts it in the same SourceBuffer. If they change, the response ends and viewers request it
again, because the codecs are part of the Content-Type.

**Intra refresh.** A viewer who begins with a recovery point gets a grey picture before it (:mod:`.lead_in`).

**At rest.** While nobody watches, no fragments are written (:mod:`.on_demand`). The first viewer wakes the feed. When
the last one left more than `LINGER_S` ago, the feed rests as soon as a frame comes that playback can begin with.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.kernel.meter import Meter
from airnode.media.cmaf.bmff import Track
from airnode.media.frames import Frame, KeyFrameReason, VideoConfig
from airnode.media.live.fragmenter import Fragment, http_chunk
from airnode.media.live.lead_in import lead_in
from airnode.media.live.on_demand import OnDemandFragmenter

#: Most fragments that are kept for new viewers. If key frames are further apart, a new viewer waits for the next one.
RING_BYTES, RING_FRAGMENTS = 12 << 20, 4_800
#: Fragments are still written for this long after the last viewer left, as a viewer may only reload the page.
LINGER_S = 5.0

Ending = Literal["ended", "codecs", "moved", "stuck", "removed"]


class ViewerTransport(Protocol):
    """The part of asyncio's transports that a viewer needs."""

    def write(self, data: bytes, /) -> None:
        """Take bytes to send, without waiting."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes were taken and are not sent yet."""
        ...


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """Limits for each viewer.

    Attributes:
        fragment_ms: shortest length of a fragment; 0: one frame each.
        sound_wait_ms: longest time that sound waits for a picture, to be sent in one fragment with it.
        queue_bytes, queue_fragments: a viewer whose transport holds more is moved to a later key frame.
        stuck_s: a viewer that receives nothing for this long is dropped.
    """

    fragment_ms: int = 0
    sound_wait_ms: int = 5
    queue_bytes: int = 4 << 20
    queue_fragments: int = 300
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
    """One response of the feed.

    Args:
        chunked: write fragments with their HTTP/1.1 framing; false: without it, for HTTP/1.0.
        ended: called once when the feed will write nothing more.
    """

    def __init__(self, transport: ViewerTransport, *, chunked: bool, ended: Callable[[Ending], None]) -> None:
        self._transport = transport
        self._chunked = chunked
        self.ended = ended
        #: The viewer gets nothing until a key frame comes.
        self.waits_for_key = True
        self._init = b""
        #: Sizes of the writes that the transport may still hold, oldest first; and their sum.
        self._queue: deque[int] = deque()
        self._queue_bytes = 0
        #: Size of the first write, which a slow viewer may hold in addition to its limit.
        self._burst_bytes = 0
        #: Bytes that the transport held when it was last checked, plus the bytes that were written since.
        self._held_bytes = 0
        #: When the transport's buffer last shrank or was empty.
        self._progress_s = 0.0

    def enter(self, init: bytes, ring: bytes, now_s: float) -> int:
        """Write the initialization section and ``ring``, the fragments since the last key frame. Return their size."""
        self._init = init
        self._progress_s = now_s
        self.waits_for_key = not ring
        burst = init + ring
        self._burst_bytes = len(burst)
        return self._write(http_chunk(burst) if self._chunked else burst)

    def renew(self, init: bytes) -> int:
        """Write a new initialization section; a viewer that waits gets it with its key frame. Return the size."""
        if self.waits_for_key:
            return 0
        self._init = init
        return self._write(http_chunk(init) if self._chunked else init)

    def offer(self, fragment: Fragment, init: bytes, limits: LiveLimits, now_s: float) -> int:
        """Write or skip the fragment. Return the number of bytes; -1: from now on this viewer waits for a key frame."""
        held_bytes = self._update_queue(now_s)
        if self.waits_for_key:
            drained = held_bytes <= limits.queue_bytes // 2 and len(self._queue) <= limits.queue_fragments // 2
            return self._resume(fragment, init) if fragment.is_key and drained else 0
        if held_bytes > limits.queue_bytes + self._burst_bytes or len(self._queue) > limits.queue_fragments:
            self.waits_for_key = True
            return -1
        return self._write(fragment.chunk if self._chunked else fragment.body)

    def is_stuck(self, limits: LiveLimits, now_s: float) -> bool:
        """Return whether the transport sent nothing for too long, although it holds bytes."""
        return self._held_bytes > 0 and now_s - self._progress_s > limits.stuck_s

    def _resume(self, fragment: Fragment, init: bytes) -> int:
        self.waits_for_key = False
        written = self.renew(init) if init != self._init else 0
        if lead := lead_in(init, fragment):
            written += self._write(http_chunk(lead) if self._chunked else lead)
        return written + self._write(fragment.chunk if self._chunked else fragment.body)

    def _update_queue(self, now_s: float) -> int:
        """Forget the writes that the transport has sent. Return how many bytes it still holds."""
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
    """The live viewers of one room, and the fragments that they get.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, limits: LiveLimits, metrics: LiveMetrics, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._source = OnDemandFragmenter(limits.fragment_ms, self.take, limits.sound_wait_ms)
        #: Called when a viewer joins and there is no key frame to begin with.
        self.want_key: Callable[[KeyFrameReason], None] = lambda reason: None
        self.codecs: tuple[str, ...] = ()
        self.ended = False
        self._init = b""
        #: All fragments since the last key frame; empty: no key frame has come, or the fragments were too many.
        self._ring: deque[Fragment] = deque()
        self._ring_bytes = 0
        #: The viewers, in the order in which they joined; the values have no meaning.
        self._viewers: dict[LiveViewer, None] = {}
        #: Time on the clock at which a viewer last left.
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
        """Continue with another initialization section, or with the same one after a hole."""
        self._clear_ring()
        if self.codecs and codecs != self.codecs:
            self._end_responses("codecs")
        elif init != self._init:
            self._metrics.sent_bytes.add(sum(viewer.renew(init) for viewer in self._viewers))
        self.codecs, self._init = codecs, init

    def add(self, frame: Frame) -> None:
        """Write or hold a frame of the media timeline."""
        if self._source.working and self._source.can_begin_with(frame):
            self._rest_if_unwatched()
        self._source.add(frame)

    def finish(self) -> None:
        """End the period: write the open fragment. Responses stay open."""
        self._source.finish()

    def interrupt(self) -> None:
        """End the responses, as the timeline ends here; viewers request them again."""
        self._init, self.codecs = b"", ()
        self._rest()
        self._end_responses("moved")

    def end(self) -> None:
        """End the responses and the feed."""
        self.ended = True
        self._rest()
        self._end_responses("ended")

    def take(self, fragment: Fragment) -> None:
        """Write a fragment to all viewers."""
        self._keep(fragment)
        now_s, limits, init = self._clock(), self._limits, self._init
        sent, stuck = 0, []
        for viewer in self._viewers:
            written = viewer.offer(fragment, init, limits, now_s)
            if written > 0:
                sent += written
            elif viewer.is_stuck(limits, now_s):
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
    def working(self) -> bool:
        """Whether frames are written as fragments when they come; false: nobody watches."""
        return self._source.working

    @property
    def ready(self) -> bool:
        """Whether viewers can join: the feed has an initialization section."""
        return bool(self._init)

    @property
    def content_type(self) -> str:
        """The Content-Type with the codecs (RFC 6381), as MediaSource.isTypeSupported expects it."""
        return f'video/mp4; codecs="{",".join(self.codecs)}"'

    def join(self, viewer: LiveViewer) -> None:
        """Add a viewer: it gets the fragments since the last key frame at once, then each new fragment.

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
        if ring:
            ring = lead_in(self._init, self._ring[0]) + ring
        self._metrics.sent_bytes.add(viewer.enter(self._init, ring, self._clock()))
        if viewer.waits_for_key:
            self.want_key("viewer")

    def leave(self, viewer: LiveViewer) -> None:
        """Remove a viewer that has gone, unless the feed has removed it already."""
        if self._viewers.pop(viewer, viewer) is None:
            self._metrics.viewers.dec()
            self._left_s = self._clock()

    def _remove(self, viewer: LiveViewer, why: Ending) -> None:
        self.leave(viewer)
        viewer.ended(why)

    def _end_responses(self, why: Ending) -> None:
        for viewer in list(self._viewers):
            self._remove(viewer, why)
