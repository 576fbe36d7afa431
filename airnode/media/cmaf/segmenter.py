"""From samples on the media timeline to parts and segments.

Part boundaries follow the leading track (video, where there is one) and lie at starts of frames: PART-TARGET is chosen
to fit the whole number of frames that comes nearest to the wished length. Where no frame starts between 85 % and
100 % of it (variable frame rates, a camera that hangs), the boundary is PART-TARGET itself and the frames fall into the
part in which they start, so that the 85 % rule of 4.4.4.9 holds all the same; audio fills such parts. Only a stretch
with neither audio nor a frame makes PART-TARGET grow.

All times in here are 90 kHz ticks unless a name says otherwise.
"""

from collections import deque
from math import ceil

from airnode.config.sections.hls import HlsSection
from airnode.errors import TooLarge
from airnode.media.cmaf.bmff import VIDEO_TIMESCALE
from airnode.media.cmaf.fragment import TrackRun, write_fragment
from airnode.media.cmaf.stats import PackagerStats
from airnode.media.cmaf.timeline import WallClock
from airnode.media.hls.window import MIN_TARGET_DURATION_S, Window

#: Added to whole frames for PART-TARGET: publishers round timestamps to milliseconds.
PART_SLACK = 2 * 90
#: The target duration is fixed after this, even if no second key frame came.
TARGET_DURATION_WAIT_S = 4.5
#: A segment may be longer than the target duration by this and still rounds to it.
ROUNDING_S = 0.45
#: Audio this far ahead of the last video frame: parts go on without video.
VIDEO_LATE = VIDEO_TIMESCALE // 2
#: ... while PART-TARGET is not chosen, this far: the first two frames may tell that they are slides.
FIRST_FRAME_WAIT = VIDEO_TIMESCALE * 5 // 4
#: ... and this far: the last key frame is shown as a still until the next one comes.
VIDEO_GONE = 3 * VIDEO_TIMESCALE

#: Audio frames kept while the first key frame has not come.
MOST_HELD_AUDIO = 64
_USUAL_RATES = (15.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48.0, 50.0, 60000 / 1001, 60.0)

VIDEO_TRACK_ID, AUDIO_TRACK_ID = 1, 2


class SegmentTooLarge(TooLarge):
    """A segment grew beyond ``hls.segment_max_bytes``: the publisher is to be cut off."""

    code, title = "segment_too_large", "Segment too large"


def near_usual_rate(frame_rate: float) -> float:
    """The usual frame rate within 0.05 percent of a measured one, else the measured one."""
    usual = min(_USUAL_RATES, key=lambda rate: abs(rate - frame_rate))
    return usual if abs(usual - frame_rate) < 0.0005 * usual else round(frame_rate, 3)


class _Pending:
    """The newest video frame, whose duration only the next one tells."""

    __slots__ = ("cts", "data", "key", "time")

    def __init__(self, time: int, cts: int, data: bytes, key: bool) -> None:
        self.time = time
        self.cts = cts
        self.data = data
        self.key = key


