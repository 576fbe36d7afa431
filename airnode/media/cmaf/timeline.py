"""From a publisher's clock to the media timeline, on which decode times never go back.

A publisher's timestamps are milliseconds from an arbitrary origin, rounded, jittery, and sometimes broken: they jump
when an encoder restarts, and audio and video may count from different origins. The media timeline starts at
``START_MS`` (so that a negative composition offset never makes a negative time) and only goes forward.
"""

from dataclasses import dataclass
from enum import Enum

from airnode.media.cmaf.stats import PackagerStats

#: Where the media timeline begins.
START_MS = 10_000
#: Timestamps this far from both tracks' heads are a jump: a broken clock, or a pause nobody should sit through.
JUMP_MS = 2_000
#: A timeline that was cut continues this far behind its head, clear of what the last samples still cover.
REBASE_GAP_MS = 100
#: Audio counts exact samples while the publisher's rounded clock stays this near; beyond it frames were lost.
AUDIO_TOLERANCE_MS = 60
#: Drift is corrected from the first to the second of these, by at most this many samples a frame.
DRIFT_START_MS, DRIFT_STOP_MS, DRIFT_STEP = 6.0, 1.0, 8


class Kind(Enum):
    """Which track a sample belongs to."""

    VIDEO = "video"
    AUDIO = "audio"


@dataclass(slots=True)
class _Clock:
    """One track's relation to the media timeline: ``media = dts + shift``, all in ms."""

    shift_ms: int
    head_ms: int


class Timeline:
    """Places both tracks' timestamps on one media timeline.

    The tracks share a shift as long as the publisher gives them one origin, which keeps them in sync exactly. A track
    that jumps takes over the other track's shift if that fits (both jumped alike, the usual case), else it continues at
    the head of the timeline.
    """

    def __init__(self) -> None:
        self._clocks: dict[Kind, _Clock] = {}
        self._origin_ms = START_MS

    @property
    def head_ms(self) -> int:
        """The latest time placed so far on any track."""
        return max((clock.head_ms for clock in self._clocks.values()), default=self._origin_ms)

    def rebase(self) -> None:
        """Forget the publisher's clock (a new publisher comes); the media timeline continues behind its head."""
        if self._clocks:
            self._origin_ms = self.head_ms + REBASE_GAP_MS
            self._clocks.clear()

    def place(self, kind: Kind, dts_ms: int) -> tuple[int, bool]:
        """Return the media time in ms and whether the publisher's timestamps jumped here."""
        clock = self._clocks.get(kind)
        if clock is None:
            self._clocks[kind] = clock = self._first(kind, dts_ms)
            return clock.head_ms, False
        media_ms = dts_ms + clock.shift_ms
        jumped = abs(media_ms - clock.head_ms) > JUMP_MS and self._reanchor(kind, clock, dts_ms)
        media_ms = dts_ms + clock.shift_ms
        clock.head_ms = max(clock.head_ms, media_ms)
        return media_ms, jumped

    def _first(self, kind: Kind, dts_ms: int) -> _Clock:
        other = self._other(kind)
        if other is None:
            return _Clock(self._origin_ms - dts_ms, self._origin_ms)
        media_ms = dts_ms + other.shift_ms
        if abs(media_ms - other.head_ms) > JUMP_MS:
            media_ms = other.head_ms
        return _Clock(media_ms - dts_ms, media_ms)

    def _reanchor(self, kind: Kind, clock: _Clock, dts_ms: int) -> bool:
        """Give the track a new shift; False where it only catches up with the other track."""
        other = self._other(kind)
        if other is not None and abs(dts_ms + other.shift_ms - other.head_ms) <= JUMP_MS:
            clock.shift_ms = other.shift_ms
            return False
        clock.shift_ms = self.head_ms + REBASE_GAP_MS - dts_ms
        return True

    def _other(self, kind: Kind) -> _Clock | None:
        return self._clocks.get(Kind.AUDIO if kind is Kind.VIDEO else Kind.VIDEO)


class AudioClock:
    """Decode times of AAC frames: exact sample counts, anchored to the publisher's clock.

    Small drift is absorbed by making single frames a few samples longer or shorter; a hole moves on at once; frames
    that lie before what was already given out are dropped.

    Args:
        stats: counts gaps, overlaps and corrections.
        not_before: least decode time to give out, in samples.
    """

    def __init__(self, sample_rate: int, samples_per_frame: int, stats: PackagerStats, not_before: int = 0) -> None:
        self._rate = sample_rate
        self._frame = samples_per_frame
        self._tolerance = sample_rate * AUDIO_TOLERANCE_MS / 1000
        self._next = not_before
        self._started = False
        self._drift = 0.0
        self._correcting = False
        self._stats = stats

    def place(self, media_ms: int, samples: int = 0) -> tuple[int, int] | None:
        """Return (decode time, duration) in samples, or None for a frame to drop.

        Args:
            samples: how long this frame is; 0: as long as all.
        """
        wanted = media_ms * self._rate // 1000
        if not self._started:
            self._started = True
            self._next = max(wanted, self._next)
        off = wanted - self._next
        if off > self._tolerance:
            self._stats.audio_gaps += 1
            self._next, self._drift, off = wanted, 0.0, 0
        elif off < -self._tolerance:
            self._stats.dropped["audio_overlap"] += 1
            return None
        duration = (samples or self._frame) + self._correction(off)
        time = self._next
        self._next = time + duration
        return time, duration

    def _correction(self, off: int) -> int:
        """Samples to add to this frame; ``off`` is what the publisher's clock is ahead of the count."""
        self._drift += (off - self._drift) / 32
        drift_ms = abs(self._drift) * 1000 / self._rate
        self._correcting = drift_ms > (DRIFT_STOP_MS if self._correcting else DRIFT_START_MS)
        if not self._correcting:
            return 0
        step = max(-DRIFT_STEP, min(DRIFT_STEP, round(self._drift / 16)))
        self._drift -= step
        self._stats.audio_corrections += 1 if step else 0
        return step


class WallClock:
    """Wall-clock times of segments (EXT-X-PROGRAM-DATE-TIME): arrival times, without their jitter.

    Follows the media time, is drawn gently towards the arrivals, and moves on at once where those fall behind.
    """

    def __init__(self) -> None:
        self._last_s = 0.0

    def at(self, arrival_s: float, passed_s: float, *, exact: bool = False) -> float:
        """Return the unix time of something that came at ``arrival_s``, ``passed_s`` of media after the last one.

        Args:
            exact: it begins anew (a discontinuity): take the arrival time, as long as that is not before the last one.
        """
        expected_s = self._last_s + passed_s
        late_s = arrival_s - expected_s
        if not self._last_s or late_s > 1.0 or (exact and late_s > 0):
            self._last_s = arrival_s
        else:
            self._last_s = max(self._last_s, expected_s + late_s * 0.1)
        return self._last_s
