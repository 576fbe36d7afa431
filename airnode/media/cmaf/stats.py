"""What a packager knows about its stream right now."""

from collections import Counter, deque
from dataclasses import dataclass, field

_BITRATE_WINDOW_S = 2.5


@dataclass(slots=True)
class PackagerStats:
    """Readable at any time; written by the packager alone.

    Attributes:
        video_codecs, audio_codecs: RFC 6381 strings of the current tracks; empty: there is no such track.
        frame_rate: measured, in frames a second. key_frame_interval_s: between the last two key frames.
        dropped: samples that did not make it, by reason (``before_key``, ``audio_overlap``, ``setup``, ``no_config``).
        discontinuities: after the first period. timestamp_jumps: those of them that broken timestamps caused.
        audio_gaps: holes in the audio that were jumped over. audio_corrections: frames stretched against drift.
        irregular_parts: parts longer than PART-TARGET, which made it grow.
        forced_segments: cut without a key frame.
        repeated_stills: key frames shown again while the video was gone.
        last_sample_s: wall clock of the last sample's arrival.
    """

    video_codecs: str = ""
    audio_codecs: str = ""
    encoder: str = ""
    width: int = 0
    height: int = 0
    channels: int = 0
    sample_rate: int = 0
    frame_rate: float = 0.0
    key_frame_interval_s: float = 0.0
    video_samples: int = 0
    audio_samples: int = 0
    bytes_in: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    discontinuities: int = 0
    timestamp_jumps: int = 0
    audio_gaps: int = 0
    audio_corrections: int = 0
    irregular_parts: int = 0
    forced_segments: int = 0
    repeated_stills: int = 0
    last_sample_s: float = 0.0
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _recent_bytes: int = 0

    @property
    def codecs(self) -> tuple[str, ...]:
        """The codecs of all tracks, video first."""
        return tuple(codecs for codecs in (self.video_codecs, self.audio_codecs) if codecs)

    @property
    def dropped_samples(self) -> int:
        """All samples that did not make it."""
        return self.dropped.total()

    def faults(self) -> dict[str, int]:
        """What was wrong with the stream so far, {kind: how often}."""
        return {
            "timestamp_jump": self.timestamp_jumps,
            "audio_gap": self.audio_gaps,
            "irregular_part": self.irregular_parts,
            "forced_segment": self.forced_segments,
            **{f"dropped_{reason}": count for reason, count in self.dropped.items()},
        }

    def count_bytes(self, size: int, now: float) -> None:
        """Add a sample's bytes to the total and to the sliding window."""
        self.bytes_in += size
        self.last_sample_s = now
        recent = self._recent
        if recent and now - recent[-1][0] < 0.1:
            recent[-1] = (recent[-1][0], recent[-1][1] + size)
        else:
            recent.append((now, size))
        self._recent_bytes += size
        while recent[0][0] < now - _BITRATE_WINDOW_S:
            self._recent_bytes -= recent.popleft()[1]

    def bitrate_bps(self, now: float) -> float:
        """Bits a second over the last seconds before ``now``; 0 for a stream that has fallen silent."""
        since = now - _BITRATE_WINDOW_S
        recent = [(at, size) for at, size in self._recent if at >= since]
        if not recent:
            return 0.0
        return sum(size for _, size in recent) * 8 / max(0.5, min(_BITRATE_WINDOW_S, now - recent[0][0]))
