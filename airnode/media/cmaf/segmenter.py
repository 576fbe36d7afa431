"""From frames on the media timeline to parts and segments.

Parts begin where frames of the leading track begin (the video track, if there is one). PART-TARGET is chosen as the
duration of the whole number of frames that is nearest to ``hls.part_target_ms``. If no frame begins between 85 % and
100 % of it (variable frame rate, a camera that hangs), the part ends exactly at PART-TARGET, and a frame belongs to the
part in which it begins; audio fills such parts. So the 85 % rule of draft-pantos-hls-rfc8216bis 4.4.4.9 always holds.
PART-TARGET grows only when neither an audio nor a video frame comes for longer than that.

Why this is more than "cut every 200 ms":

- The duration of a video frame is not known until the next one comes. So the newest frame is *pending*: it is in no
  part yet. Audio frames have known durations; they wait in a queue until a part ends after their start.
- The target duration must never change after a playlist was served, and the publisher's key frame interval is not known
  at the start. So the window is not served until the first segment has ended, and every later segment ends, with a key
  frame or without one, before its duration would round to more than the target duration.
- If the camera stops, parts must continue, or every player stalls: after `VIDEO_LATE_90K` audio becomes the leading
  track, and after `VIDEO_GONE_90K` the last key frame is written again as a *still* until the next key frame comes.

Times are decode times on the media timeline in ticks of 1/90,000 s (``..._90k``). ``_part_start_90k`` and
``_segment_start_90k`` are the start times of the open part and the open segment.
"""

from collections import deque
from math import ceil

from msgspec.structs import replace

from airnode.config.sections.hls import HlsSection
from airnode.errors import TooLarge
from airnode.media.cmaf.bmff import VIDEO_TIMESCALE
from airnode.media.cmaf.frame_rate import FrameRateMeter
from airnode.media.cmaf.open_part import OpenPart
from airnode.media.cmaf.stats import PackagerStats
from airnode.media.cmaf.timeline import WallClock
from airnode.media.codecs.in_band import with_parameter_sets
from airnode.media.frames import Frame
from airnode.media.hls.window import MIN_TARGET_DURATION_S, Window

#: Added to the duration of whole frames for PART-TARGET, as publishers round timestamps to milliseconds.
PART_SLACK_90K = 2 * 90
#: After this time the target duration is fixed, even if no second key frame came.
TARGET_DURATION_WAIT_S = 4.5
#: A segment may be this much longer than the target duration: its duration still rounds to it.
ROUNDING_S = 0.45
#: When audio is this far ahead of the last video frame, parts continue without video.
VIDEO_LATE_90K = VIDEO_TIMESCALE // 2
#: The same while PART-TARGET is not chosen yet: at one frame a second (slides), the second frame comes after 1 s.
FIRST_FRAME_WAIT_90K = VIDEO_TIMESCALE * 5 // 4
#: When audio is this far ahead, the last key frame is written as a still until the next one comes.
VIDEO_GONE_90K = 3 * VIDEO_TIMESCALE
#: At most this many audio frames are kept until the first key frame comes.
EARLY_AUDIO_FRAMES = 64


class SegmentTooLarge(TooLarge):
    """A segment has more than ``hls.segment_max_bytes``: the publisher is disconnected."""

    code, title = "segment_too_large", "Segment too large"


