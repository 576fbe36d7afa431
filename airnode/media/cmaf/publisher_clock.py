"""How far a publisher's timestamps are believed.

Small jitter, drift and single jumps are the timeline's business. This file is about clocks that are no clocks:

- **Timestamps stand still** (all zero, seconds instead of milliseconds), or **jump again and again** (another unit).
  From then on the times of arrival are used instead, for both tracks.
- **Composition offsets** that no order of frames can explain: 60 s on all frames, or on one.
"""

from typing import Final

from airnode.media.cmaf.bmff import VIDEO_TIMESCALE
from airnode.media.frames import Frame

#: A track whose timestamps advance by less than `LEAST_ADVANCE_90K` in `WATCHED_S` of its frames stands still.
WATCHED_S, LEAST_ADVANCE_90K = 1.0, VIDEO_TIMESCALE // 20
#: So many jumps, with less than `JUMPS_WITHIN_S` between each two, are no clock.
MOST_JUMPS, JUMPS_WITHIN_S = 4, 5.0
#: The longest composition offset in frames (H.264 A.3.1 allows 16 frames of reordering), and its limits in time.
_MOST_OFFSET_FRAMES: Final = 20
_LEAST_LIMIT_90K, _UNKNOWN_LIMIT_90K, _MOST_LIMIT_90K = VIDEO_TIMESCALE // 2, 2 * VIDEO_TIMESCALE, 5 * VIDEO_TIMESCALE


def arrival_90k(frame: Frame) -> int:
    """Return when a frame arrived, in ticks of 1/90,000 s."""
    return int(frame.arrived_s * VIDEO_TIMESCALE)


class PublisherClock:
    """Decides which time counts for each frame: the publisher's, or that of its arrival. No I/O and no clock.

    Attributes:
        uses_arrival: the publisher's timestamps are not believed any more.
    """

    def __init__(self) -> None:
        self.uses_arrival = False
        self._video, self._audio = _TrackWatch(), _TrackWatch()
        self._jumps = 0
        self._last_jump_s = float("-inf")

    def stands_still(self, frame: Frame) -> bool:
        """Return whether the timestamps stand still since some time; from then on, arrival counts.

        Needs only some of the frames, such as each 16th.
        """
        if self.uses_arrival or (self._video if frame.track == "video" else self._audio).advances(frame):
            return False
        self.uses_arrival = True
        return True

    def jumps_again(self, arrived_s: float) -> bool:
        """Note a jump. Return whether they were too many; from then on, arrival counts."""
        self._jumps = self._jumps + 1 if arrived_s - self._last_jump_s < JUMPS_WITHIN_S else 1
        self._last_jump_s = arrived_s
        if self.uses_arrival or self._jumps < MOST_JUMPS:
            return False
        self.uses_arrival = True
        return True


class _TrackWatch:
    """Compares how timestamps advance with how time passes, for one track."""

    __slots__ = ("_advanced_90k", "_arrived_s", "_dts_90k", "_passed_s")

    def __init__(self) -> None:
        self._arrived_s = 0.0
        self._dts_90k = -(1 << 62)
        self._passed_s = 0.0
        self._advanced_90k = 0

    def advances(self, frame: Frame) -> bool:
        step_s, step_90k = frame.arrived_s - self._arrived_s, frame.dts_90k - self._dts_90k
        self._arrived_s, self._dts_90k = frame.arrived_s, frame.dts_90k
        self._passed_s += step_s
        if step_90k > 0:
            self._advanced_90k += step_90k
        if self._passed_s < WATCHED_S:
            return True
        advances = self._advanced_90k >= LEAST_ADVANCE_90K
        self._passed_s, self._advanced_90k = 0.0, 0
        return advances


class CompositionOffsets:
    """Corrects composition offsets that are no order of frames; decode times stay."""

    def __init__(self) -> None:
        #: An impossible offset that all frames have.
        self._common_90k = 0
        self._last_90k = 0

    def correct(self, offset_90k: int, frame_rate: float, *, is_key: bool) -> tuple[int, bool]:
        """Return the offset to use, and whether the frame's own one was impossible.

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
