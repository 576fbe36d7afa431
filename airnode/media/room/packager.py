"""From ingest events to the window: which tracks there are, which frames count, when a new period begins.

::

                     configurations                                       ┌─▶ Segmenter ──parts, segments──▶ Window
    publisher ──▶  metadata, frames  ──▶ Packager ──frames on the media ──┤
                   (its own clock)                  timeline              └─▶ LiveFeed ──fragments──▶ live.mp4

A *period* is what lies between two discontinuities: one set of tracks, one initialization section. A new one begins
when a configuration changes, when the publisher's timestamps jump, and when another publisher comes.

Nothing is written before the tracks are known: a muxed file has to announce all of them in its initialization section.
So frames are held back until both configurations are there, or until the second one has not come for a while.
"""

from collections.abc import Iterable

import structlog

from airnode.config.sections.hls import HlsSection
from airnode.errors import InvalidInput
from airnode.kernel.logging import LogLimiter
from airnode.media.cmaf.bmff import AUDIO_TRACK_ID, VIDEO_TIMESCALE, VIDEO_TRACK_ID, Track, init_segment
from airnode.media.cmaf.continuous_audio import ContinuousAudio
from airnode.media.cmaf.segmenter import Segmenter
from airnode.media.cmaf.stats import PackagerStats
from airnode.media.cmaf.timeline import Timeline
from airnode.media.frames import AudioConfig, Frame, MediaEvent, StreamMetadata, TrackKind, VideoConfig
from airnode.media.hls.window import VariantInfo, Window
from airnode.media.live.feed import LiveFeed

log = structlog.get_logger(__name__)

#: Media time to wait for the configuration of a second track: one that onMetaData announced, one that it did not.
ANNOUNCED_TRACK_WAIT_90K = VIDEO_TIMESCALE
OTHER_TRACK_WAIT_90K = VIDEO_TIMESCALE * 3 // 10
#: Most frames and bytes kept while waiting for it.
SETUP_FRAMES, SETUP_BYTES = 1_000, 16 << 20
#: A publisher that sends video without a key frame for so long is disconnected.
KEY_FRAME_WAIT_S = 15.0
KEY_FRAME_WAIT_BYTES = 32 << 20
#: Least time between two log lines of one kind about one room.
WARN_EVERY_S = 5.0


class KeyFrameMissing(InvalidInput):
    """Video came for a long time without a single key frame: the publisher is disconnected."""

    code, title = "key_frame_missing", "No key frame"


