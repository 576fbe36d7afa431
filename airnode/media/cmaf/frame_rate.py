"""Measures how long a frame of the leading track lasts, and how far apart its key frames are."""

from collections import deque

from airnode.media.cmaf.bmff import VIDEO_TIMESCALE
from airnode.media.cmaf.stats import PackagerStats

_USUAL_RATES = (15.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48.0, 50.0, 60000 / 1001, 60.0)
#: A measured rate is published after this many frames.
_RELIABLE_FRAMES = 5


def near_usual_rate(frame_rate: float) -> float:
    """Return the usual frame rate within 0.05 percent of a measured one, else the measured one."""
    usual = min(_USUAL_RATES, key=lambda rate: abs(rate - frame_rate))
    return usual if abs(usual - frame_rate) < 0.0005 * usual else round(frame_rate, 3)


class FrameRateMeter:
    """The expected duration of a frame: first the declared or the first measured one, then a moving average.

    Attributes:
        frame_90k: expected duration of a frame in ticks of 1/90,000 s, as a fraction; 0: unknown.
    """

    def __init__(self, stats: PackagerStats) -> None:
        self._stats = stats
        self._declared = False
        self._measured_frames = 0
        self._key_intervals_90k: deque[int] = deque(maxlen=8)
        self.frame_90k = 0.0

    def begin(self, declared_frame_s: float) -> None:
        """Start a period. ``declared_frame_s`` is the frame duration that the publisher declared; 0: none."""
        self._declared = declared_frame_s > 0
        self._measured_frames = 0
        self._key_intervals_90k.clear()
        self.frame_90k = declared_frame_s * VIDEO_TIMESCALE

    def measure(self, duration_90k: int) -> None:
        """Update the average with a frame that lasted ``duration_90k``.

        The weight of a frame falls from 1 to 1/16. So a declared rate that is wrong is soon corrected, and later a
        single long frame changes little.
        """
        if not self.frame_90k:
            self.frame_90k = duration_90k
        self._measured_frames += 1
        if self._measured_frames >= _RELIABLE_FRAMES:
            duration_90k = min(duration_90k, round(8 * self.frame_90k))
        self.frame_90k += (duration_90k - self.frame_90k) / min(self._measured_frames, 16)
        self._stats.frame_rate = VIDEO_TIMESCALE / self.frame_90k

    def measure_key_interval(self, interval_90k: int) -> None:
        """Store the time between the last two key frames."""
        self._key_intervals_90k.append(interval_90k)
        self._stats.key_frame_interval_s = interval_90k / VIDEO_TIMESCALE

    @property
    def longest_key_interval_90k(self) -> int:
        """The longest of the last eight intervals between key frames; 0: no interval in this period yet."""
        return max(self._key_intervals_90k, default=0)

    @property
    def undeclared_rate(self) -> float | None:
        """The measured rate in frames a second; None: one was declared, or too few frames have been measured."""
        if self._declared or self._measured_frames < _RELIABLE_FRAMES:
            return None
        return near_usual_rate(self._stats.frame_rate)
