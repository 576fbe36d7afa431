"""The tracks of one period, for segments and for ``live.mp4``."""

from dataclasses import dataclass, field
from typing import Final

from airnode.media.cmaf.bmff import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Track
from airnode.media.cmaf.stats import PackagerStats
from airnode.media.frames import AudioConfig, StreamMetadata, VideoConfig
from airnode.media.hls.window import VariantInfo

#: The sound of segments if the publisher announces none: AAC-LC, 48 kHz, stereo.
NO_SOUND: Final = AudioConfig(bytes.fromhex("1190"), "mp4a.40.2", 48_000, 2)


@dataclass(frozen=True, slots=True)
class Period:
    """The tracks between two discontinuities; None: the publisher sends no such track."""

    video: VideoConfig | None = None
    audio: AudioConfig | None = None
    metadata: StreamMetadata = field(default_factory=StreamMetadata)

    @property
    def written_audio(self) -> AudioConfig:
        """Return the configuration of the sound in segments."""
        return self.audio or NO_SOUND

    @property
    def live_tracks(self) -> list[Track]:
        """Return the tracks of ``live.mp4``."""
        tracks = []
        if self.video is not None:
            tracks.append(Track(VIDEO_TRACK_ID, self.video, self.metadata.video_bitrate_bps or 0))
        if self.audio is not None:
            tracks.append(Track(AUDIO_TRACK_ID, self.audio, self.metadata.audio_bitrate_bps or 0))
        return tracks

    @property
    def segment_tracks(self) -> list[Track]:
        """Return the tracks of segments, which always have sound."""
        return self.live_tracks if self.audio is not None else [*self.live_tracks, Track(AUDIO_TRACK_ID, NO_SOUND)]

    @property
    def frame_rate(self) -> float:
        """Return the frame rate that the bitstream declares, else that of onMetaData; 0: neither is plausible."""
        if self.video is None:
            return 0.0
        rate = self.video.frame_rate or self.metadata.frame_rate or 0.0
        return rate if 1 <= rate <= 240 else 0.0

    @property
    def frame_s(self) -> float:
        """Return the declared duration of a frame of the leading track; 0: unknown."""
        if rate := self.frame_rate:
            return 1 / rate
        if self.video is None and self.audio is not None:
            return self.audio.samples_per_frame / self.audio.sample_rate
        return 0.0

    def describe(self, stats: PackagerStats) -> VariantInfo:
        """Return what the multivariant playlist declares; also set the tracks in the statistics."""
        stats.video_codecs = self.video.codecs if self.video is not None else ""
        stats.audio_codecs = self.audio.codecs if self.audio is not None else ""
        stats.width, stats.height = (self.video.width, self.video.height) if self.video is not None else (0, 0)
        codecs = tuple(track.config.codecs for track in self.segment_tracks)
        return VariantInfo(codecs, stats.width, stats.height, self.frame_rate)