class Packager:
    """Packages one publisher's stream, and the next one's after `restart`, into one window.

    No I/O and no clock: each frame has its time of arrival, and results are read from the window.

    Args:
        settings: the ``hls`` section.
        window: where parts go; the packager is its only writer.
        room: for the log.
        live: gets the same frames, for the endless ``live.mp4``.
    """

    def __init__(self, settings: HlsSection, window: Window, *, room: str = "", live: LiveFeed | None = None) -> None:
        self.stats = PackagerStats()
        self._window = window
        self._live = live
        self._log = log.bind(room=room) if room else log
        self._timeline = Timeline()
        self._segmenter = Segmenter(settings, window, self.stats)
        self._periods = 0
        self._log_limiter = LogLimiter(WARN_EVERY_S)
        self._reset()
        window.begin_epoch()

    def _reset(self) -> None:
        """Forget the publisher."""
        self._video: VideoConfig | None = None
        self._audio: AudioConfig | None = None
        self._metadata = StreamMetadata()
        self._sound: ContinuousAudio | None = None
        self._running = False
        #: Frames that are held back until the tracks are known.
        self._setup: list[Frame] = []
        self._setup_bytes = 0
        self._needs_key = False
        #: When the first frame of the period came that was no video key frame; None: none did yet.
        self._key_wait_since_s: float | None = None
        self._key_wait_bytes = 0
        self._last_video_90k = -1

    # ---- the publisher ---------------------------------------------------------------------------------------------

    def push(self, events: Iterable[MediaEvent]) -> None:
        """Take what the publisher sent.

        Raises:
            KeyFrameMissing: the publisher never sends a key frame.
            SegmentTooLarge: it sends more than ``hls.segment_max_bytes`` in one segment.
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
        """End the publisher's stream: write what is held back. The window stays open."""
        if not self._running and self._setup and (self._video or self._audio):
            self._begin_running()
        self._finish_writers()
        self._running = False
        self._window.notify()

    def restart(self) -> None:
        """A new publisher comes for the same window: discontinuity, new names, sequence numbers continue."""
        self.finish()
        self._timeline.rebase()
        self._reset()
        self._window.begin_epoch()
        self._window.notify()

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
        return abs(frame.dts_90k - self._setup[0].dts_90k) >= wait_90k

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
        """Continue behind what was written: new initialization section, discontinuity, key frame first."""
        self._finish_writers()
        self._periods += 1
        self.stats.discontinuities += self._periods > 1
        self._describe()
        tracks = []
        if self._video is not None:
            tracks.append(Track(VIDEO_TRACK_ID, self._video, self._metadata.video_bitrate_bps or 0))
        if self._audio is not None:
            tracks.append(Track(AUDIO_TRACK_ID, self._audio, self._metadata.audio_bitrate_bps or 0))
            self._sound = ContinuousAudio(self._audio, self.stats, self._segmenter.end_90k)
        info = VariantInfo(self.stats.codecs, self.stats.width, self.stats.height, self._frame_rate())
        init = init_segment(tracks)
        self._window.begin_period(init, info, discontinuity=self._periods > 1)
        if self._live is not None:
            self._live.begin(init, tracks, self._frame_s())
        self._segmenter.begin(
            has_video=self._video is not None,
            audio_rate=self._audio.sample_rate if self._audio is not None else 0,
            frame_s=self._frame_s(),
        )
        self._needs_key = self._video is not None
        self._key_wait_since_s, self._key_wait_bytes = None, 0
        self._last_video_90k = self._segmenter.end_90k - 1

    def _finish_writers(self) -> None:
        if self._live is not None:
            self._live.finish()
        self._segmenter.finish()

    def _describe(self) -> None:
        video, audio, stats = self._video, self._audio, self.stats
        stats.video_codecs = video.codecs if video is not None else ""
        stats.audio_codecs = audio.codecs if audio is not None else ""
        stats.width, stats.height = (video.width, video.height) if video is not None else (0, 0)

    def _frame_rate(self) -> float:
        """Return what the bitstream declares, else what onMetaData announced; 0: neither is believable."""
        if self._video is None:
            return 0.0
        rate = self._video.frame_rate or self._metadata.frame_rate or 0.0
        return rate if 1 <= rate <= 240 else 0.0

    def _frame_s(self) -> float:
        """Return the declared duration of a frame of the leading track; 0: unknown."""
        rate = self._frame_rate()
        if rate:
            return 1 / rate
        if self._video is None and self._audio is not None:
            return self._audio.samples_per_frame / self._audio.sample_rate
        return 0.0

    # ---- frames ----------------------------------------------------------------------------------------------------

    def _place(self, frame: Frame) -> None:
        """Move a frame from the publisher's clock to the media timeline, and pass it on to the writers."""
        track = frame.track
        if (self._video if track == "video" else self._audio) is None:
            self.stats.dropped["no_config"] += 1
            return
        media_90k, jumped = self._timeline.place(track, frame.dts_90k)
        if jumped:
            self.stats.timestamp_jumps += 1
            self._warn("timestamps_jumped", frame.arrived_s, track=track, dts_ms=frame.dts_90k // 90)
            self._begin_period()
        if track == "video":
            self._place_video(frame, media_90k)
        else:
            self._place_audio(frame, media_90k)

    def _place_video(self, frame: Frame, media_90k: int) -> None:
        """Pass video on with decode times that grow; the presentation time stays the publisher's."""
        if self._needs_key and not frame.is_key:
            self.stats.dropped["before_key"] += 1
            self._warn("video_before_key_frame_dropped", frame.arrived_s)
            self._wait_for_key(frame)
            return
        self._needs_key = False
        dts_90k = max(media_90k, self._last_video_90k + 1)
        self._last_video_90k = dts_90k
        self.stats.video_samples += 1
        if self._sound is not None:
            for silent in self._sound.fill(dts_90k, frame.arrived_s):
                self._write(silent)
        cts_90k = frame.cts_90k + media_90k - dts_90k
        self._write(Frame("video", dts_90k, cts_90k, frame.data, frame.is_key, frame.arrived_s))

    def _place_audio(self, frame: Frame, media_90k: int) -> None:
        if self._sound is None:
            return
        if self._needs_key:
            self._wait_for_key(frame)
        placed = self._sound.place(frame, media_90k)
        self.stats.audio_samples += bool(placed)
        for each in placed:
            self._write(each)

    def _write(self, frame: Frame) -> None:
        if self._live is not None:
            self._live.add(frame)
        self._segmenter.add(frame)

    def _wait_for_key(self, frame: Frame) -> None:
        """Count what comes while there is no key frame, and give up in the end."""
        if self._key_wait_since_s is None:
            self._key_wait_since_s = frame.arrived_s
        self._key_wait_bytes += len(frame.data)
        waited_s = frame.arrived_s - self._key_wait_since_s
        if waited_s > KEY_FRAME_WAIT_S or self._key_wait_bytes > KEY_FRAME_WAIT_BYTES:
            raise KeyFrameMissing(
                f"The publisher sent no video key frame for {waited_s:.0f} s. "
                "Set the encoder's key frame interval to 2 s."
            )

    def _warn(self, event: str, now_s: float, **fields: object) -> None:
        """Log at most one line an event and `WARN_EVERY_S`, with how many were left out."""
        left_out = self._log_limiter.held_back(event, now_s)
        if left_out is not None:
            self._log.warning(event, **fields, left_out=left_out)
