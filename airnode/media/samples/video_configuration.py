"""The configuration of one H.264 or HEVC track: which of the publisher's changes need a new one."""

from typing import Final, Literal

from airnode.media.codecs.bits import BitstreamError, SequenceInfo
from airnode.media.frames import MediaEvent, VideoConfig
from airnode.media.samples.findings import Findings
from airnode.media.samples.parameter_sets import ParameterSets

#: After this many changes of configuration that keep the size, a change stays in the frames only: each new
#: configuration is a discontinuity. They count from the start again after a time without a change.
_MOST_CHANGES: Final = 4
_CALM_S: Final = 60.0


class VideoConfiguration:
    """Takes records and parameter sets, and returns the configurations to pass on.

    Attributes:
        sets: all current parameter sets.
        current: the last configuration that was passed on.
        has_changed: a record or a set has come that is not in ``current``.
        stays_in_frames: there were too many changes, so later ones stay in the frames only.
        sequence: the fields of the SPS of ``current``; None: HEVC.
    """

    def __init__(self, codec: Literal["avc", "hevc"], findings: Findings) -> None:
        self._codec = codec
        self._findings = findings
        self.sets = ParameterSets(codec)
        self.current: VideoConfig | None = None
        self.has_changed = False
        self.sequence: SequenceInfo | None = None
        self._record = b""
        #: The parts of ``current`` that decoding depends on.
        self._decoding: list[object] = []
        self._changes = 0
        self._last_change_s = 0.0

    @property
    def stays_in_frames(self) -> bool:
        return self._changes > _MOST_CHANGES

    def take_record(self, record: bytes, now_s: float) -> bool:
        """Take a configuration record. Return whether it is a new one, and can be read."""
        if not record or record == self._record:
            return False
        try:
            self.sets.replace(record)
        except BitstreamError:
            self._findings.add("video", "config_invalid", now_s)
            return False
        self._record, self.has_changed = record, True
        return True

    def take_set(self, nal: bytes, now_s: float) -> bool:
        """Store a parameter set from a frame. Return whether it is valid."""
        try:
            is_new = self.sets.add(nal)
        except BitstreamError:
            self._findings.add("video", "invalid_nal", now_s)
            return False
        self.has_changed = self.has_changed or is_new
        return True

    def is_record(self, data: bytes) -> bool:
        """Return whether a frame is a configuration record."""
        sets = ParameterSets(self._codec)
        try:
            sets.replace(data)
        except BitstreamError:
            return False
        return bool(sets.known)

    def take_change(self, now_s: float) -> list[MediaEvent]:
        """Return the new configuration, if one is needed: at a key frame, or as a record comes."""
        if not self.has_changed:
            return []
        try:
            made = self.sets.config()
        except BitstreamError:
            self._findings.add("video", "config_invalid", now_s)
            return []
        if made is None:
            return []
        config, is_repaired = made
        decoding = self.sets.decoding_fields()
        if config == self.current or (decoding and decoding == self._decoding):
            self.has_changed = False
            return []
        if self._changes_too_often(config, now_s):
            return []
        if is_repaired:
            self._findings.add("video", "config_repaired", now_s)
        if not self._record:
            self._findings.add("video", "config_in_band", now_s)
        self.has_changed = False
        self.current, self._decoding, self.sequence = config, decoding, self.sets.sequence()
        return [config]

    def _changes_too_often(self, config: VideoConfig, now_s: float) -> bool:
        """Count a change. Return whether there were too many that keep the size of the picture."""
        current, calm_s = self.current, now_s - self._last_change_s
        if current is None or (config.width, config.height) != (current.width, current.height):
            return False
        self._last_change_s = now_s
        self._changes = 1 if calm_s > _CALM_S else self._changes + 1
        return self.stays_in_frames
