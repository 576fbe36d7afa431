"""The live window of one room: what its playlists say and what its URIs give.

No I/O and no clock. One writer (the packager, through ``begin_* / add_part / end_*``); any number of readers on the
same thread, who ask, get an answer or a "wait", and ask again when a listener told them that the window changed.

How the rules of draft-pantos-hls-rfc8216bis are kept:

- **Target duration** (4.4.3.1, it must never change): unknown until the first key frame interval is known. Until then
  the window is not `ready` and nothing is served; then the packager freezes it, and cuts every later segment, with a
  key frame or without, before it would round to more.
- **Part target** (4.4.3.7): frozen with the first part, or that of the window which this one goes on from; grows only
  when one frame is longer (counted).
- Segments leave the playlist only while it stays longer than three target durations (6.2.2) and than ``segment_count``,
  and can be fetched for `RETAINED_SEGMENTS` more.
- A low-latency window begins with gap segments, which native iOS players need to start before the window has filled.
  Players that do not know EXT-X-GAP fetch them all the same: they get a segment without samples, and go on. (On a 404,
  GStreamer 1.22 asks for the same gap for ever.)
- Names carry a random prefix an epoch, so no cache ever mixes two publishers. Parts are numbered through the whole
  epoch, not by segment: the part that a preload hint names comes whether or not a segment ends before it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from secrets import token_hex

from airnode.media.hls.blocking_reload import BadRequest, Position, Ready, Wait, resolve_reload
from airnode.media.hls.playlist import MediaPlaylist, Part, Segment, multivariant_playlist

#: PART-HOLD-BACK in part targets: two is the least the draft allows, three what it recommends.
PART_HOLD_BACK_PARTS = 3
#: Least target duration: key frames every two seconds are what encoders do when nobody asks them.
MIN_TARGET_DURATION_S = 2
#: Segments that can still be fetched after they left the playlist.
RETAINED_SEGMENTS = 2
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
MEDIA_TYPE = "video/mp4"
#: A segment type box and nothing else (ISO 14496-12 8.16.2).
_EMPTY_SEGMENT = b"\0\0\0\x18stypmsdh\0\0\0\0msdhmsix"


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """What a multivariant playlist says about the current tracks; ``width`` 0: no video."""

    codecs: tuple[str, ...]
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """A body, as buffers in order (a segment is the concatenation of its parts)."""

    body: Sequence[bytes]
    content_type: str = MEDIA_TYPE

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(len(piece) for piece in self.body)


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where a window on another node had come to, whose viewers this one takes over; see :class:`RoomState`.

    Attributes:
        first_msn: of this window, its gaps included.
    """

    first_msn: int = 0
    target_duration_s: int = 0
    discontinuities: int = 0
    part_target_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pending:
    """The part that is being made now: wait for the window to change and ask again."""


