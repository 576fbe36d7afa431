"""Decides whether a publisher's timestamps can be used.

The timeline corrects small jitter, drift and single jumps. This module handles timestamps that are unusable:

- **Timestamps stand still** (all zero, seconds instead of milliseconds), **jump again and again**, **run much faster
  than time** (another unit), or **at another speed than the sound itself** (half, double). From then on arrival times
  are used instead, for both tracks.
- **Composition offsets are impossible**: no order of frames causes 60 s on all frames, or on one. They are corrected.
"""

from typing import Final

from airnode.media.cmaf.bmff import VIDEO_TIMESCALE
from airnode.media.frames import AudioConfig, Frame

#: A track's timestamps stand still if they advance by less than `LEAST_ADVANCE_90K` in `WATCHED_S`.
WATCHED_S, LEAST_ADVANCE_90K = 1.0, VIDEO_TIMESCALE // 20
#: Timestamps run too fast if, twice in a row, they advance by `FAST_STEP_90K` plus `FAST_RATE` times the time that
#: passed, and are `FAST_AHEAD_90K` ahead of the time since the first one. A network that catches up is never ahead.
FAST_STEP_90K, FAST_RATE, FAST_AHEAD_90K = VIDEO_TIMESCALE, 4, 3 * VIDEO_TIMESCALE
#: Timestamps run at another speed if, in `SPEED_WINDOWS` periods of `SPEED_WINDOW_S` in a row, they advance by less
#: than `SLOW_SPEED` or more than `FAST_SPEED` of the sound that came, and as much sound came as time passed, with a
#: tolerance of `_SOUND_FITS`. What a network holds up has the right speed; of sound that is lost too little comes.
SPEED_WINDOW_S, SPEED_WINDOWS, SLOW_SPEED, FAST_SPEED, _SOUND_FITS = 1.5, 2, 0.75, 1.33, 0.2
#: A step between two checks that differs so much from the time that passed is a jump.
_SPEED_JUMP_90K: Final = VIDEO_TIMESCALE
#: Timestamps are unusable after this many jumps, each less than `JUMPS_WITHIN_S` after the one before.
MOST_JUMPS, JUMPS_WITHIN_S = 4, 5.0
#: Timestamps are checked at each of the first frames, since a wrong unit does most harm there, and then at each 16th.
CHECK_FRAMES, _CHECK_MASK = 64, 15
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
        self._video, self._audio, self._speed = _TrackWatch(), _TrackWatch(), _SpeedWatch()
        self._frames = 0
        self._sound_s = 0.0
        self._jumps = 0
        self._last_jump_s = float("-inf")

    def fault(self, frame: Frame, sound: AudioConfig | None = None) -> str:
        """Take each frame. Return the code of a finding, once: the timestamps cannot be used. Otherwise return nothing.

        From then on arrival times are used.

        Args:
            sound: configuration of the audio track.
        """
        if self.uses_arrival:
            return ""
        self._frames += 1
        if frame.track == "audio" and sound is not None:
            self._sound_s += (frame.duration_samples or sound.samples_per_frame) / sound.sample_rate
        if self._frames > CHECK_FRAMES and self._frames & _CHECK_MASK:
            return ""
        if frame.track == "video":
            fault = self._video.fault(frame)
        else:
            fault = self._audio.fault(frame) or self._speed.fault(frame, self._sound_s)
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
        self._fast_steps = self._fast_steps + 1 if step_90k >= FAST_STEP_90K + FAST_RATE * passed_90k else 0
        if self._fast_steps > 1 and self._ahead_90k > FAST_AHEAD_90K:  # one step is a jump
            return "clock_jumps"
        self._passed_s += step_s
        if step_90k > 0:
            self._advanced_90k += step_90k
        if self._passed_s < WATCHED_S:
            return ""
        advances = self._advanced_90k >= LEAST_ADVANCE_90K
        self._passed_s, self._advanced_90k = 0.0, 0
        return "" if advances else "clock_stuck"


class _SpeedWatch:
    """Compares the speed of the sound's timestamps with the amount of sound that comes."""

    __slots__ = ("_begin", "_last", "_wrong")

    def __init__(self) -> None:
        #: (arrival in seconds, timestamp, seconds of sound so far) as the period began, and at the last check.
        self._begin: tuple[float, int, float] | None = None
        self._last: tuple[float, int, float] | None = None
        self._wrong = 0

    def fault(self, frame: Frame, heard_s: float) -> str:
        last, now = self._last, (frame.arrived_s, frame.dts_90k, heard_s)
        self._last = now
        if last is None or self._begin is None or _differs(last, now):
            self._begin = now
            return ""
        passed_s = now[0] - self._begin[0]
        if passed_s < SPEED_WINDOW_S:
            return ""
        advanced_s, sound_s = (now[1] - self._begin[1]) / VIDEO_TIMESCALE, now[2] - self._begin[2]
        fits = abs(sound_s - passed_s) < _SOUND_FITS * passed_s
        is_wrong = fits and not SLOW_SPEED * sound_s <= advanced_s <= FAST_SPEED * sound_s
        self._begin, self._wrong = now, self._wrong + 1 if is_wrong else 0
        return "clock_speed" if self._wrong >= SPEED_WINDOWS else ""


def _differs(last: tuple[float, int, float], now: tuple[float, int, float]) -> bool:
    """Return whether the timestamps jumped between two checks."""
    return abs(now[1] - last[1] - (now[0] - last[0]) * VIDEO_TIMESCALE) > _SPEED_JUMP_90K


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
