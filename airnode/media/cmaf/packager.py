"""From ingest events to the window: which tracks there are, which samples count, when a new period begins."""

from collections.abc import Iterable
from math import ceil

import structlog

from airnode.config.sections.hls import HlsSection
from airnode.errors import InvalidInput
from airnode.media.cmaf.bmff import VIDEO_TIMESCALE, Track, init_segment
from airnode.media.cmaf.segmenter import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Segmenter
from airnode.media.cmaf.stats import PackagerStats
from airnode.media.cmaf.timeline import AudioClock, Kind, Timeline
from airnode.media.frames import (
    AudioConfig,
    AudioSample,
    MediaEvent,
    StreamMetadata,
    VideoConfig,
    VideoSample,
)
from airnode.media.hls.window import StreamInfo, Window
from airnode.media.live.feed import LiveFeed

log = structlog.get_logger(__name__)

#: Media time to wait for the configuration of a second track: one that onMetaData announced, one that it did not.
ANNOUNCED_TRACK_WAIT_MS = 1_000
OTHER_TRACK_WAIT_MS = 300
#: Most samples and bytes kept while waiting for it.
SETUP_SAMPLES, SETUP_BYTES = 1_000, 16 << 20
#: A publisher that sends video without a key frame for so long is to be cut off.
KEY_FRAME_WAIT_S = 15.0
KEY_FRAME_WAIT_BYTES = 32 << 20
#: Least time between two log lines of one kind about one room.
WARN_EVERY_S = 5.0


class KeyFrameMissing(InvalidInput):
    """Video came for a long time without a single key frame: the publisher is to be cut off."""

    code, title = "key_frame_missing", "No key frame"


