"""Examines the packets of one Opus track (RFC 6716 3.1, 3.4)."""

from airnode.media.codecs import opus
from airnode.media.codecs.bits import BitstreamError
from airnode.media.frames import AudioConfig, Frame, MediaEvent
from airnode.media.samples.findings import Findings

#: Most bytes of a packet of two streams with 48 frames each; a frame has at most 1275 bytes (RFC 6716 3.4, R2).
_MAX_PACKET_BYTES = 2 * 48 * 1275


class OpusAudio:
    """Sets the duration of the packets of one publisher's track, and drops invalid packets."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._record = b""
        self._config: AudioConfig | None = None

    def configure(self, record: bytes, now_s: float) -> list[MediaEvent]:
        """Take the body of a dOps box. Return the configuration if it has changed."""
        if not record or record == self._record:
            return []
        try:
            config = opus.parse_dops(record)
        except BitstreamError:
            self._findings.add("audio", "config_invalid", now_s)
            return []
        self._record, self._config = record, config
        return [config]

    def examine(self, frame: Frame) -> list[MediaEvent]:
        """Return the events to pass on for this packet."""
        samples = opus.packet_samples(frame.data)
        if not samples or len(frame.data) > _MAX_PACKET_BYTES:
            self._findings.add("audio", "invalid_audio" if frame.data else "empty", frame.arrived_s)
            return []
        if self._config is None:
            self._findings.add("audio", "no_config", frame.arrived_s)
            return []
        if samples != frame.duration_samples:
            frame = Frame("audio", frame.dts_90k, 0, frame.data, True, frame.arrived_s, 0, samples)
        return [frame]

    def overdue(self, now_s: float) -> list[MediaEvent]:
        """Return an empty list: no packet is held back."""
        return []

    def finish(self) -> list[MediaEvent]:
        """Return an empty list: no packet is held back."""
        return []
