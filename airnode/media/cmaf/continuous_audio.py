"""Makes an audio track without holes: adds silent frames where the publisher sent no sound.

If sound is missing for a moment, a player stalls for ever, although it has the picture. So both writers (parts and
``live.mp4``) get audio without a hole from the first key frame of a period on, whatever the publisher sends::

    video               K   v   v   v   v   v   v   K   v   v   v   v   v   v   v   v   v
    sound               (announced, late)   s s s s s s s s s (stops)               s s s s
    written             0 0 0 0 0 0 0 0 0 0 s s s s s s s s s 0 0 0 0 0 0 0 0 0 0 0 s s s s
    silence is made         ▲ video is `_wait_90k` ahead          ▲ the same

- **When.** Silence is made as soon as video is ``_wait_90k`` ahead of the sound; while it lasts, it follows video at a
  distance of `SILENCE_LAG_90K`. Only whole frames are made, since decoders play only whole frames.
- **When the sound returns**, the hole before it is filled. Sound that is older than the silence is dropped: this is
  little, as silence stays behind video. From then on silence waits longer for this publisher's sound, so that sound
  that is always late is dropped only once.
- **A hole between two frames of sound** is filled when the second one comes.
"""

from airnode.media.cmaf.bmff import VIDEO_TIMESCALE
from airnode.media.cmaf.stats import PackagerStats
from airnode.media.cmaf.timeline import AudioClock
from airnode.media.codecs.silence import silence
from airnode.media.frames import AudioConfig, Frame

#: When video is this far ahead of audio, the missing audio is filled with silence.
AUDIO_GONE_90K = VIDEO_TIMESCALE * 2 // 5
#: Silence ends this long before the newest video frame, as sound usually comes a little later than video.
SILENCE_LAG_90K = VIDEO_TIMESCALE // 25
#: At the end of a period, sound may end this long before the picture.
_END_LAG_90K = VIDEO_TIMESCALE // 10
#: Jitter of arrival times up to this value is not taken for a hole.
ARRIVAL_TOLERANCE_MS = 250
#: After late sound, silence waits as long as the sound was late, plus the first value, but at most the second value.
_LATE_MARGIN_90K, _MOST_WAIT_90K = VIDEO_TIMESCALE // 10, VIDEO_TIMESCALE * 5 // 2


class ContinuousAudio:
    """Decode times of one period's audio, with silence in its holes. No I/O and no clock.

    Args:
        not_before_90k: end of the period before.
        by_arrival: frames have the times of their arrival.
        absent: the publisher announced no sound, so silence does not wait for it.
    """

    def __init__(
        self,
        config: AudioConfig,
        stats: PackagerStats,
        not_before_90k: int = 0,
        *,
        by_arrival: bool = False,
        absent: bool = False,
    ) -> None:
        self._rate = config.sample_rate
        self._frame_samples = config.samples_per_frame
        self._silence = silence(config)
        self._stats = stats
        self._clock = AudioClock(
            config.sample_rate,
            config.samples_per_frame,
            stats,
            -(-not_before_90k * config.sample_rate // VIDEO_TIMESCALE),
        )
        self._wait_90k = AUDIO_GONE_90K
        #: Decode time of the period's first video frame; None: none has come yet.
        self._first_video_90k: int | None = None
        self._is_silent = absent
        if by_arrival:
            self.follow_arrival()

    def follow_arrival(self) -> None:
        """Tolerate the larger jitter of arrival times, which frames have from now on."""
        self._clock.tolerate(ARRIVAL_TOLERANCE_MS)

    def place(self, frame: Frame, media_90k: int) -> list[Frame]:
        """Return the frame on the media timeline, after the silence before it; nothing if it came too late."""
        clock = self._clock
        end_samples = clock.next_samples if clock.started else self._begin_before(media_90k)
        placed = clock.place(media_90k, frame.duration_samples)
        if placed is None:
            if self._is_silent:
                self._wait_longer(media_90k)
            return []
        self._is_silent = False
        dts_samples, duration_samples = placed
        dts_90k = dts_samples * VIDEO_TIMESCALE // self._rate
        sound = Frame("audio", dts_90k, 0, frame.data, True, frame.arrived_s, dts_samples, duration_samples)
        if dts_samples == end_samples:
            return [sound]
        return [*self._silent_frames(end_samples, dts_samples, frame.arrived_s), sound]

    def fill(self, video_90k: int, arrived_s: float) -> list[Frame]:
        """Return the silence that is due before a video frame with this decode time."""
        clock = self._clock
        end_90k = clock.next_samples * VIDEO_TIMESCALE // self._rate
        if not clock.started:
            if self._first_video_90k is None:
                self._first_video_90k = video_90k
            end_90k = max(end_90k, self._first_video_90k)
        if video_90k - end_90k <= (SILENCE_LAG_90K if self._is_silent else self._wait_90k) or self._silence is None:
            return []
        if not clock.started:
            clock.begin(end_90k * self._rate // VIDEO_TIMESCALE)
        missing_samples = (video_90k - SILENCE_LAG_90K) * self._rate // VIDEO_TIMESCALE - clock.next_samples
        frames = missing_samples // self._frame_samples
        if frames <= 0:
            return []
        self._is_silent = True
        begin_samples = clock.fill(frames)
        return self._silent_frames(begin_samples, clock.next_samples, arrived_s)

    def end(self, video_90k: int, arrived_s: float) -> list[Frame]:
        """Return the silence that is missing as the period ends with this video frame.

        Recordings whose sound ends long before the picture do not play to their end in Chromium.
        """
        end_90k = self._clock.next_samples * VIDEO_TIMESCALE // self._rate
        if not self._clock.started or video_90k - end_90k <= _END_LAG_90K or self._silence is None:
            return []
        frames = (video_90k - end_90k) * self._rate // (VIDEO_TIMESCALE * self._frame_samples)
        begin_samples = self._clock.fill(frames)
        return self._silent_frames(begin_samples, self._clock.next_samples, arrived_s)

    def _begin_before(self, media_90k: int) -> int:
        """Return the start of the audio in samples. If sound begins after the first video frame, begin with silence."""
        wanted_samples = media_90k * self._rate // VIDEO_TIMESCALE
        begin_samples = max(wanted_samples, self._clock.next_samples)
        if self._first_video_90k is not None and self._silence is not None:
            since_samples = max(self._first_video_90k * self._rate // VIDEO_TIMESCALE, self._clock.next_samples)
            frames = (begin_samples - since_samples) // self._frame_samples
            if frames > 0:
                self._clock.begin(begin_samples - frames * self._frame_samples)
                return self._clock.fill(frames)
        return begin_samples

    def _wait_longer(self, media_90k: int) -> None:
        """Wait longer for sound the next time: it came after silence had taken its place."""
        late_90k = self._clock.next_samples * VIDEO_TIMESCALE // self._rate + SILENCE_LAG_90K - media_90k
        self._wait_90k = min(max(self._wait_90k, late_90k + _LATE_MARGIN_90K), _MOST_WAIT_90K)
        self._is_silent = False

    def _silent_frames(self, begin_samples: int, end_samples: int, arrived_s: float) -> list[Frame]:
        data, rate, step = self._silence, self._rate, self._frame_samples
        if data is None:
            return []
        found = [
            Frame("audio", at * VIDEO_TIMESCALE // rate, 0, data, True, arrived_s, at, step)
            for at in range(begin_samples, end_samples, step)
        ]
        self._stats.silent_frames += len(found)
        return found
