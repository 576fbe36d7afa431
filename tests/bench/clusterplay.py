"""Models of players: their requests and their buffers. No I/O and no clock.

A :class:`Playback` is the buffer model: it plays media in real time, stalls when its position reaches the end of the
buffer, and continues when the buffer is full enough. It never plays faster to catch up (hls.js's default), so that a
stall stays visible in the latency.
"""

import re
from array import array
from datetime import datetime
from functools import lru_cache
from struct import unpack_from
from typing import NamedTuple

_ATTRIBUTES = re.compile(rb'DURATION=([\d.]+),URI="([^"]+)"(,INDEPENDENT=YES)?')
_NTP_EPOCH_S = 2_208_988_800
_PRFT_BYTES = 28
#: A larger gap in media time means that media was dropped, because a viewer of live.mp4 was slow.
_JUMP_S = 1.0


class Playback:
    """One viewer's buffer; all times in seconds, of one clock.

    Args:
        aim_s: media that must be in the buffer before playback begins or continues after a stall.

    Attributes:
        stalls: number of stalls. stalled_s: their total time. jumps: number of gaps of dropped media.
    """

    __slots__ = ("_aim_s", "_at_s", "_end_s", "_playing", "_pos_s", "behind_s", "jumps", "stalled_s", "stalls")

    def __init__(self, aim_s: float) -> None:
        self._aim_s = aim_s
        #: Media time of the position at the clock time ``_at_s``, and the end of the buffer.
        self._pos_s = self._end_s = self._at_s = 0.0
        self._playing = False
        self.reset()

    def reset(self) -> None:
        """Reset all counts."""
        self.stalls = self.jumps = 0
        self.stalled_s = 0.0
        #: Seconds behind live, at each call of :meth:`note`.
        self.behind_s = array("d")

    def begin(self, pos_s: float, now_s: float) -> None:
        """Begin to play at this media time, as soon as there is enough media."""
        self._pos_s = self._end_s = pos_s
        self._at_s = now_s

    def fed(self, end_s: float, now_s: float) -> None:
        """Extend the buffer to ``end_s``."""
        self.advance(now_s)
        if end_s - self._end_s > _JUMP_S:
            self.jumps += 1
            self._pos_s += end_s - self._end_s
        self._end_s = max(self._end_s, end_s)
        if not self._playing and self._end_s - self._pos_s >= self._aim_s:
            self._playing = True
            self._at_s = now_s

    def advance(self, now_s: float) -> None:
        """Advance the position to ``now_s``."""
        passed_s = now_s - self._at_s
        if self._playing:
            ahead_s = self._end_s - self._pos_s
            if passed_s < ahead_s:
                self._pos_s += passed_s
            else:
                self._pos_s = self._end_s
                self._playing = False
                self.stalls += 1
                self.stalled_s += passed_s - ahead_s
        else:
            self.stalled_s += passed_s
        self._at_s = now_s

    def note(self, live_s: float) -> None:
        """Record how far the position is behind ``live_s``, the media time that arrives at the origin now."""
        self.behind_s.append(live_s - self._pos_s)


class Part(NamedTuple):
    """A Partial Segment; ``end_s``: unix seconds at which its last sample arrived."""

    name: str
    end_s: float
    duration_s: float
    independent: bool


class Listing(NamedTuple):
    """The values of a media playlist that a low-latency client needs; ``msn``, ``part``: of its next request."""

    msn: int
    part: int
    parts: tuple[Part, ...]
    init: str
    hold_back_s: float


@lru_cache(maxsize=256)
def read_listing(playlist: bytes) -> Listing:
    """Return the listing of a media playlist or a delta update. Cached: all viewers of a node get the same bytes."""
    first = skipped = finished = open_parts = 0
    hold_back_s = end_s = 0.0
    init, parts = "", []
    for line in playlist.split(b"\n"):
        tag, _, rest = line.partition(b":")
        if tag == b"#EXT-X-PART":
            duration, name, independent = _ATTRIBUTES.match(rest).groups()  # type: ignore[union-attr]
            end_s += float(duration)
            open_parts += 1
            parts.append(Part(name.decode(), end_s, float(duration), bool(independent)))
        elif tag == b"#EXT-X-PROGRAM-DATE-TIME":
            end_s = datetime.fromisoformat(rest.decode()).timestamp()
        elif tag == b"#EXTINF":
            finished += 1
            open_parts = 0
        elif tag == b"#EXT-X-MEDIA-SEQUENCE":
            first = int(rest)
        elif tag == b"#EXT-X-SKIP":
            skipped = int(rest.partition(b"=")[2].partition(b",")[0])
        elif tag == b"#EXT-X-MAP":
            init = rest.partition(b'URI="')[2].partition(b'"')[0].decode()
        elif tag == b"#EXT-X-SERVER-CONTROL" and b"PART-HOLD-BACK=" in rest:
            hold_back_s = float(rest.partition(b"PART-HOLD-BACK=")[2].partition(b",")[0])
    return Listing(first + skipped + finished, open_parts, tuple(parts), init, hold_back_s)


def first_parts(listing: Listing) -> tuple[float, tuple[Part, ...]]:
    """Return where a player begins: the media time, and the parts to fetch.

    The position is the part hold-back before the end; the parts begin at the last key frame not after it, or else at
    the first key frame.
    """
    at_s = listing.parts[-1].end_s - listing.hold_back_s
    keys = [n for n, part in enumerate(listing.parts) if part.independent]
    before = [n for n in keys if listing.parts[n].end_s - listing.parts[n].duration_s <= at_s]
    first = before[-1] if before else keys[0] if keys else 0
    parts = listing.parts[first:]
    return max(at_s, parts[0].end_s - parts[0].duration_s), parts


def producer_time(buffer: bytearray, size: int) -> tuple[float, float] | None:
    """Return the last ``prft`` in ``buffer``: (unix seconds at the origin, media time in seconds)."""
    at = buffer.rfind(b"prft", 0, size)
    if at < 0 or at + _PRFT_BYTES > size:
        return None
    ntp, media_time = unpack_from(">QQ", buffer, at + 12)
    return ntp / (1 << 32) - _NTP_EPOCH_S, media_time / 90_000