class Segmenter:
    """Cuts one publisher's samples and writes them into the window.

    A *period* is what lies between two discontinuities: one set of tracks, one initialization section.
    """

    def __init__(self, settings: HlsSection, window: Window, stats: PackagerStats) -> None:
        self._settings = settings
        self._window = window
        self._stats = stats
        self._sequence = 0
        #: End of everything given out so far; nothing later may begin before it.
        self.end = 0
        self._has_video = False
        self._audio_rate = 0
        self._declared = False
        self._frame = 0.0
        self._started = False
        self._opened = 0
        self._part_start = 0
        self._segment_start = 0
        self._segment_bytes = 0
        self._date = WallClock()
        self._now_s = 0.0
        self._closed_s = 0.0
        self._measured = 0
        self._video_end = 0
        self._pending: _Pending | None = None
        self._still: _Pending | None = None
        self._last_key: _Pending | None = None
        self._key_intervals: deque[int] = deque(maxlen=8)
        self._video_run: TrackRun | None = None
        self._audio_run: TrackRun | None = None
        self._has_key = False
        #: Frames that no part has taken yet: (start, start in samples, duration in samples, data).
        self._audio: deque[tuple[int, int, int, bytes]] = deque()

    # ---- periods ---------------------------------------------------------------------------------------------------

    def begin(self, *, has_video: bool, audio_rate: int, frame_s: float) -> None:
        """Start a period.

        Args:
            audio_rate: of the audio track; 0: there is none.
            frame_s: declared duration of a frame of the leading track; 0: unknown, measure it.
        """
        self._has_video = has_video
        self._audio_rate = audio_rate
        self._declared = frame_s > 0
        self._frame = frame_s * VIDEO_TIMESCALE
        self._started = False
        self._measured = 0
        self._video_end = 0
        self._key_intervals.clear()
        if self._frame and self._window.part_target_s and self._frame + PART_SLACK > self._part_target():
            self._grow(ceil(self._frame) + PART_SLACK)

    def finish(self) -> None:
        """End the period: give out what is there and close the segment."""
        if self._started:
            end = self._part_start
            if self._pending is not None:
                end = max(end, self._pending.time + max(1, round(self._frame)))
                self._cut_before(self._pending, end, self._part_target() or end)
                self._commit(end)
            if self._audio:
                start, _, samples, _ = self._audio[-1]
                end = max(end, start + samples * VIDEO_TIMESCALE // self._audio_rate)
            self._catch_up(end)
            self._cut(end)
            self._closed_s = (self._part_start - self._segment_start) / VIDEO_TIMESCALE
            self.end = max(self.end, end, self._video_end)
        else:
            self._stats.dropped["before_key"] += len(self._audio)
            self._stats.audio_samples -= len(self._audio)
        self._started = False
        self._pending = self._still = self._last_key = self._video_run = self._audio_run = None
        self._audio.clear()
        self._window.end_segment()

    # ---- samples ---------------------------------------------------------------------------------------------------

    def video(self, time: int, cts: int, data: bytes, *, key: bool, now: float) -> None:
        """Take a video frame; the first one of a period must be a key frame, times must grow."""
        self._now_s = now
        if not self._started:
            self._start(time)
        elif self._still is not None:
            if not key:
                self._stats.dropped["before_key"] += 1
                return
            self._show_still(time)
            self._still = None
        earliest = self._pending.time + 1 if self._pending is not None else self._video_end
        if time < earliest:
            # Later than its time because a still took the place: it is shown when it was meant to be.
            time, cts = earliest, cts + time - earliest
        if self._pending is not None:
            self._measure(time - self._pending.time)
            self._lead(time, key)
        if key:
            self._count_key(time)
        self._pending = _Pending(time, cts, data, key)
        if key:
            self._last_key = self._pending

    def audio(self, start_samples: int, samples: int, data: bytes, now: float) -> None:
        """Take an audio frame; times must grow. Leads where there is no video, or none comes any more."""
        self._now_s = now
        start = start_samples * VIDEO_TIMESCALE // self._audio_rate
        end = (start_samples + samples) * VIDEO_TIMESCALE // self._audio_rate
        if not self._started:
            if self._has_video:
                self._hold((start, start_samples, samples, data))
                return
            self._start(start)
        self._audio.append((start, start_samples, samples, data))
        if not self._has_video:
            self._frame = self._frame or end - start
            self._lead(end, True)
        elif end > self._part_start + (VIDEO_LATE if self._window.part_target_s else FIRST_FRAME_WAIT):
            self._audio_leads(end)

    def _hold(self, frame: tuple[int, int, int, bytes]) -> None:
        """Keep audio that comes before the first key frame: some of it may belong beside that."""
        self._audio.append(frame)
        if len(self._audio) > MOST_HELD_AUDIO:
            self._drop_held()

    def _drop_held(self) -> None:
        self._audio.popleft()
        self._stats.dropped["before_key"] += 1
        self._stats.audio_samples -= 1

    # ---- boundaries ------------------------------------------------------------------------------------------------

    def _start(self, time: int) -> None:
        self._started = True
        self._opened = self._part_start = time
        while self._audio and self._audio[0][0] + self._audio[0][2] * VIDEO_TIMESCALE // self._audio_rate <= time:
            self._drop_held()
        self._roll(independent=True)

    def _lead(self, time: int, key: bool) -> None:
        """The leading track's next frame begins at ``time``: cut what ends here or before."""
        target = self._part_target() or self._choose_part_target(time)
        if not target:
            self._commit(time)
            return
        if self._pending is not None:
            self._cut_before(self._pending, time, target)
        self._commit(time)
        self._catch_up(time)
        length = time - self._part_start
        if self._segment_ends(time - self._segment_start, key, self._frame):
            self._cut(time)
            # Behind the audio clock, what waits to be written comes first: the key frame does not begin the segment.
            self._roll(independent=key and self._video_run is None)
        elif length > target or (length >= 0.85 * target and length + self._frame > target):
            self._cut(time)

    def _cut_before(self, frame: _Pending, end: int, target: int) -> None:
        """Cut where the pending frame begins, if it turned out too long for the part or the segment that is open."""
        begin = max(frame.time, self._part_start)
        if end - self._segment_start > self._segment_limit() and begin > self._segment_start:
            self._cut(begin)
            independent = frame.key and self._video_run is None
            self._stats.forced_segments += not independent
            self._roll(independent=independent)
        elif end - self._part_start > target and frame.time - self._part_start >= 0.85 * target:
            self._cut(frame.time)

    def _catch_up(self, time: int) -> None:
        """Cut at PART-TARGET for as long as a frame overflows it and there is something to put into parts."""
        target = self._part_target()
        while target and time - self._part_start > target:
            filled = bool(self._audio) and self._audio[-1][0] >= self._part_start + target
            if not filled and time - self._part_start > 2 * target:
                return
            if not self._split(target):
                return

    def _audio_leads(self, end: int) -> None:
        """Video is late: cut by the audio clock, and show a still where video seems gone."""
        target = self._part_target() or self._choose_part_target(end)
        if self._pending is not None and end - self._pending.time > VIDEO_GONE and self._last_key is not None:
            self._still = self._last_key
            self._commit(max(self._part_start, self._pending.time + 1))
        while end - self._part_start > target + VIDEO_LATE:
            if not self._split(target):
                return

    def _split(self, target: int) -> bool:
        """Cut at PART-TARGET, no matter where frames begin."""
        if not self._cut(self._part_start + target):
            return False
        independent = self._still is not None
        if self._segment_ends(self._part_start - self._segment_start, independent, target):
            self._roll(independent=independent)
        return True

    def _segment_ends(self, length: int, key: bool, step: float) -> bool:
        """Whether the segment ends after ``length``; the next chance comes ``step`` later."""
        limit = self._segment_limit()
        if length + step > limit:
            self._stats.forced_segments += not key
            return True
        if not key or length <= 0:
            return False
        if length >= self._settings.segment_duration_s * VIDEO_TIMESCALE - self._frame / 2:
            return True
        longest = max(self._key_intervals, default=0)
        return longest <= limit < length + longest

    def _segment_limit(self) -> float:
        longest_s = self._settings.segment_max_s
        if self._window.target_duration_s:
            longest_s = min(longest_s, self._window.target_duration_s + ROUNDING_S)
        return longest_s * VIDEO_TIMESCALE

    def _roll(self, *, independent: bool) -> None:
        """Begin a segment where the open part begins; the first that ends tells the target duration."""
        time = self._part_start
        if not self._window.target_duration_s and time > self._opened:
            longest_s = max((time - self._segment_start) / VIDEO_TIMESCALE - 0.05, self._settings.segment_duration_s)
            self._window.freeze_target_duration(max(MIN_TARGET_DURATION_S, ceil(longest_s)))
        first = time == self._opened
        passed_s = self._closed_s if first else (time - self._segment_start) / VIDEO_TIMESCALE
        self._window.begin_segment(self._date.at(self._now_s, passed_s, exact=first), independent=independent)
        self._segment_start = time
        self._segment_bytes = 0
        if self._has_video and self._measured > 4 and not self._declared:
            self._window.set_frame_rate(near_usual_rate(self._stats.frame_rate))

    # ---- writing ---------------------------------------------------------------------------------------------------

    def _commit(self, end: int) -> None:
        """Put the pending frame into the open part; it lasts until ``end``."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._add_video(pending, pending.time, end - pending.time)

    def _add_video(self, frame: _Pending, time: int, duration: int) -> None:
        if self._video_run is None:
            self._video_run = TrackRun(VIDEO_TRACK_ID, time, video=True)
        self._video_run.add_video(frame.data, duration, frame.cts, key=frame.key)
        self._has_key |= frame.key
        self._video_end = time + duration

    def _show_still(self, until: int) -> None:
        if self._still is not None and until > self._video_end:
            self._stats.repeated_stills += 1
            self._add_video(self._still, self._video_end, until - self._video_end)

    def _take_audio(self, end: int) -> None:
        """Move the frames that start before ``end`` into the open part."""
        audio = self._audio
        while audio and audio[0][0] < end:
            _, start, samples, data = audio.popleft()
            run = self._audio_run
            if run is None:
                self._audio_run = run = TrackRun(AUDIO_TRACK_ID, start, video=False)
            elif start > run.base_time + run.duration:
                run.stretch_last(start - run.base_time - run.duration)
            run.add_audio(data, samples)

    def _cut(self, end: int) -> bool:
        """Close the part at ``end``; False where nothing was in it, and it stays open."""
        if end <= self._part_start:
            return False
        limit = int(self._segment_limit())
        if end - self._segment_start > limit and self._part_start > self._segment_start:
            self._stats.forced_segments += 1
            self._roll(independent=False)
        if end - self._part_start > limit:
            # A hole longer than any segment may be: what there is before it, and the hole goes to what follows.
            cut = self._cut(self._part_start + limit)
            return (cut and self._cut(end)) or cut
        self._take_audio(end)
        self._show_still(end)
        runs = [run for run in (self._video_run, self._audio_run) if run is not None]
        if not runs:
            return False
        length = end - self._part_start
        if length > self._part_target():
            self._grow(max(length, self._settings.part_target_ms * 90))
        self._sequence += 1
        data = write_fragment(self._sequence, runs)
        self._video_run = self._audio_run = None
        independent, self._has_key = self._has_key or not self._has_video, False
        self._part_start = end
        self._window.add_part(data, length / VIDEO_TIMESCALE, independent=independent)
        self._check(len(data))
        return True

    def _check(self, size: int) -> None:
        """Enforce the byte limit; stop waiting for a key frame to tell the target duration."""
        self._segment_bytes += size
        if self._segment_bytes > self._settings.segment_max_bytes:
            limit = self._settings.segment_max_bytes
            raise SegmentTooLarge(f"The stream has more than {limit} bytes in one segment (hls.segment_max_bytes).")
        waited_s = (self._part_start - self._opened) / VIDEO_TIMESCALE
        if not self._window.target_duration_s and waited_s >= TARGET_DURATION_WAIT_S:
            self._window.freeze_target_duration(ceil(self._settings.segment_max_s))

    # ---- measures --------------------------------------------------------------------------------------------------

    def _part_target(self) -> int:
        return round(self._window.part_target_s * VIDEO_TIMESCALE)

    def _choose_part_target(self, time: int) -> int:
        """Fix PART-TARGET once enough frames came to measure them; 0 until then."""
        wish = self._settings.part_target_ms * 90
        if time - self._opened + self._frame < wish:
            return 0
        frame = self._frame or wish
        frames = max(1, round(wish / frame))
        self._window.set_part_target(ceil((frames * frame + PART_SLACK) / 90) / 1000)
        return self._part_target()

    def _grow(self, length: int) -> None:
        if self._window.part_target_s:
            self._stats.irregular_parts += 1
        self._window.set_part_target(ceil(length / 90) / 1000)

    def _measure(self, duration: int) -> None:
        """Follow the frame duration; a single long frame counts little, a declared rate that is wrong not for long."""
        if not self._frame:
            self._frame = duration
        self._measured += 1
        if self._measured > 4:
            duration = min(duration, round(8 * self._frame))
        self._frame += (duration - self._frame) / min(self._measured, 16)
        self._stats.frame_rate = VIDEO_TIMESCALE / self._frame

    def _count_key(self, time: int) -> None:
        if self._last_key is not None:
            interval = time - self._last_key.time
            self._key_intervals.append(interval)
            self._stats.key_frame_interval_s = interval / VIDEO_TIMESCALE