class Segmenter:
    """Cuts one publisher's frames into parts and segments, and writes them into the window.

    A *period* is the frames between two discontinuities: one set of tracks, one initialization section.
    """

    def __init__(self, settings: HlsSection, window: Window, stats: PackagerStats) -> None:
        self._settings = settings
        self._window = window
        self._stats = stats
        #: End of the last period; the next one may not begin before it.
        self.end_90k = 0
        self._has_video = False
        self._audio_rate = 0
        self._parameter_sets = b""
        #: The period has begun: the first key frame has come, or without video the first audio frame.
        self._started = False
        self._period_start_90k = 0
        self._part_start_90k = 0
        self._segment_start_90k = 0
        self._segment_bytes = 0
        #: The longest duration of a segment, for this target duration; 0: the target duration is not known yet.
        self._limited_to_s, self._limit_90k = 0, settings.segment_max_s * VIDEO_TIMESCALE
        self._wall_clock = WallClock()
        #: Unix time at which the newest frame arrived.
        self._arrived_s = 0.0
        #: Duration of the last segment of the period before.
        self._last_segment_s = 0.0
        self._rate = FrameRateMeter(stats)
        self._part = OpenPart()
        #: The newest video frame: its duration is known when the next one comes.
        self._pending: Frame | None = None
        #: The key frame that is repeated while no video comes; None: video comes.
        self._still: Frame | None = None
        self._last_key: Frame | None = None
        #: Audio frames that no part has taken yet.
        self._audio: deque[Frame] = deque()

    # ---- periods ---------------------------------------------------------------------------------------------------

    def begin(self, *, has_video: bool, audio_rate: int, frame_s: float, parameter_sets: bytes = b"") -> None:
        """Start a period.

        Args:
            parameter_sets: written into each key frame as well: Chromium reads only the first sample entry of a
                downloaded recording, and not those after a change of the picture's size.
            audio_rate: sample rate of the audio track in Hz; 0: there is no audio track.
            frame_s: declared duration of a frame of the leading track; 0: unknown.
        """
        self._has_video = has_video
        self._audio_rate = audio_rate
        self._parameter_sets = parameter_sets
        self._started = False
        self._rate.begin(frame_s)
        self._part.begin_period()
        frame_90k = self._rate.frame_90k
        if frame_90k and self._window.part_target_s and frame_90k + PART_SLACK_90K > self._part_target_90k():
            self._grow_part_target(ceil(frame_90k) + PART_SLACK_90K)

    def finish(self) -> None:
        """End the period: write the frames that wait, and close the segment."""
        if self._started:
            end_90k = self._part_start_90k
            if self._pending is not None:
                end_90k = max(end_90k, self._pending.dts_90k + max(1, round(self._rate.frame_90k)))
                self._cut_before(self._pending, end_90k, self._part_target_90k() or end_90k)
                self._commit(end_90k)
            if self._audio:
                end_90k = max(end_90k, self._audio_end_90k(self._audio[-1]))
            self._catch_up(end_90k)
            self._cut(end_90k)
            self._last_segment_s = (self._part_start_90k - self._segment_start_90k) / VIDEO_TIMESCALE
            self.end_90k = max(self.end_90k, end_90k, self._part.video_end_90k)
        else:
            self._stats.dropped["before_key"] += len(self._audio)
            self._stats.audio_samples -= len(self._audio)
        self._started = False
        self._pending = self._still = self._last_key = None
        self._part.clear()
        self._audio.clear()
        self._window.end_segment()

    # ---- frames ----------------------------------------------------------------------------------------------------

    def add(self, frame: Frame) -> None:
        """Take a frame; decode times must grow within a track, and the first video frame must be a key frame."""
        self._arrived_s = frame.arrived_s
        if frame.track == "video":
            self._add_video(frame)
        else:
            self._add_audio(frame)

    def _add_video(self, frame: Frame) -> None:
        if not self._started:
            self._start(frame.dts_90k)
        elif self._still is not None:
            if not frame.is_key:
                self._stats.dropped["before_key"] += 1
                return
            self._show_still(frame.dts_90k)
            self._still = None
        pending = self._pending
        earliest_90k = pending.dts_90k + 1 if pending is not None else self._part.video_end_90k
        if frame.dts_90k < earliest_90k:
            # A still has taken its decode time: give it a later one, and keep its presentation time.
            frame = replace(frame, dts_90k=earliest_90k, cts_90k=frame.cts_90k + frame.dts_90k - earliest_90k)
        if pending is not None:
            self._rate.measure(frame.dts_90k - pending.dts_90k)
            self._lead(frame.dts_90k, frame.is_key)
        self._pending = frame
        if frame.is_key:
            if self._parameter_sets:
                frame = self._pending = replace(frame, data=with_parameter_sets(frame.data, self._parameter_sets))
            if self._last_key is not None:
                self._rate.measure_key_interval(frame.dts_90k - self._last_key.dts_90k)
            self._last_key = frame

    def _add_audio(self, frame: Frame) -> None:
        """Add an audio frame. Audio is the leading track if the stream has no video, and while no video comes."""
        if not self._started:
            if self._has_video:
                self._hold_early_audio(frame)
                return
            self._start(frame.dts_90k)
        self._audio.append(frame)
        end_90k = self._audio_end_90k(frame)
        if not self._has_video:
            self._rate.frame_90k = self._rate.frame_90k or end_90k - frame.dts_90k
            self._lead(end_90k, True)
        elif end_90k > self._part_start_90k + (VIDEO_LATE_90K if self._window.part_target_s else FIRST_FRAME_WAIT_90K):
            self._lead_by_audio(end_90k)

    def _audio_end_90k(self, frame: Frame) -> int:
        return (frame.dts_samples + frame.duration_samples) * VIDEO_TIMESCALE // self._audio_rate

    def _hold_early_audio(self, frame: Frame) -> None:
        """Keep an audio frame that came before the first key frame: it may end after that frame begins."""
        self._audio.append(frame)
        if len(self._audio) > EARLY_AUDIO_FRAMES:
            self._drop_early_audio()

    def _drop_early_audio(self) -> None:
        self._audio.popleft()
        self._stats.dropped["before_key"] += 1
        self._stats.audio_samples -= 1

    # ---- boundaries ------------------------------------------------------------------------------------------------

    def _start(self, dts_90k: int) -> None:
        """Begin the period, its first segment and its first part with the leading track's first frame."""
        self._started = True
        self._period_start_90k = self._part_start_90k = dts_90k
        while self._audio and self._audio_end_90k(self._audio[0]) <= dts_90k:
            self._drop_early_audio()
        self._begin_segment(independent=True)

    def _lead(self, next_90k: int, next_is_key: bool) -> None:
        """End the part, and perhaps the segment, at or before the start of the leading track's next frame."""
        target_90k = self._part_target_90k() or self._choose_part_target(next_90k)
        if not target_90k:
            self._commit(next_90k)
            return
        if self._pending is not None:
            self._cut_before(self._pending, next_90k, target_90k)
        self._commit(next_90k)
        self._catch_up(next_90k)
        length_90k, frame_90k = next_90k - self._part_start_90k, self._rate.frame_90k
        if self._segment_ends(next_90k - self._segment_start_90k, next_is_key, frame_90k):
            self._cut(next_90k)
            # If parts already reach beyond this frame (audio led), nothing was cut: the open part has earlier video.
            self._begin_segment(independent=next_is_key and not self._part.has_video)
        elif length_90k > target_90k or (length_90k >= 0.85 * target_90k and length_90k + frame_90k > target_90k):
            self._cut(next_90k)

    def _cut_before(self, frame: Frame, end_90k: int, target_90k: int) -> None:
        """Cut where the pending frame begins, if the open part or segment would be too long with it."""
        begin_90k = max(frame.dts_90k, self._part_start_90k)
        if end_90k - self._segment_start_90k > self._segment_limit_90k() and begin_90k > self._segment_start_90k:
            self._cut(begin_90k)
            independent = frame.is_key and not self._part.has_video
            self._stats.forced_segments += not independent
            self._begin_segment(independent=independent)
        elif end_90k - self._part_start_90k > target_90k and frame.dts_90k - self._part_start_90k >= 0.85 * target_90k:
            self._cut(frame.dts_90k)

    def _catch_up(self, until_90k: int) -> None:
        """Cut at PART-TARGET while the last frame is longer than that, and parts would not be empty."""
        target_90k = self._part_target_90k()
        while target_90k and until_90k - self._part_start_90k > target_90k:
            filled = bool(self._audio) and self._audio[-1].dts_90k >= self._part_start_90k + target_90k
            if not filled and until_90k - self._part_start_90k > 2 * target_90k:
                return
            if not self._split(target_90k):
                return

    def _lead_by_audio(self, audio_end_90k: int) -> None:
        """Cut by the times of audio, as video is late; after `VIDEO_GONE_90K` begin to show a still."""
        target_90k = self._part_target_90k() or self._choose_part_target(audio_end_90k)
        pending = self._pending
        if pending is not None and audio_end_90k - pending.dts_90k > VIDEO_GONE_90K and self._last_key is not None:
            self._still = self._last_key
            self._commit(max(self._part_start_90k, pending.dts_90k + 1))
        while audio_end_90k - self._part_start_90k > target_90k + VIDEO_LATE_90K:
            if not self._split(target_90k):
                return

    def _split(self, target_90k: int) -> bool:
        """Cut at PART-TARGET, no matter where frames begin. Return False if the part was empty."""
        if not self._cut(self._part_start_90k + target_90k):
            return False
        independent = self._still is not None
        if self._segment_ends(self._part_start_90k - self._segment_start_90k, independent, target_90k):
            self._begin_segment(independent=independent)
        return True

    def _segment_ends(self, length_90k: int, is_key: bool, step_90k: float) -> bool:
        """Return whether the segment must end at ``length_90k``; the next possible end is ``step_90k`` later."""
        limit_90k = self._segment_limit_90k()
        if length_90k + step_90k > limit_90k:
            self._stats.forced_segments += not is_key
            return True
        if not is_key or length_90k <= 0:
            return False
        if length_90k >= self._settings.segment_duration_s * VIDEO_TIMESCALE - self._rate.frame_90k / 2:
            return True
        longest_90k = self._rate.longest_key_interval_90k
        return longest_90k <= limit_90k < length_90k + longest_90k

    def _segment_limit_90k(self) -> float:
        """Return the longest duration of a segment that is allowed now."""
        target_s = self._window.target_duration_s
        if target_s != self._limited_to_s:
            longest_s = min(self._settings.segment_max_s, target_s + ROUNDING_S)
            self._limited_to_s, self._limit_90k = target_s, longest_s * VIDEO_TIMESCALE
        return self._limit_90k

    def _begin_segment(self, *, independent: bool) -> None:
        """Begin a segment where the open part begins. The first segment that ends decides the target duration."""
        start_90k = self._part_start_90k
        first = start_90k == self._period_start_90k
        ended_s = self._last_segment_s if first else (start_90k - self._segment_start_90k) / VIDEO_TIMESCALE
        if not self._window.target_duration_s and start_90k > self._period_start_90k:
            longest_s = max(ended_s - 0.05, self._settings.segment_duration_s)
            self._window.freeze_target_duration(max(MIN_TARGET_DURATION_S, ceil(longest_s)))
        start_unix_s = self._wall_clock.at(self._arrived_s, ended_s, exact=first)
        self._window.begin_segment(start_unix_s, independent=independent)
        self._segment_start_90k = start_90k
        self._segment_bytes = 0
        if self._has_video and (frame_rate := self._rate.undeclared_rate) is not None:
            self._window.set_frame_rate(frame_rate)

    # ---- writing ---------------------------------------------------------------------------------------------------

    def _commit(self, end_90k: int) -> None:
        """Add the pending frame to the open part, with a duration until ``end_90k``."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._part.add_video(pending, pending.dts_90k, end_90k - pending.dts_90k)

    def _show_still(self, until_90k: int) -> None:
        """While no video comes, add the still to the open part, from the end of video until ``until_90k``."""
        begin_90k = self._part.video_end_90k
        if self._still is not None and until_90k > begin_90k:
            self._stats.repeated_stills += 1
            self._part.add_video(self._still, begin_90k, until_90k - begin_90k)

    def _cut(self, end_90k: int) -> bool:
        """Close the part at ``end_90k`` and write it. Return False if it was empty: then it stays open.

        Raises:
            SegmentTooLarge: the segment has more than ``hls.segment_max_bytes``.
        """
        if end_90k <= self._part_start_90k:
            return False
        limit_90k = int(self._segment_limit_90k())
        if end_90k - self._segment_start_90k > limit_90k and self._part_start_90k > self._segment_start_90k:
            self._stats.forced_segments += 1
            self._begin_segment(independent=False)
        if end_90k - self._part_start_90k > limit_90k:
            # No frame came for longer than a segment may last: cut at the limit; the next part gets the rest.
            cut = self._cut(self._part_start_90k + limit_90k)
            return (cut and self._cut(end_90k)) or cut
        self._part.take_audio(self._audio, end_90k)
        self._show_still(end_90k)
        if self._part.empty:
            return False
        length_90k = end_90k - self._part_start_90k
        if length_90k > self._part_target_90k():
            self._grow_part_target(max(length_90k, self._settings.part_target_ms * 90))
        independent = self._part.has_key or not self._has_video
        data = self._part.write()
        self._part_start_90k = end_90k
        self._window.add_part(data, length_90k / VIDEO_TIMESCALE, independent=independent)
        self._check_limits(len(data))
        return True

    def _check_limits(self, part_bytes: int) -> None:
        """Check the segment's bytes; fix the target duration if no key frame has come for too long."""
        self._segment_bytes += part_bytes
        if self._segment_bytes > self._settings.segment_max_bytes:
            limit = self._settings.segment_max_bytes
            raise SegmentTooLarge(f"The stream has more than {limit} bytes in one segment (hls.segment_max_bytes).")
        waited_s = (self._part_start_90k - self._period_start_90k) / VIDEO_TIMESCALE
        if not self._window.target_duration_s and waited_s >= TARGET_DURATION_WAIT_S:
            self._window.freeze_target_duration(ceil(self._settings.segment_max_s))

    # ---- PART-TARGET -----------------------------------------------------------------------------------------------

    def _part_target_90k(self) -> int:
        return round(self._window.part_target_s * VIDEO_TIMESCALE)

    def _choose_part_target(self, until_90k: int) -> int:
        """Choose PART-TARGET as soon as one part's frames have come. Return it in ticks; 0: not chosen yet."""
        wish_90k = self._settings.part_target_ms * 90
        if until_90k - self._period_start_90k + self._rate.frame_90k < wish_90k:
            return 0
        frame_90k = self._rate.frame_90k or wish_90k
        frames = max(1, round(wish_90k / frame_90k))
        self._window.set_part_target(ceil((frames * frame_90k + PART_SLACK_90K) / 90) / 1000)
        return self._part_target_90k()

    def _grow_part_target(self, length_90k: int) -> None:
        if self._window.part_target_s:
            self._stats.irregular_parts += 1
        self._window.set_part_target(ceil(length_90k / 90) / 1000)
