"""The live window of one room: its playlists, and the bodies of the URIs in them.

No I/O. One writer (the packager) calls ``begin_*``, ``add_part`` and ``end_*``; any number of readers use the same
thread. A reader gets an answer or "wait"; after "wait" it reads again when its listener is called.

How the window follows the rules of draft-pantos-hls-rfc8216bis:

- **Target duration** (4.4.3.1: it must never change). It is unknown until the first key frame interval is known. Until
  then the window is not `ready` and nothing is served. Then the packager fixes it, and ends every later segment, with a
  key frame or without one, before its duration would round to more.
- **Part target** (4.4.3.7). It is fixed with the first part; a window that continues another one begins with its part
  target. It grows only when a single frame is longer (this is counted).
- **Removal** (6.2.2). A segment leaves the playlist only if the rest is longer than three target durations and has at
  least ``segment_count`` segments. Then it can be fetched for its duration and that of the longest playlist that named
  it, in real time, and so can its parts; see :mod:`.media_store`.
- **Gaps**. A low-latency window begins with gap segments: native iOS players start only when the window is full.
  Players that do not know EXT-X-GAP fetch the gaps: they get a segment without frames, and continue. (After a 404,
  GStreamer 1.22 would request the same gap for ever.)
- **Names**. They begin with a random prefix for each epoch (one publisher's connection), so that no cache mixes two
  publishers. Parts are numbered through the whole epoch, not within a segment: so the name in a preload hint is right
  whether or not a segment ends before that part.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from secrets import token_hex

from airnode.media.hls.blocking_reload import BadRequest, Position, Ready, Wait, resolve_reload
from airnode.media.hls.media_store import Found, MediaStore
from airnode.media.hls.playlist import (
    MediaPlaylist,
    Part,
    Segment,
    bit_rates_bps,
    count_before,
    multivariant_playlist,
)

#: PART-HOLD-BACK as a number of part targets: the draft requires at least two and recommends three.
PART_HOLD_BACK_PARTS = 3
#: Shortest target duration: by default, encoders send a key frame every two seconds.
MIN_TARGET_DURATION_S = 2
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """Properties of the tracks for a multivariant playlist; ``width`` 0: no video; ``frame_rate`` 0: unknown."""

    codecs: tuple[str, ...]
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Continuation:
    """The end of a window on another node, if this one continues it for the same viewers; see :class:`RoomState`.

    Attributes:
        first_msn: media sequence number of this window's first segment, or of its first gap.
        target_duration_s, part_target_s: of the other window; those of this window are not shorter.
        discontinuities: number of discontinuities in the other window.
    """

    first_msn: int = 0
    target_duration_s: int = 0
    discontinuities: int = 0
    part_target_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pending:
    """The requested part is the next one: wait for the window to change, then look it up again."""


class Window:
    """The segments of one room, over all epochs of its publishers.

    Args:
        segment_count: least number of finished segments in the playlist.
        low_latency: with parts, blocking reload and gap segments; false: plain HLS.
        media_uri: relative URI of the media playlist, for the multivariant playlist.
        after: the end of the window that this one continues, with a discontinuity.
        retained_max_bytes, clock: for the segments that have left the playlist; see :class:`MediaStore`.
    """

    def __init__(
        self,
        *,
        segment_count: int = 7,
        low_latency: bool = True,
        media_uri: str = "media.m3u8",
        after: Continuation | None = None,
        retained_max_bytes: int = 64 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.low_latency = low_latency
        self.media_uri = media_uri
        #: Increased by every change of a playlist or of the bodies that can be fetched.
        self.version = 0
        #: The version at which listeners were notified last.
        self._notified_version = 0
        self.ended = False
        self.info: VariantInfo | None = None
        self.target_duration_s = 0
        self._segment_count = segment_count
        self._prefix = ""
        self._segments: deque[Segment] = deque()
        self._open: Segment | None = None
        self._media = MediaStore(retained_max_bytes, clock)
        after = after or Continuation()
        self._first_msn = self._next_msn = after.first_msn + (segment_count if low_latency else 0)
        self._least_target_duration_s = after.target_duration_s
        self.part_target_s = after.part_target_s
        self._continues = after.first_msn > 0
        self._next_part = 0
        self._discontinuity = False
        self._discontinuity_sequence = after.discontinuities
        self._listeners: list[Callable[[], None]] = []
        self._rendered: dict[int, bytes] = {}
        #: The end of the playlist at `_position_version`: all viewers ask about the same one.
        self._position: Position | None = None
        self._position_version = -1

    # ---- writing -------------------------------------------------------------------------------------------------

    def begin_epoch(self) -> None:
        """Begin a publisher's connection: names get a new prefix, and the next segment has a discontinuity."""
        self.end_segment()
        self._prefix = token_hex(6)
        self._next_part = 0
        self._discontinuity = self._continues or self._next_msn > self._first_msn
        self._changed()

    def begin_period(self, init: bytes, info: VariantInfo, *, discontinuity: bool) -> None:
        """Set the initialization section of the next segments. Its name stays while its bytes stay the same."""
        self.end_segment()
        self._media.begin_init(init, self._prefix)
        self._discontinuity = self._discontinuity or discontinuity
        self.info = info
        self._changed()

    def begin_segment(self, start_unix_s: float, *, independent: bool) -> None:
        """Close the open segment and open the next one."""
        self.end_segment()
        self._open = Segment(
            msn=self._next_msn,
            name=f"{self._prefix}_seg{self._next_msn}.mp4",
            init_name=self._media.init_name,
            discontinuity=self._discontinuity,
            independent=independent,
            start_unix_s=start_unix_s,
        )
        self._discontinuity = False

    def add_part(self, data: bytes, duration_s: float, *, independent: bool) -> None:
        """Append a part to the open segment (RuntimeError: none is open)."""
        if self._open is None:
            raise RuntimeError("no open segment")
        part = Part(self._part_name(), data, duration_s, independent)
        self._next_part += 1
        self._open.add(part)
        self._media.keep(part)
        self._changed()

    def end_segment(self) -> None:
        """Close the open segment, or drop it if it has no parts; remove old segments."""
        segment, self._open = self._open, None
        if segment is None or not segment.parts:
            if segment is not None:
                self._discontinuity |= segment.discontinuity
            return
        self._next_msn = segment.msn + 1
        self._segments.append(segment)
        self._media.keep(segment)
        self._trim()
        self._changed()

    def freeze_target_duration(self, target_duration_s: int) -> None:
        """Fix the target duration; it is not shorter than the finished segments. Then the window can be served."""
        if self.target_duration_s:
            raise RuntimeError("the target duration must not change")
        longest_s = max((segment.duration_s for segment in self._segments), default=0.0)
        self.target_duration_s = max(target_duration_s, int(longest_s + 0.5), self._least_target_duration_s)
        if self.low_latency:
            self._fill_with_gaps()
        self._trim()
        self._changed()

    def set_part_target(self, part_target_s: float) -> None:
        """Set the part target, unless it is longer already."""
        self.part_target_s = max(self.part_target_s, part_target_s)
        self._changed()

    def set_frame_rate(self, frame_rate: float) -> None:
        """Set the measured frame rate, if the publisher declared none."""
        if self.info is not None:
            self.info = replace(self.info, frame_rate=frame_rate)

    def end(self) -> None:
        """End the stream: the playlist gets EXT-X-ENDLIST."""
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
            self._media.keep(gap)

    def _trim(self) -> None:
        """Remove old segments from the playlist, and bodies that may not be fetched any more."""
        if not self.target_duration_s:
            return
        left_s = sum(segment.duration_s for segment in self._segments)
        for segment in self._segments:
            segment.longest_playlist_s = max(segment.longest_playlist_s, left_s)
        while len(self._segments) > self._segment_count:
            left_s -= self._segments[0].duration_s
            if left_s < 3 * self.target_duration_s:
                break
            retired = self._segments.popleft()
            self._discontinuity_sequence += retired.discontinuity
            self._media.retire(retired)
        self._media.expire((*self._segments, *([self._open] if self._open is not None else [])))

    def _changed(self) -> None:
        self.version += 1
        self._rendered.clear()

    def notify(self) -> None:
        """Call the listeners, if anything has changed since the last call.

        The writer calls this once after several changes: readers must not see the last part of a segment without the
        end of the segment.
        """
        if self._notified_version != self.version:
            self._notified_version = self.version
            for listener in tuple(self._listeners):
                listener()

    # ---- reading -------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether a playlist can be served. Before that, requests wait, or are answered with 404 or 503."""
        if not self.target_duration_s or self.info is None:
            return False
        has_parts = self._open is not None and bool(self._open.parts)
        return any(not segment.gap for segment in self._segments) or (self.low_latency and has_parts)

    @property
    def next_msn(self) -> int:
        """Media sequence number of the open segment, or of the next one if none is open."""
        return self._next_msn

    @property
    def discontinuities(self) -> int:
        """Number of discontinuities so far, including those of segments that have left the playlist."""
        return self._discontinuity_sequence + sum(segment.discontinuity for segment in self._segments)

    @property
    def retained_bytes(self) -> int:
        """Bytes of the segments that have left the playlist and can still be fetched."""
        return self._media.retained_bytes

    @property
    def removed_early(self) -> int:
        """Number of segments that were removed before their time, as more than ``retained_max_bytes`` were retained."""
        return self._media.removed_early

    @property
    def media_bytes(self) -> int:
        """Bytes of media held in memory."""
        open_bytes = self._open.size_bytes if self._open is not None else 0
        return open_bytes + self._media.retained_bytes + sum(segment.size_bytes for segment in self._segments)

    def add_listener(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Return a function that removes ``listener``, which `notify` calls until then; it must not raise or block."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def media_playlist(self, *, skip: bool = False) -> bytes:
        """Return the media playlist. It is rendered once for each change.

        Args:
            skip: the client requested a delta update (``_HLS_skip``); it gets one if segments can be left out.

        Raises:
            RuntimeError: the window is not `ready`.
        """
        if not self.ready:
            raise RuntimeError("the window has no playlist yet")
        skipped = 0
        if skip and self.low_latency:
            # The skip boundary is six target durations before the end (6.2.5.1).
            skipped = count_before(self._segments, self._open, 6 * self.target_duration_s)
        playlist = self._rendered.get(skipped)
        if playlist is None:
            playlist = self._rendered[skipped] = self._playlist(skipped).render()
        return playlist

    def multivariant_playlist(self) -> bytes:
        """Return the multivariant playlist, with the bit rates measured over the window.

        Raises:
            RuntimeError: the window is not `ready`.
        """
        if not self.ready or self.info is None:
            raise RuntimeError("the window has no playlist yet")
        playlist = self._rendered.get(-1)
        if playlist is None:
            peak_bps, average_bps = bit_rates_bps(self._segments, self._open)
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

    def resolve_reload(self, msn: int | None, part: int | None = None) -> Ready | Wait | BadRequest:
        """Return what to do with a playlist request (``_HLS_msn``, ``_HLS_part``); see :mod:`.blocking_reload`."""
        if self._position_version != self.version:
            self._position_version, self._position = self.version, self._end() if self.ready else None
        return resolve_reload(self._position, msn, part)

    def _end(self) -> Position:
        last = self._segments[-1] if self._segments else None
        return Position(
            next_msn=self._next_msn,
            open_parts=len(self._open.parts) if self._open is not None else 0,
            last_parts=len(last.parts) if last is not None and not last.gap else None,
            part_target_s=self.part_target_s,
            blocks=self.low_latency and not self.ended,
        )

    def lookup(self, name: str) -> Found | Pending | None:
        """Return the body with this name, `Pending` for the next part, or None (404)."""
        found = self._media.lookup(name)
        if found is None and self.low_latency and not self.ended and self._prefix and name == self._part_name():
            return Pending()
        return found

    def finished_from(self, msn: int) -> list[Segment]:
        """Return the finished segments from ``msn`` on that are still in the playlist, without gaps."""
        found: list[Segment] = []
        for segment in reversed(self._segments):
            if segment.msn < msn or segment.gap:
                break
            found.append(segment)
        return found[::-1]

    def init_section(self, name: str) -> bytes:
        """Return the bytes of an initialization section; see :meth:`MediaStore.init_section`."""
        return self._media.init_section(name)

    def _playlist(self, skip: int) -> MediaPlaylist:
        listed = tuple(self._segments)
        # Parts are listed from three target durations before the end on (4.4.4.9).
        without_parts = count_before(listed, self._open, 3 * self.target_duration_s)
        return MediaPlaylist(
            segments=listed,
            open_segment=self._open,
            target_duration_s=self.target_duration_s,
            part_target_s=self.part_target_s,
            part_hold_back_s=PART_HOLD_BACK_PARTS * self.part_target_s,
            discontinuity_sequence=self._discontinuity_sequence,
            first_init=self._first_init(),
            low_latency=self.low_latency,
            parts_from_msn=listed[without_parts - 1].msn + 1 if without_parts else 0,
            hint=self._part_name(),
            ended=self.ended,
            skip=skip,
        )

    def _first_init(self) -> str:
        for segment in self._segments:
            if segment.init_name:
                return segment.init_name
        return self._open.init_name if self._open is not None else self._media.init_name
