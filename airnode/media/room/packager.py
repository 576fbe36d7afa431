"""Turns ingest events into frames on the media timeline: chooses tracks and frames, and begins new periods.

::

                     configurations                                       ┌─▶ Segmenter ──parts, segments──▶ Window
    publisher ──▶  metadata, frames  ──▶ Packager ──frames on the media ──┤
                   (its own clock)                  timeline              └─▶ LiveFeed ──fragments──▶ live.mp4

A *period* has one set of tracks and one initialization section, and ends at a discontinuity. A new period begins when a
configuration changes, when the publisher's timestamps jump, and when another publisher comes.

Nothing is written before the tracks are known: a muxed file has to announce all of them in its initialization section.
So frames are held back until both configurations have arrived. If the second one does not come for a while, the period
begins without it.

**Tracks are independent.** A track that sends nothing never delays the other one:

- Missing sound is replaced by silence (:mod:`airnode.media.cmaf.continuous_audio`). Segments contain silence even if no
  sound is announced. So sound can appear and vanish there without a new set of tracks, at which players stop.
- If announced video has no key frame for some seconds, it is left out until one comes.
- If a track appears, or the configuration of the sound changes, a new period begins at the next key frame, so that no
  picture is lost.
"""

from collections import deque
from collections.abc import Callable, Iterable

import structlog

from airnode.config.sections.hls import HlsSection
from airnode.kernel.logging import LogLimiter
from airnode.media.cmaf.bmff import VIDEO_TIMESCALE, init_segment
from airnode.media.cmaf.continuous_audio import ContinuousAudio
from airnode.media.cmaf.publisher_clock import CompositionOffsets, PublisherClock, arrival_90k
from airnode.media.cmaf.segmenter import Segmenter
from airnode.media.cmaf.stats import PackagerStats
from airnode.media.cmaf.timeline import Timeline
from airnode.media.codecs.in_band import parameter_sets
from airnode.media.frames import AudioConfig, Frame, KeyFrameReason, MediaEvent, StreamMetadata, TrackKind, VideoConfig
from airnode.media.hls.window import Window
from airnode.media.live.feed import LiveFeed
from airnode.media.room.key_frame_wait import KeyFrameWait
from airnode.media.room.period import Period
from airnode.media.room.playability import Received
from airnode.media.samples.findings import Findings

log = structlog.get_logger(__name__)

#: Media time to wait for the configuration of a second track: if onMetaData announced the track, and if not.
ANNOUNCED_TRACK_WAIT_90K = VIDEO_TIMESCALE
OTHER_TRACK_WAIT_90K = VIDEO_TIMESCALE * 3 // 10
#: Most frames and bytes that are kept during this wait.
SETUP_FRAMES, SETUP_BYTES = 1_000, 16 << 20
#: If no video has come for this long, a change of the sound does not wait for a key frame.
VIDEO_SILENT_S = 3.0
#: If sound has waited for a key frame for longer than this, the studio says so.
SOUND_WAIT_S = 3.0
#: Most audio frames that are kept until a period with their track begins.
WAITING_AUDIO_FRAMES = 64
#: Least time between two log lines of one kind about one room.
WARN_EVERY_S = 5.0


