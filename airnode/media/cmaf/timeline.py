"""From a publisher's clock to the media timeline, on which decode times never go back.

A publisher's timestamps are milliseconds from an arbitrary origin, rounded, jittery, and sometimes broken: they jump
when an encoder restarts, and audio and video may count from different origins. The media timeline starts at
``START_90K`` (so that a negative composition offset never makes a negative time) and only goes forward.

Three kinds of time are used here, and the names show which one is meant:

- ``dts_90k``: decode time on the publisher's clock; ``media_90k``: decode time on the media timeline. Both are ticks
  of 1/90,000 s.
- ``..._samples``: audio, counted exactly; 1,024 samples at 44.1 kHz are not a whole number of ticks.
- ``..._s``: unix time at which something arrived, in seconds.
"""

from dataclasses import dataclass

from airnode.media.cmaf.bmff import VIDEO_TIMESCALE
from airnode.media.cmaf.stats import PackagerStats
from airnode.media.frames import TrackKind

#: Where the media timeline begins: 10 s.
START_90K = 10 * VIDEO_TIMESCALE
#: Timestamps this far from the latest times of both tracks are a jump: the clock is broken, or the publisher paused,
#: and viewers should not have to wait for the length of the pause. A pause is no discontinuity: timestamps advanced as
#: time did, and no picture is missing.
JUMP_90K = 2 * VIDEO_TIMESCALE
#: In a stream with one track, timestamps that go on as time does are a picture that stands still, up to this length.
LONGEST_STILL_90K = 10 * VIDEO_TIMESCALE
#: After a jump or a new publisher the timeline continues this long after its latest time, so that the next frame does
#: not overlap the last ones.
REBASE_GAP_90K = VIDEO_TIMESCALE // 10
#: The same for a track that jumps alone. Chromium shows no picture for 3 s behind a hole in it that is longer than two
#: frames, if the sound has none.
JUMP_GAP_90K = VIDEO_TIMESCALE // 50
#: Audio is timed by counting samples while the publisher's rounded clock differs by less than this; if it differs by
#: more, frames were lost.
AUDIO_TOLERANCE_MS = 60
#: Correction of drift starts above the first, stops below the second, and changes a frame by at most the third.
DRIFT_START_MS, DRIFT_STOP_MS, DRIFT_STEP_SAMPLES = 6.0, 1.0, 8


@dataclass(slots=True)
class _TrackClock:
    """How one track's clock maps to the media timeline: ``media_90k = dts_90k + shift_90k``.

    Attributes:
        head_90k: the latest media time of the track.
        arrived_90k: when the latest frame arrived.
    """

    shift_90k: int
    head_90k: int
    arrived_90k: int = 0


class Timeline:
    """Maps both tracks' timestamps to one media timeline.

    Both tracks have the same shift as long as the publisher counts them from the same origin: this keeps them exactly
    in sync. A track that jumps gets the other track's shift if that fits (usually both jump by the same amount),
    otherwise it continues at the head of the timeline.
    """

    def __init__(self) -> None:
        self._clocks: dict[TrackKind, _TrackClock] = {}
        self._origin_90k = START_90K

    @property
    def head_90k(self) -> int:
        """The latest media time of any track."""
        return max((clock.head_90k for clock in self._clocks.values()), default=self._origin_90k)

    def rebase(self) -> None:
        """Forget the publisher's clock, as a new publisher comes; the media timeline continues after its head."""
        if self._clocks:
            self._origin_90k = self.head_90k + REBASE_GAP_90K
            self._clocks.clear()

    def place(self, track: TrackKind, dts_90k: int, arrived_90k: int = 0) -> tuple[int, bool]:
        """Return the media time in 90 kHz ticks, and whether the publisher's timestamps jumped at this frame."""
        clock = self._clocks.get(track)
        if clock is None:
            self._clocks[track] = clock = self._first(track, dts_90k)
            clock.arrived_90k = arrived_90k
            return clock.head_90k, False
        media_90k = dts_90k + clock.shift_90k
        jumped = False
        passed_90k, clock.arrived_90k = arrived_90k - clock.arrived_90k, arrived_90k
        step_90k = media_90k - clock.head_90k
        if abs(step_90k) > JUMP_90K:
            is_pause = abs(step_90k - passed_90k) < JUMP_90K // 2
            if not (is_pause and len(self._clocks) == 1 and step_90k <= LONGEST_STILL_90K):
                jumped = self._reanchor(track, clock, dts_90k) and not is_pause
                media_90k = dts_90k + clock.shift_90k
        if media_90k > clock.head_90k:
            clock.head_90k = media_90k
        return media_90k, jumped

    def _first(self, track: TrackKind, dts_90k: int) -> _TrackClock:
        other = self._other(track)
        if other is None:
            return _TrackClock(self._origin_90k - dts_90k, self._origin_90k)
        media_90k = dts_90k + other.shift_90k
        if abs(media_90k - other.head_90k) > JUMP_90K:
            media_90k = other.head_90k
        return _TrackClock(media_90k - dts_90k, media_90k)

    def _reanchor(self, track: TrackKind, clock: _TrackClock, dts_90k: int) -> bool:
        """Give the track a new shift. Return False if it is the other track's shift: this is no jump."""
        other = self._other(track)
        if other is not None and abs(dts_90k + other.shift_90k - other.head_90k) <= JUMP_90K:
            clock.shift_90k = other.shift_90k
            return False
        clock.shift_90k = self.head_90k + (REBASE_GAP_90K if other is None else JUMP_GAP_90K) - dts_90k
        return True

    def _other(self, track: TrackKind) -> _TrackClock | None:
        return self._clocks.get("audio" if track == "video" else "video")