class Packager:
    """Packages one publisher's stream, and the next one's after `restart`, into one window.

    No I/O and no clock: the caller passes the wall clock in and reads results off the window.

    Args:
        settings: the ``hls`` section.
        window: where parts go; the packager is its only writer.
        room: for the log.
        live: gets the same samples, for the endless ``live.mp4``.
    """

    def __init__(self, settings: HlsSection, window: Window, *, room: str = "", live: LiveFeed | None = None) -> None:
        self.stats = PackagerStats()
        self._window = window
        self._live = live
        self._log = log.bind(room=room) if room else log
        self._timeline = Timeline()
        self._segmenter = Segmenter(settings, window, self.stats)
        self._periods = 0
        #: {event: (when it was last logged, how often it was not since)}.
        self._warned: dict[str, tuple[float, int]] = {}
        self._reset()
        window.begin_epoch()

    def _reset(self) -> None:
        self._video: VideoConfig | None = None
        self._audio: AudioConfig | None = None
        self._metadata = StreamMetadata()
        self._audio_clock: AudioClock | None = None
        self._running = False
        self._setup: list[VideoSample | AudioSample] = []
        self._setup_bytes = 0
        self._need_key = False
        self._key_wait_since_s = 0.0
        self._key_wait_bytes = 0
        self._last_video = -1

    # ---- the publisher ---------------------------------------------------------------------------------------------

    def push(self, events: Iterable[MediaEvent], now: float) -> None:
        """Take what the publisher sent.

        Args:
            now: wall clock, unix seconds.

        Raises:
            KeyFrameMissing: the publisher never sends a key frame.
            SegmentTooLarge: it sends more than ``hls.segment_max_bytes`` in one segment.
        """
        try:
            for event in events:
                self._take(event, now)
        finally:
            self._window.notify()

    def _take(self, event: MediaEvent, now: float) -> None:
        if isinstance(event, (VideoSample, AudioSample)):
            self.stats.count_bytes(len(event.data), now)
            if self._running:
                self._sample(event, now)
            else:
                self._collect(event, now)
        elif isinstance(event, StreamMetadata):
            self._metadata = event
            self.stats.encoder = event.encoder
        else:
            self._configure(event, now)

    def finish(self, now: float) -> None:
        """The publisher is gone: give out what is held back. The window stays open."""
        if not self._running and self._setup and (self._video or self._audio):
            self._begin_running(now)
        self._finish_fragments()
        self._segmenter.finish()
        self._running = False
        self._window.notify()

    def restart(self, now: float) -> None:
        """A new publisher comes for the same window: discontinuity, new names, sequence numbers go on."""
        self.finish(now)
        self._timeline.rebase()
        self._reset()
        self._window.begin_epoch()
        self._window.notify()

    # ---- tracks ----------------------------------------------------------------------------------------------------

    def _configure(self, config: VideoConfig | AudioConfig, now: float) -> None:
        if config in (self._video, self._audio):
            return
        if isinstance(config, VideoConfig):
            self._video = config
        else:
            self._audio = config
        if self._running:
            self._log.info("stream_reconfigured", codecs=config.codecs)
            self._begin_period(now)
        elif self._video and self._audio and self._setup:
            self._begin_running(now)

    def _collect(self, sample: VideoSample | AudioSample, now: float) -> None:
        """Hold samples back until the tracks are known."""
        self._setup.append(sample)
        self._setup_bytes += len(sample.data)
        if self._tracks_known(sample):
            self._begin_running(now)
        elif len(self._setup) > SETUP_SAMPLES or self._setup_bytes > SETUP_BYTES:
            self.stats.dropped["setup"] += len(self._setup)
            self._setup.clear()
            self._setup_bytes = 0

    def _tracks_known(self, sample: VideoSample | AudioSample) -> bool:
        if self._video is None and self._audio is None:
            return False
        if self._video is not None and self._audio is not None:
            return True
        announced = self._announced(Kind.VIDEO if self._video is None else Kind.AUDIO)
        wait_ms = ANNOUNCED_TRACK_WAIT_MS if announced else OTHER_TRACK_WAIT_MS
        return abs(sample.dts_ms - self._setup[0].dts_ms) >= wait_ms

    def _announced(self, kind: Kind) -> bool:
        metadata = self._metadata
        if kind is Kind.VIDEO:
            return bool(metadata.width or metadata.frame_rate or metadata.video_bitrate_bps)
        return bool(metadata.audio_bitrate_bps)

    def _begin_running(self, now: float) -> None:
        self._running = True
        self._begin_period(now)
        held, self._setup, self._setup_bytes = self._setup, [], 0
        for sample in held:
            self._sample(sample, now)

    def _begin_period(self, now: float) -> None:
        """Start anew behind what there is: new initialization section, discontinuity, key frame first."""
        self._finish_fragments()
        self._segmenter.finish()
        self._periods += 1
        self.stats.discontinuities += self._periods > 1
        self._describe()
        tracks = []
        if self._video is not None:
            tracks.append(Track(VIDEO_TRACK_ID, self._video, self._metadata.video_bitrate_bps or 0))
        if self._audio is not None:
            tracks.append(Track(AUDIO_TRACK_ID, self._audio, self._metadata.audio_bitrate_bps or 0))
            floor = ceil(self._segmenter.end * self._audio.sample_rate / VIDEO_TIMESCALE)
            self._audio_clock = AudioClock(self._audio.sample_rate, self._audio.samples_per_frame, self.stats, floor)
        info = StreamInfo(self.stats.codecs, self.stats.width, self.stats.height, self._frame_rate())
        init = init_segment(tracks)
        self._window.begin_period(init, info, discontinuity=self._periods > 1)
        if self._live is not None:
            self._live.begin(init, tracks, self._frame_s())
        self._segmenter.begin(
            has_video=self._video is not None,
            audio_rate=self._audio.sample_rate if self._audio is not None else 0,
            frame_s=self._frame_s(),
        )
        self._need_key = self._video is not None
        self._key_wait_since_s, self._key_wait_bytes = now, 0
        self._last_video = self._segmenter.end - 1

    def _finish_fragments(self) -> None:
        if self._live is not None:
            self._live.finish()

    def _describe(self) -> None:
        video, audio, stats = self._video, self._audio, self.stats
        stats.video_codecs = video.codecs if video is not None else ""
        stats.audio_codecs = audio.codecs if audio is not None else ""
        stats.width, stats.height = (video.width, video.height) if video is not None else (0, 0)
        stats.channels, stats.sample_rate = (audio.channels, audio.sample_rate) if audio is not None else (0, 0)

    def _frame_rate(self) -> float:
        """Declared by the bitstream, else by onMetaData; 0: nobody said a believable one."""
        if self._video is None:
            return 0.0
        rate = self._video.frame_rate or self._metadata.frame_rate or 0.0
        return rate if 1 <= rate <= 240 else 0.0

    def _frame_s(self) -> float:
        rate = self._frame_rate()
        if rate:
            return 1 / rate
        if self._video is None and self._audio is not None:
            return self._audio.samples_per_frame / self._audio.sample_rate
        return 0.0

    # ---- samples ---------------------------------------------------------------------------------------------------

    def _sample(self, sample: VideoSample | AudioSample, now: float) -> None:
        video = isinstance(sample, VideoSample)
        if (self._video if video else self._audio) is None:
            self.stats.dropped["no_config"] += 1
            return
        media_ms, jumped = self._timeline.place(Kind.VIDEO if video else Kind.AUDIO, sample.dts_ms)
        if jumped:
            self.stats.timestamp_jumps += 1
            self._warn("timestamps_jumped", now, track="video" if video else "audio", dts_ms=sample.dts_ms)
            self._begin_period(now)
        if isinstance(sample, VideoSample):
            self._video_sample(sample, media_ms, now)
        else:
            self._audio_sample(sample, media_ms, now)

    def _video_sample(self, sample: VideoSample, media_ms: int, now: float) -> None:
        if self._need_key and not sample.key:
            self.stats.dropped["before_key"] += 1
            self._warn("video_before_key_frame_dropped", now)
            self._wait_for_key(len(sample.data), now)
            return
        self._need_key = False
        wanted = media_ms * 90
        time = max(wanted, self._last_video + 1)
        self._last_video = time
        self.stats.video_samples += 1
        cts = sample.cts_ms * 90 + wanted - time
        if self._live is not None:
            self._live.video(time, cts, sample.data, key=sample.key, now=now)
        self._segmenter.video(time, cts, sample.data, key=sample.key, now=now)

    def _warn(self, event: str, now: float, **fields: object) -> None:
        """Log at most one line an event and `WARN_EVERY_S`, with how many were left out."""
        last_s, left_out = self._warned.get(event, (-WARN_EVERY_S, 0))
        if now - last_s < WARN_EVERY_S:
            self._warned[event] = (last_s, left_out + 1)
            return
        self._log.warning(event, **fields, left_out=left_out)
        self._warned[event] = (now, 0)

    def _wait_for_key(self, size: int, now: float) -> None:
        """Count what comes while there is no key frame, and give up at last."""
        self._key_wait_bytes += size
        waited_s = now - self._key_wait_since_s
        if waited_s > KEY_FRAME_WAIT_S or self._key_wait_bytes > KEY_FRAME_WAIT_BYTES:
            raise KeyFrameMissing(
                f"The publisher sent no video key frame for {waited_s:.0f} s. "
                "Set the encoder's key frame interval to 2 s."
            )

    def _audio_sample(self, sample: AudioSample, media_ms: int, now: float) -> None:
        if self._audio_clock is None:
            return
        if self._need_key:
            self._wait_for_key(len(sample.data), now)
        placed = self._audio_clock.place(media_ms, sample.samples)
        if placed is None:
            return
        self.stats.audio_samples += 1
        if self._live is not None:
            self._live.audio(*placed, sample.data, now)
        self._segmenter.audio(*placed, sample.data, now)