class Window:
    """The segments of one room, over all epochs of its publishers.

    Args:
        segment_count: finished segments that the playlist keeps at least.
        low_latency: parts, blocking reload, gap segments; false: plain HLS.
        media_uri: relative address of the media playlist, for the multivariant one.
        after: what this window goes on from, behind a discontinuity.
    """

    def __init__(
        self,
        *,
        segment_count: int = 7,
        low_latency: bool = True,
        media_uri: str = "media.m3u8",
        after: Continuation | None = None,
    ) -> None:
        self.low_latency = low_latency
        self.media_uri = media_uri
        #: Grows with every change that a playlist or a lookup could show.
        self.version = 0
        self._told = 0
        self.ended = False
        self.info: VariantInfo | None = None
        self.target_duration_s = 0
        self._segment_count = segment_count
        self._prefix = ""
        self._segments: deque[Segment] = deque()
        self._retired: deque[Segment] = deque()
        self._open: Segment | None = None
        self._inits: dict[str, bytes] = {}
        self._init_name = ""
        self._init_count = 0
        after = after or Continuation()
        self._first_msn = self._next_msn = after.first_msn + (segment_count if low_latency else 0)
        self._least_target_duration_s = after.target_duration_s
        self.part_target_s = after.part_target_s
        self._continues = after.first_msn > 0
        self._next_part = 0
        self._discontinuity = False
        self._discontinuity_sequence = after.discontinuities
        #: {name: its body} of everything that can be fetched, init sections apart.
        self._bodies: dict[str, Part | Segment] = {}
        self._listeners: list[Callable[[], None]] = []
        self._rendered: dict[int, bytes] = {}

    # ---- writing -------------------------------------------------------------------------------------------------

    def begin_epoch(self) -> None:
        """A publisher comes: names get a new prefix, whatever follows is discontinuous to what there is."""
        self.end_segment()
        self._prefix = token_hex(6)
        self._next_part = 0
        self._discontinuity = self._continues or self._next_msn > self._first_msn
        self._changed()

    def begin_period(self, init: bytes, info: VariantInfo, *, discontinuity: bool) -> None:
        """The next segment starts with this initialization section, which keeps its name while it stays the same."""
        self.end_segment()
        if self._inits.get(self._init_name) != init or not self._init_name.startswith(self._prefix):
            self._init_count += 1
            self._init_name = f"{self._prefix}_init{self._init_count}.mp4"
            self._inits[self._init_name] = init
        self._discontinuity = self._discontinuity or discontinuity
        self.info = info

    def begin_segment(self, start_unix_s: float, *, independent: bool) -> None:
        """Open a segment, closing the one before."""
        self.end_segment()
        self._open = Segment(
            msn=self._next_msn,
            name=f"{self._prefix}_seg{self._next_msn}.mp4",
            init_name=self._init_name,
            discontinuity=self._discontinuity,
            independent=independent,
            start_unix_s=start_unix_s,
        )
        self._discontinuity = False

    def add_part(self, data: bytes, duration_s: float, *, independent: bool) -> None:
        """Append a part to the open segment."""
        if self._open is None:
            raise RuntimeError("no open segment")
        part = Part(self._part_name(), data, duration_s, independent)
        self._next_part += 1
        self._open.add(part)
        self._bodies[part.name] = part
        self._changed()

    def end_segment(self) -> None:
        """Close the open segment, if it has parts, and let old ones go."""
        segment, self._open = self._open, None
        if segment is None or not segment.parts:
            if segment is not None:
                self._discontinuity |= segment.discontinuity
            return
        self._next_msn = segment.msn + 1
        self._segments.append(segment)
        self._bodies[segment.name] = segment
        self._trim()
        self._changed()

    def freeze_target_duration(self, target_duration_s: int) -> None:
        """Fix the target duration for good, at least what is there already needs: from here on the window is served."""
        if self.target_duration_s:
            raise RuntimeError("the target duration must not change")
        longest_s = max((segment.duration_s for segment in self._segments), default=0.0)
        self.target_duration_s = max(target_duration_s, int(longest_s + 0.5), self._least_target_duration_s)
        if self.low_latency:
            self._fill_with_gaps()
        self._trim()
        self._changed()

    def set_part_target(self, part_target_s: float) -> None:
        """Fix the part target, or let it grow."""
        self.part_target_s = max(self.part_target_s, part_target_s)

    def set_frame_rate(self, frame_rate: float) -> None:
        """Complete what the publisher did not declare."""
        if self.info is not None:
            self.info = replace(self.info, frame_rate=frame_rate)

    def end(self) -> None:
        """The stream is over: the playlist gets EXT-X-ENDLIST."""
        self.end_segment()
        if self._segments and not self.target_duration_s:
            self.freeze_target_duration(MIN_TARGET_DURATION_S)
        self.ended = True
        self._changed()
        self.notify()

    def _part_name(self) -> str:
        return f"{self._prefix}_part{self._next_part}.mp4"

    def _fill_with_gaps(self) -> None:
        first = self._segments[0].msn if self._segments else self._next_msn
        for msn in range(first - 1, first - 1 - self._segment_count, -1):
            gap = Segment(msn, f"gap{msn}.mp4", gap=True, duration_s=float(self.target_duration_s))
            self._segments.appendleft(gap)
            self._bodies[gap.name] = gap

    def _trim(self) -> None:
        if not self.target_duration_s:
            return
        left_s = sum(segment.duration_s for segment in self._segments)
        while len(self._segments) > self._segment_count:
            left_s -= self._segments[0].duration_s
            if left_s < 3 * self.target_duration_s:
                return
            self._retire(self._segments.popleft())

    def _retire(self, segment: Segment) -> None:
        self._discontinuity_sequence += segment.discontinuity
        if segment.gap:
            del self._bodies[segment.name]
            return
        self._retired.append(segment)
        while len(self._retired) > RETAINED_SEGMENTS:
            gone = self._retired.popleft()
            del self._bodies[gone.name]
            for part in gone.parts:
                del self._bodies[part.name]
            self._drop_unused_inits()

    def _drop_unused_inits(self) -> None:
        used = {segment.init_name for segment in (*self._retired, *self._segments)}
        used.add(self._init_name)
        if self._open is not None:
            used.add(self._open.init_name)
        for name in self._inits.keys() - used:
            del self._inits[name]

    def _changed(self) -> None:
        self.version += 1
        self._rendered.clear()

    def notify(self) -> None:
        """Tell the listeners, if anything changed since they were told last.

        Apart from the changes themselves: a part that ends its segment must not be seen without its end.
        """
        if self._told != self.version:
            self._told = self.version
            for listener in tuple(self._listeners):
                listener()

    # ---- reading -------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether there is a playlist to serve; until then requests wait, or are answered 404 or 503."""
        if not self.target_duration_s or self.info is None:
            return False
        has_parts = self._open is not None and bool(self._open.parts)
        return any(not segment.gap for segment in self._segments) or (self.low_latency and has_parts)

    @property
    def next_msn(self) -> int:
        """Sequence number of the segment that is open, or comes next."""
        return self._next_msn

    @property
    def discontinuities(self) -> int:
        """How many there were, those that left the playlist included."""
        return self._discontinuity_sequence + sum(segment.discontinuity for segment in self._segments)

    @property
    def media_bytes(self) -> int:
        """Bytes of media held in memory."""
        open_bytes = self._open.size if self._open is not None else 0
        return open_bytes + sum(segment.size for segment in (*self._retired, *self._segments))

    def add_listener(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after changes (`notify`); it must not raise or wait. Returns what removes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def media_playlist(self, *, skip: bool = False) -> bytes:
        """The media playlist, the same bytes until the next change.

        Args:
            skip: the client asked for a delta update (``_HLS_skip``); it gets one where something can be left out.

        Raises:
            RuntimeError: the window is not `ready`.
        """
        if not self.ready:
            raise RuntimeError("the window has no playlist yet")
        skipped = self._skippable() if skip and self.low_latency else 0
        playlist = self._rendered.get(skipped)
        if playlist is None:
            playlist = self._rendered[skipped] = self._playlist(skipped).render()
        return playlist

    def multivariant_playlist(self) -> bytes:
        """The multivariant playlist, with the bandwidth measured over the window.

        Raises:
            RuntimeError: the window is not `ready`.
        """
        if not self.ready or self.info is None:
            raise RuntimeError("the window has no playlist yet")
        playlist = self._rendered.get(-1)
        if playlist is None:
            peak_bps, average_bps = self.bandwidth_bps()
            playlist = self._rendered[-1] = multivariant_playlist(
                uri=self.media_uri,
                codecs=self.info.codecs,
                width=self.info.width,
                height=self.info.height,
                frame_rate=self.info.frame_rate,
                bandwidth_bps=peak_bps,
                average_bandwidth_bps=average_bps,
                low_latency=self.low_latency,
            )
        return playlist

    def bandwidth_bps(self) -> tuple[int, int]:
        """Peak segment bit rate and average bit rate over the window."""
        measured = [segment for segment in self._segments if segment.size]
        if not measured and self._open is not None:
            measured = [self._open]
        rates = [segment.size * 8 / segment.duration_s for segment in measured if segment.duration_s]
        duration_s = sum(segment.duration_s for segment in measured)
        if not rates:
            return 1, 1
        return ceil(max(rates)), ceil(sum(segment.size for segment in measured) * 8 / duration_s)

    def resolve_reload(self, msn: int | None, part: int | None = None) -> Ready | Wait | BadRequest:
        """What to do with a playlist request with ``_HLS_msn`` and ``_HLS_part``: see :func:`reload.resolve_reload`."""
        return resolve_reload(self._position() if self.ready else None, msn, part)

    def _position(self) -> Position:
        last = self._segments[-1] if self._segments else None
        return Position(
            next_msn=self._next_msn,
            open_parts=len(self._open.parts) if self._open is not None else 0,
            last_parts=len(last.parts) if last is not None and not last.gap else None,
            part_target_s=self.part_target_s,
            blocks=self.low_latency and not self.ended,
        )

    def lookup(self, name: str) -> Found | Pending | None:
        """What a name gives: a body, a part that is not there yet, or nothing (404)."""
        body = self._bodies.get(name)
        if isinstance(body, Part):
            return Found((body.data,))
        if body is not None and body.gap:
            return Found((_EMPTY_SEGMENT,))
        if body is not None:
            return Found(tuple(part.data for part in body.parts))
        init = self._inits.get(name)
        if init is not None:
            return Found((init,))
        if self.low_latency and not self.ended and self._prefix and name == self._part_name():
            return Pending()
        return None

    def finished_from(self, msn: int) -> list[Segment]:
        """Finished segments from ``msn`` on, as far as they are still in the playlist; no gaps."""
        found: list[Segment] = []
        for segment in reversed(self._segments):
            if segment.msn < msn or segment.gap:
                break
            found.append(segment)
        return found[::-1]

    def init_section(self, name: str) -> bytes:
        """An initialization section by its name, as long as a segment needs it; KeyError afterwards."""
        return self._inits[name]

    def _playlist(self, skip: int) -> MediaPlaylist:
        listed = tuple(self._segments)
        return MediaPlaylist(
            segments=listed,
            open_segment=self._open,
            target_duration_s=self.target_duration_s,
            part_target_s=self.part_target_s,
            part_hold_back_s=PART_HOLD_BACK_PARTS * self.part_target_s,
            discontinuity_sequence=self._discontinuity_sequence,
            first_init=self._first_init(),
            low_latency=self.low_latency,
            parts_from_msn=self._parts_from(),
            hint=self._part_name(),
            ended=self.ended,
            skip=skip,
        )

    def _first_init(self) -> str:
        for segment in self._segments:
            if segment.init_name:
                return segment.init_name
        return self._open.init_name if self._open is not None else self._init_name

    def _parts_from(self) -> int:
        """Parts are listed for what lies within three target durations of the end (4.4.4.9)."""
        from_end_s = self._open.duration_s if self._open is not None else 0.0
        for segment in reversed(self._segments):
            if from_end_s >= 3 * self.target_duration_s:
                return segment.msn + 1
            from_end_s += segment.duration_s
        return 0

    def _skippable(self) -> int:
        """Segments further from the end than the skip boundary, six target durations (6.2.5.1)."""
        from_end_s = self._open.duration_s if self._open is not None else 0.0
        for kept, segment in enumerate(reversed(self._segments)):
            if from_end_s >= 6 * self.target_duration_s:
                return len(self._segments) - kept
            from_end_s += segment.duration_s
        return 0
