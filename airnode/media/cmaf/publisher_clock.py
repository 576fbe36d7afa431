"""Decides whether a publisher's timestamps can be used.

The timeline corrects small jitter, drift and single jumps. This module handles timestamps that are unusable:

- **Timestamps stand still** (all zero, seconds instead of milliseconds), **jump again and again**, or **run much faster
  than time** (another unit). From then on arrival times are used instead, for both tracks.
- **Composition offsets are impossible**: no order of frames causes 60 s on all frames, or on one. They are corrected.
"""

from typing import Final

from airnode.media.cmaf.bmff import VIDEO_TIMESCALE
from airnode.media.frames import Frame

#: A track's timestamps stand still if they advance by less than `LEAST_ADVANCE_90K` in `WATCHED_S`.
WATCHED_S, LEAST_ADVANCE_90K = 1.0, VIDEO_TIMESCALE // 20
#: Timestamps run too fast if, twice in a row, they advance by `FAST_STEP_90K` plus `FAST_RATE` times the time that
#: passed, and are `FAST_AHEAD_90K` ahead of the time since the first one. A network that catches up is never ahead.
FAST_STEP_90K, FAST_RATE, FAST_AHEAD_90K = 2 * VIDEO_TIMESCALE, 4, 5 * VIDEO_TIMESCALE
#: Timestamps are unusable after this many jumps, each less than `JUMPS_WITHIN_S` after the one before.
MOST_JUMPS, JUMPS_WITHIN_S = 4, 5.0
#: The longest composition offset in frames (H.264 A.3.1 allows 16 frames of reordering), and its limits in time.
_MOST_OFFSET_FRAMES: Final = 20
_LEAST_LIMIT_90K, _UNKNOWN_LIMIT_90K, _MOST_LIMIT_90K = VIDEO_TIMESCALE // 2, 2 * VIDEO_TIMESCALE, 5 * VIDEO_TIMESCALE


def arrival_90k(frame: Frame) -> int:
    """Return a frame's arrival time in ticks of 1/90,000 s."""
    return int(frame.arrived_s * VIDEO_TIMESCALE)


class PublisherClock:
    """Decides which time a frame gets: the publisher's time or its arrival time. No I/O and no clock.

    Attributes:
        uses_arrival: arrival times are used instead of the publisher's timestamps.
    """

    def __init__(self) -> None:
        self.uses_arrival = False
        self._video, self._audio = _TrackWatch(), _TrackWatch()
        self._jumps = 0
        self._last_jump_s = float("-inf")

    def fault(self, frame: Frame) -> str:
        """Return the code of a finding, once: the timestamps stand still or run too fast. Otherwise return nothing.

        From then on arrival times are used. It is enough to pass some of the frames, such as every 16th.
        """
        if self.uses_arrival:
            return ""
        fault = (self._video if frame.track == "video" else self._audio).fault(frame)
        self.uses_arrival = bool(fault)
        return fault

    def jumps_again(self, arrived_s: float) -> bool:
        """Count a jump. Return true once: when there were too many. From then on arrival times are used."""
        self._jumps = self._jumps + 1 if arrived_s - self._last_jump_s < JUMPS_WITHIN_S else 1
        self._last_jump_s = arrived_s
        if self.uses_arrival or self._jumps < MOST_JUMPS:
            return False
        self.uses_arrival = True
        return True


class _TrackWatch:
    """Compares how one track's timestamps advance with how time passes."""

    __slots__ = ("_advanced_90k", "_ahead_90k", "_arrived_s", "_dts_90k", "_fast_steps", "_passed_s")

    def __init__(self) -> None:
        #: Unix time at which the last frame arrived; 0: none has come yet.
        self._arrived_s = 0.0
        self._dts_90k = 0
        self._passed_s = 0.0
        self._advanced_90k = 0
        self._ahead_90k = 0.0
        self._fast_steps = 0

    def fault(self, frame: Frame) -> str:
        first = not self._arrived_s
        step_s, step_90k = frame.arrived_s - self._arrived_s, frame.dts_90k - self._dts_90k
        self._arrived_s, self._dts_90k = frame.arrived_s, frame.dts_90k
        if first:
            return ""
        passed_90k = step_s * VIDEO_TIMESCALE
        self._ahead_90k += step_90k - passed_90k
        if step_90k < FAST_STEP_90K + FAST_RATE * passed_90k:
            self._fast_steps = 0
        elif self._ahead_90k > FAST_AHEAD_90K:
            self._fast_steps += 1
            if self._fast_steps > 1:  # one is a jump
                return "clock_jumps"
        self._passed_s += step_s
        if step_90k > 0:
            self._advanced_90k += step_90k
        if self._passed_s < WATCHED_S:
            return ""
        advances = self._advanced_90k >= LEAST_ADVANCE_90K
        self._passed_s, self._advanced_90k = 0.0, 0
        return "" if advances else "clock_stuck"


class CompositionOffsets:
    """Corrects impossible composition offsets; decode times do not change."""

    def __init__(self) -> None:
        #: An impossible offset that all frames have.
        self._common_90k = 0
        self._last_90k = 0

    def correct(self, offset_90k: int, frame_rate: float, *, is_key: bool) -> tuple[int, bool]:
        """Return the offset to use, and whether the publisher's offset was impossible.

        Args:
            frame_rate: in frames a second; 0: unknown.
        """
        limit_90k = _UNKNOWN_LIMIT_90K
        if frame_rate:
            frames_90k = round(_MOST_OFFSET_FRAMES * VIDEO_TIMESCALE / frame_rate)
            limit_90k = min(max(_LEAST_LIMIT_90K, frames_90k), _MOST_LIMIT_90K)
        possible = -limit_90k <= offset_90k <= limit_90k
        if possible and (is_key or not -limit_90k <= offset_90k - self._common_90k <= limit_90k):
            self._common_90k = 0
        elif is_key:
            self._common_90k = offset_90k
        corrected_90k = offset_90k - self._common_90k
        if -limit_90k <= corrected_90k <= limit_90k:
            self._last_90k = corrected_90k
        return self._last_90k, not possible