class AudioClock:
    """Decode times of audio frames: exact sample counts that follow the publisher's clock.

    Small drift is corrected by making single frames a few samples longer or shorter. A hole is counted in whole frames,
    since decoders play only whole frames: so the next frame is at most half a frame from the publisher's time. Frames
    that begin before the end of the last one are dropped. Frames with the timestamp of the one before follow it: some
    encoders give several frames one timestamp.

    Args:
        stats: counts gaps, overlaps and corrections.
        not_before_samples: earliest decode time of the first frame.

    Attributes:
        next_samples: the decode time at which the next frame can begin.
        started: the first frame, or silence before it, has been placed.
    """

    def __init__(
        self, sample_rate: int, samples_per_frame: int, stats: PackagerStats, not_before_samples: int = 0
    ) -> None:
        self._sample_rate = sample_rate
        self._samples_per_frame = samples_per_frame
        self._least_tolerance_samples = samples_per_frame // 2 + 1
        self.tolerate(AUDIO_TOLERANCE_MS)
        self.next_samples = not_before_samples
        self.started = False
        self._last_90k = -1
        self._drift_samples = 0.0
        self._correcting = False
        self._stats = stats

    def tolerate(self, jitter_ms: int) -> None:
        """Set how far the publisher's clock may differ from the count."""
        self._usual_tolerance_samples = max(self._least_tolerance_samples, self._sample_rate * jitter_ms // 1000)
        self._tolerance_samples = self._usual_tolerance_samples

    def place(self, media_90k: int, duration_samples: int = 0) -> tuple[int, int] | None:
        """Return (decode time, duration) in samples, or None if the frame must be dropped.

        Args:
            duration_samples: duration of this frame; 0: ``samples_per_frame``.
        """
        if media_90k == self._last_90k:
            dts_samples, duration_samples = self.next_samples, duration_samples or self._samples_per_frame
            self.next_samples += duration_samples
            return dts_samples, duration_samples
        self._last_90k = media_90k
        ahead_samples = media_90k * self._sample_rate // VIDEO_TIMESCALE - self.next_samples
        if not self.started:
            self.started = True
            if ahead_samples > 0:
                self.next_samples += ahead_samples
                ahead_samples = 0
        if ahead_samples > self._tolerance_samples:
            self._stats.audio_gaps += 1
            hole_samples = self.whole_frames(ahead_samples) * self._samples_per_frame
            self.next_samples += hole_samples
            ahead_samples -= hole_samples
            self._drift_samples = ahead_samples
        elif ahead_samples < -self._tolerance_samples:
            self._stats.dropped["audio_overlap"] += 1
            return None
        elif self._tolerance_samples != self._usual_tolerance_samples:
            self._drift_samples = ahead_samples
        self._tolerance_samples = self._usual_tolerance_samples
        duration_samples = (duration_samples or self._samples_per_frame) + self._correction(ahead_samples)
        dts_samples = self.next_samples
        self.next_samples = dts_samples + duration_samples
        return dts_samples, duration_samples

    def whole_frames(self, samples: int) -> int:
        """Return the number of whole frames that is nearest to this time."""
        return (2 * samples + self._samples_per_frame) // (2 * self._samples_per_frame)

    def fill(self, frames: int) -> int:
        """Count frames of silence. Return the decode time of the first one.

        The next frame is placed as exactly as whole frames allow.
        """
        begin_samples = self.next_samples
        self.next_samples += frames * self._samples_per_frame
        self._tolerance_samples = self._least_tolerance_samples
        return begin_samples

    def begin(self, at_samples: int) -> None:
        """Begin with silence at this decode time, but not before the end of the last period."""
        self.started = True
        self.next_samples = max(self.next_samples, at_samples)

    def _correction(self, ahead_samples: int) -> int:
        """Return the samples to add to this frame.

        Args:
            ahead_samples: how far the publisher's clock is ahead of the count.
        """
        self._drift_samples += (ahead_samples - self._drift_samples) / 32
        drift_ms = abs(self._drift_samples) * 1000 / self._sample_rate
        self._correcting = drift_ms > (DRIFT_STOP_MS if self._correcting else DRIFT_START_MS)
        if not self._correcting:
            return 0
        step_samples = max(-DRIFT_STEP_SAMPLES, min(DRIFT_STEP_SAMPLES, round(self._drift_samples / 16)))
        self._drift_samples -= step_samples
        self._stats.audio_corrections += 1 if step_samples else 0
        return step_samples


class WallClock:
    """Wall-clock times of segments (EXT-X-PROGRAM-DATE-TIME): arrival times without their jitter.

    It advances with the media time and moves slowly towards the arrival times; when it is more than 1 s behind them, it
    jumps forward.
    """

    def __init__(self) -> None:
        self._last_s = 0.0

    def at(self, arrived_s: float, passed_s: float, *, exact: bool = False) -> float:
        """Return the unix time of a segment that arrived at ``arrived_s``, ``passed_s`` of media after the last one.

        Args:
            exact: true at a discontinuity: return the arrival time, if it is later than the expected time.
        """
        expected_s = self._last_s + passed_s
        late_s = arrived_s - expected_s
        if not self._last_s or late_s > 1.0 or (exact and late_s > 0):
            self._last_s = arrived_s
        else:
            self._last_s = max(self._last_s, expected_s + late_s * 0.1)
        return self._last_s
