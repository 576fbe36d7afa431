"""Measurements and counts of one stream, made by its packager."""

from collections import Counter, deque
from dataclasses import dataclass, field

_BITRATE_WINDOW_S = 2.5


@dataclass(slots=True)
class PackagerStats:
    """Counts and measurements of one room's stream. Only the packager and its segmenter write them.

    Attributes:
        video_codecs, audio_codecs: RFC 6381 strings of the current tracks; empty: there is no such track.
        frame_rate: measured, in frames a second.
        key_frame_interval_s: time between the last two key frames.
        video_samples, audio_samples: frames since the start.
        dropped: frames that were not written, by reason (``before_key``, ``audio_overlap``, ``setup``, ``no_config``).
        discontinuities: periods after the first one.
        timestamp_jumps: discontinuities that broken timestamps caused.
        audio_gaps: holes in the audio.
        silent_frames: frames of silence that were written where the publisher sent no sound.
        audio_corrections: audio frames that were made longer or shorter to correct drift.
        irregular_parts: parts longer than PART-TARGET, which made it grow.
        forced_segments: segments that begin without a key frame.
        repeated_stills: how often a key frame was written again while no video came.
        last_frame_s: unix time at which the last frame arrived.
    """

    video_codecs: str = ""
    audio_codecs: str = ""
    encoder: str = ""
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0
    key_frame_interval_s: float = 0.0
    video_samples: int = 0
    audio_samples: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    discontinuities: int = 0
    timestamp_jumps: int = 0
    audio_gaps: int = 0
    silent_frames: int = 0
    audio_corrections: int = 0
    irregular_parts: int = 0
    forced_segments: int = 0
    repeated_stills: int = 0
    last_frame_s: float = 0.0
    #: (unix time, bytes that came within 0.1 s of it), oldest first.
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def codecs(self) -> tuple[str, ...]:
        """The codecs of all tracks, video first."""
        return tuple(codecs for codecs in (self.video_codecs, self.audio_codecs) if codecs)

    @property
    def dropped_samples(self) -> int:
        """The number of frames that were not written."""
        return self.dropped.total()

    def faults(self) -> dict[str, int]:
        """Return the faults of the stream so far, {kind: count}."""
        return {
            "timestamp_jump": self.timestamp_jumps,
            "audio_gap": self.audio_gaps,
            "irregular_part": self.irregular_parts,
            "forced_segment": self.forced_segments,
            **{f"dropped_{reason}": count for reason, count in self.dropped.items()},
        }

    def count_bytes(self, size_bytes: int, arrived_s: float) -> None:
        """Add a frame's bytes to the sliding window of the bit rate."""
        self.last_frame_s = arrived_s
        recent = self._recent
        if recent and arrived_s - recent[-1][0] < 0.1:
            recent[-1] = (recent[-1][0], recent[-1][1] + size_bytes)
        else:
            recent.append((arrived_s, size_bytes))
        since_s = arrived_s - _BITRATE_WINDOW_S
        while recent[0][0] < since_s:
            recent.popleft()

    def bitrate_bps(self, now_s: float) -> float:
        """Return the bit rate over the 2.5 s before the unix time ``now_s``; 0: no frame arrived in them."""
        since_s = now_s - _BITRATE_WINDOW_S
        recent = [(arrived_s, size_bytes) for arrived_s, size_bytes in self._recent if arrived_s >= since_s]
        if not recent:
            return 0.0
        duration_s = max(0.5, min(_BITRATE_WINDOW_S, now_s - recent[0][0]))
        return sum(size_bytes for _, size_bytes in recent) * 8 / duration_s