class Packager:
    """Packages the stream of one publisher into a window; after `restart`, the stream of the next publisher.

    No I/O and no clock: each frame has its time of arrival, and results are read from the window.

    Args:
        settings: the ``hls`` section.
        window: receives the parts and segments; the packager is its only writer.
        room: name for the log.
        live: receives the same frames, for the endless ``live.mp4``.
        findings: receives the faults of the publisher's clock.
    """

    def __init__(
        self,
        settings: HlsSection,
        window: Window,
        *,
        room: str = "",
        live: LiveFeed | None = None,
        findings: Findings | None = None,
        want_key: Callable[[KeyFrameReason], None] = lambda reason: None,
    ) -> None:
        self._want_key = want_key
        self.stats = PackagerStats()
        self._findings = findings or Findings(room)
        self._window = window
        self._live = live
        self._log = log.bind(room=room) if room else log
        self._timeline = Timeline()
        self._segmenter = Segmenter(settings, window, self.stats)
        self._periods = 0
        #: The codec of the last picture, also of the publisher before.
        self._codec = ""
        self._log_limiter = LogLimiter(WARN_EVERY_S)
        self._reset()
        window.begin_epoch()

    def _reset(self) -> None:
        """Forget the publisher."""
        self._video: VideoConfig | None = None
        self._audio: AudioConfig | None = None
        self._metadata = StreamMetadata()
        self._period = Period()
        #: The period's tracks.
        self._period_video: VideoConfig | None = None
        self._period_audio: AudioConfig | None = None
        #: The period's sound. Without an audio track it is silence, only for segments.
        self._sound: ContinuousAudio | None = None
        #: Sound that waits for a period with its track.
        self._waiting_audio: deque[Frame] = deque(maxlen=WAITING_AUDIO_FRAMES)
        self._waiting_since_s = 0.0
        #: Video has had no key frame for too long, so it is left out until one comes.
        self._video_missing = False
        self._had_video = False
        self._video_arrived_s = 0.0
        #: Unix time at which the last playable frame arrived.
        self._playable_s = 0.0
        self._last_key_90k = 0
        self._clock = PublisherClock()
        self._offsets = CompositionOffsets()
        self._running = False
        #: Frames that are held back until the tracks are known.
        self._setup: list[Frame] = []
        self._setup_bytes = 0
        self._needs_key = False
        self._key_wait = KeyFrameWait()
        self._last_video_90k = -1

    # ---- the publisher ---------------------------------------------------------------------------------------------

    def push(self, events: Iterable[MediaEvent]) -> None:
        """Package the events that came from the publisher.

        Raises:
            KeyFrameMissing: the publisher sends no key frame.
            SegmentTooLarge: a segment is larger than ``hls.segment_max_bytes``.
        """
        try:
            for event in events:
                if isinstance(event, Frame):
                    self.stats.count_bytes(len(event.data), event.arrived_s)
                    if self._running:
                        self._place(event)
                    else:
                        self._hold_back(event)
                elif isinstance(event, StreamMetadata):
                    self._metadata = event
                    self.stats.encoder = event.encoder
                else:
                    self._configure(event)
        finally:
            self._window.notify()

    def finish(self) -> None:
        """End the publisher's stream: write the frames that are held back. The window stays open."""
        if not self._running and self._setup and (self._video or self._audio):
            self._begin_running()
        self._finish_writers()
        self._running = False
        self._window.notify()

    def restart(self) -> None:
        """Begin the stream of a new publisher: discontinuity and new names; the sequence numbers continue."""
        self.finish()
        self._timeline.rebase()
        self._reset()
        self._window.begin_epoch()
        self._window.notify()

    @property
    def received(self) -> Received:
        """Return what the publisher has sent so far."""
        video, audio = self._video is not None, self._audio is not None
        return Received(video, audio, self.stats.last_frame_s, self._playable_s, self._needs_key)

    # ---- tracks ----------------------------------------------------------------------------------------------------

    def _configure(self, config: VideoConfig | AudioConfig) -> None:
        if config in (self._video, self._audio):
            return
        if isinstance(config, VideoConfig):
            self._video = config
        else:
            self._audio = config
        if self._running:
            self._log.info("stream_reconfigured", codecs=config.codecs)
            if isinstance(config, VideoConfig) and self._period_video is not None:
                self._begin_period()
        elif self._video and self._audio and self._setup:
            self._begin_running()

    def _hold_back(self, frame: Frame) -> None:
        """Keep a frame until the tracks are known."""
        self._setup.append(frame)
        self._setup_bytes += len(frame.data)
        if self._tracks_known(frame):
            self._begin_running()
        elif len(self._setup) > SETUP_FRAMES or self._setup_bytes > SETUP_BYTES:
            self.stats.dropped["setup"] += len(self._setup)
            self._setup.clear()
            self._setup_bytes = 0

    def _tracks_known(self, frame: Frame) -> bool:
        if self._video is None and self._audio is None:
            return False
        if self._video is not None and self._audio is not None:
            return True
        announced = self._announced("video" if self._video is None else "audio")
        wait_90k = ANNOUNCED_TRACK_WAIT_90K if announced else OTHER_TRACK_WAIT_90K
        first = self._setup[0]
        waited_90k = (frame.arrived_s - first.arrived_s) * VIDEO_TIMESCALE
        return max(abs(frame.dts_90k - first.dts_90k), waited_90k) >= wait_90k

    def _announced(self, track: TrackKind) -> bool:
        metadata = self._metadata
        if track == "video":
            return bool(metadata.width or metadata.frame_rate or metadata.video_bitrate_bps)
        return bool(metadata.audio_bitrate_bps)

    def _begin_running(self) -> None:
        self._running = True
        self._begin_period()
        held, self._setup, self._setup_bytes = self._setup, [], 0
        for frame in held:
            self._place(frame)

    def _begin_period(self) -> None:
        """Begin a new period after the last one: discontinuity, new initialization section, a key frame first."""
        self._finish_writers()
        self._periods += 1
        self.stats.discontinuities += self._periods > 1
        video = self._period_video = None if self._video_missing else self._video
        self._period_audio = self._audio
        period = self._period = Period(video, self._audio, self._metadata)
        info = period.describe(self.stats)
        if self._live is not None:
            tracks = period.live_tracks
            self._live.begin(init_segment(tracks), tracks, period.frame_s)
        audio = period.written_audio
        self._sound = ContinuousAudio(
            audio,
            self.stats,
            self._segmenter.end_90k,
            by_arrival=self._clock.uses_arrival,
            absent=period.audio is None,
        )
        self._window.begin_period(init_segment(period.segment_tracks), info, discontinuity=self._periods > 1)
        self._segmenter.begin(
            has_video=video is not None,
            audio_rate=audio.sample_rate,
            frame_s=period.frame_s,
            parameter_sets=parameter_sets(video) if video is not None else b"",
        )
        self._needs_key = video is not None
        if video is not None:
            if self._codec not in ("", video.codec):
                self._findings.add("video", "codec_changed", self.stats.last_frame_s)
            self._codec = video.codec
        self._key_wait = KeyFrameWait()
        self._last_video_90k = self._segmenter.end_90k - 1

    def _finish_writers(self) -> None:
        if self._sound is not None and self._period_video is not None and not self._needs_key:
            self._write_sound(self._sound.end(self._last_video_90k, self._video_arrived_s))
        if self._live is not None:
            self._live.finish()
        self._segmenter.finish()

    # ---- frames ----------------------------------------------------------------------------------------------------

    def _place(self, frame: Frame) -> None:
        """Move a frame from the publisher's clock to the media timeline, and write it."""
        track = frame.track
        if fault := self._clock.fault(frame, self._audio):
            self._use_arrival(fault, frame)
        if track == "video":
            config = self._video
            if (config is not self._period_video or self._period_audio is not self._audio or config is None) and (
                not self._admit_video(frame)
            ):
                return
        elif (self._audio is not self._period_audio or self._audio is None) and not self._admit_audio(frame):
            return
        arrived_90k = arrival_90k(frame)
        dts_90k = arrived_90k if self._clock.uses_arrival else frame.dts_90k
        media_90k, jumped = self._timeline.place(track, dts_90k, arrived_90k)
        if jumped:
            self.stats.timestamp_jumps += 1
            self._warn("timestamps_jumped", frame.arrived_s, track=track, dts_ms=frame.dts_90k // 90)
            if self._clock.jumps_again(frame.arrived_s):
                self._use_arrival("clock_jumps", frame)
                media_90k, _ = self._timeline.place(track, arrived_90k, arrived_90k)
            self._begin_period()
        if track == "video":
            self._place_video(frame, media_90k)
        else:
            self._place_audio(frame, media_90k)

    def _use_arrival(self, code: str, frame: Frame) -> None:
        """Use times of arrival from now on, because the publisher's clock is unusable."""
        self._findings.add(frame.track, code, frame.arrived_s)
        self._timeline.rebase()
        if self._sound is not None:
            self._sound.follow_arrival()

    def _admit_video(self, frame: Frame) -> bool:
        """Return whether a video frame can be written; a key frame begins a period with all tracks."""
        if self._video is None:
            self.stats.dropped["no_config"] += 1
            return False
        if not frame.is_key:
            if self._period_video is not None:
                return True
            self._drop_before_key(frame)
            return False
        self._video_missing = False
        waiting, self._waiting_audio = self._waiting_audio, deque(maxlen=WAITING_AUDIO_FRAMES)
        self._begin_period()
        for each in waiting:
            self._place(each)
        return True

    def _admit_audio(self, frame: Frame) -> bool:
        """Return whether sound can be written; a period with this sound begins now or at the next key frame."""
        if self._audio is None:
            self.stats.dropped["no_config"] += 1
            return False
        without_video = self._period_video is None or self._needs_key
        if without_video or frame.arrived_s - self._video_arrived_s > VIDEO_SILENT_S:
            self._begin_period()
            return True
        if not self._waiting_audio:
            self._waiting_since_s = frame.arrived_s
        elif frame.arrived_s - self._waiting_since_s > SOUND_WAIT_S:
            self._findings.add("audio", "sound_waits", frame.arrived_s)
        self._waiting_audio.append(frame)
        return False

    def _place_video(self, frame: Frame, media_90k: int) -> None:
        """Write video with increasing decode times; its presentation times stay unchanged."""
        if self._needs_key and not frame.is_key:
            self._drop_before_key(frame)
            self._key_wait.ends_with(frame, had_video=self._had_video)
            return
        self._needs_key = False
        self._had_video = True
        self._video_arrived_s = self._playable_s = frame.arrived_s
        dts_90k = max(media_90k, self._last_video_90k + 1)
        self._last_video_90k = dts_90k
        self.stats.video_samples += 1
        if self._sound is not None:
            self._write_sound(self._sound.fill(dts_90k, frame.arrived_s))
        cts_90k = frame.cts_90k
        if cts_90k:
            cts_90k, impossible = self._offsets.correct(cts_90k, self.stats.frame_rate, is_key=frame.is_key)
            if impossible:
                self._findings.add("video", "composition_offset", frame.arrived_s)
        cts_90k += media_90k - dts_90k
        written = Frame("video", dts_90k, cts_90k, frame.data, frame.is_key, frame.arrived_s)
        if self._live is not None:
            self._live.add(written)
        self._segmenter.add(written)
        if frame.is_key:
            self._last_key_90k = dts_90k
        elif dts_90k - self._last_key_90k > self.stats.key_frame_interval_s * VIDEO_TIMESCALE:
            self.stats.key_frame_interval_s = (dts_90k - self._last_key_90k) / VIDEO_TIMESCALE

    def _drop_before_key(self, frame: Frame) -> None:
        self.stats.dropped["before_key"] += 1
        self._warn("video_before_key_frame_dropped", frame.arrived_s)
        self._want_key("period")

    def _place_audio(self, frame: Frame, media_90k: int) -> None:
        if not self._needs_key:
            self._playable_s = frame.arrived_s
        elif self._key_wait.ends_with(frame, had_video=self._had_video):
            self._video_missing = True
            self._log.warning("video_left_out", reason="no key frame")
            self._begin_period()
        if self._sound is not None:
            placed = self._sound.place(frame, media_90k)
            self.stats.audio_samples += bool(placed)
            self._write_sound(placed)

    def _write_sound(self, frames: list[Frame]) -> None:
        """Write sound to segments; also to ``live.mp4`` if the publisher announced it."""
        for frame in frames:
            if self._live is not None and self._period_audio is not None:
                self._live.add(frame)
            self._segmenter.add(frame)

    def _warn(self, event: str, now_s: float, **fields: object) -> None:
        """Log an event at most once in `WARN_EVERY_S`, with the number of lines that were left out."""
        left_out = self._log_limiter.held_back(event, now_s)
        if left_out is not None:
            self._log.warning(event, **fields, left_out=left_out)
