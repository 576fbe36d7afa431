"""Examines the temporal units of one AV1 track (AV1 bitstream specification 5.3, AV1 in ISOBMFF 2.4)."""

from typing import Final, NamedTuple

from airnode.media.codecs import av1
from airnode.media.codecs.bits import BitstreamError
from airnode.media.frames import Frame, MediaEvent, VideoConfig
from airnode.media.samples.findings import Findings

_SEQUENCE_HEADER: Final = 1
_TEMPORAL_DELIMITER: Final = 2
_FRAME_HEADERS: Final = frozenset({3, 6})
_MAX_OBUS: Final = 1024
#: After a lost frame, frames are left out for at most this long if no key frame comes.
_LONGEST_WAIT_90K: Final = 3 * 90_000


class _Unit(NamedTuple):
    """The parts of a temporal unit. ``data``: its OBUs, without temporal delimiters and stray bytes."""

    data: bytes
    sequence_header: bytes
    #: The first byte of the first frame header; None: the unit has no frame.
    frame_header: int | None
    odd: list[str]


class Av1Video:
    """Repairs the temporal units of one publisher's track, or drops them."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._record = b""
        self._config: VideoConfig | None = None
        #: Decode time of a lost frame; decoders stop at frames that refer to it. None: no frame is lost.
        self._lost_90k: int | None = None

    def configure(self, record: bytes, now_s: float) -> list[MediaEvent]:
        """Take an av1C record. Return the configuration if it has changed."""
        if not record or record == self._record:
            return []
        if av1.lacks_sequence_header(record):  # the first key frame has it
            self._record, self._config = record, None
            return []
        try:
            config = av1.parse_av1c(record)
        except BitstreamError:
            self._findings.add("video", "config_invalid", now_s)
            return []
        self._record = record
        return self._changed(config)

    def examine(self, frame: Frame) -> list[MediaEvent]:
        """Return the events to pass on for this frame."""
        now_s = frame.arrived_s
        unit = _unpack(frame.data)
        for code in unit.odd:
            self._findings.add("video", code, now_s)
        if unit.frame_header is None:
            if not unit.odd:
                self._findings.add("video", "no_picture" if frame.data else "empty", now_s)
            elif "cut_frame" in unit.odd:
                self._lost_90k = frame.dts_90k
            return []
        # show_existing_frame, frame_type (5.9.2); 0 is KEY_FRAME
        is_key = unit.frame_header >> 5 == 0
        if is_key:
            self._lost_90k = None
        elif self._lost_90k is not None and frame.dts_90k - self._lost_90k < _LONGEST_WAIT_90K:
            self._findings.add("video", "reference_lost", now_s)
            return []
        if is_key != frame.is_key:
            self._findings.add("video", "key_not_marked" if is_key else "key_mark_wrong", now_s)
        events: list[MediaEvent] = []
        if is_key and unit.sequence_header:
            try:
                events = self._changed(av1.parse_av1c(self._record_with(unit)))
            except BitstreamError:
                self._findings.add("video", "config_invalid", now_s)
            if events and not self._record:
                self._findings.add("video", "config_in_band", now_s)
        if self._config is None:
            self._findings.add("video", "no_config", now_s)
            return []
        if is_key != frame.is_key or len(unit.data) != len(frame.data):
            frame = Frame("video", frame.dts_90k, frame.cts_90k, unit.data, is_key, now_s)
        return [*events, frame]

    def overdue(self, now_s: float) -> list[MediaEvent]:
        """Return an empty list: no unit is held back."""
        return []

    def finish(self) -> list[MediaEvent]:
        """Return an empty list: no unit is held back."""
        return []

    def _record_with(self, unit: _Unit) -> bytes:
        if self._record:
            return av1.complete(self._record, unit.data)
        return av1.record_of(unit.sequence_header)

    def _changed(self, config: VideoConfig) -> list[MediaEvent]:
        before, self._config = self._config, config
        is_same = before is not None and _sequence(before) == _sequence(config)
        if is_same:
            self._config = before
        return [] if is_same else [config]


def _sequence(config: VideoConfig) -> bytes:
    """Return the sequence header, and the fields of the record before it."""
    return config.record[:4] + av1.find_sequence_header(config.record[4:])


def _unpack(data: bytes) -> _Unit:
    kept, sequence_header, frame_header = list[bytes](), b"", None
    pos, end = 0, len(data)
    odd: list[str] = []
    for _ in range(_MAX_OBUS):
        if pos >= end:
            break
        header = data[pos]
        kind = header >> 3 & 0xF
        if header & 0x80 or kind == 0:  # no OBU begins like this
            odd = ["stray_bytes" if frame_header is not None else "cut_frame"]
            break
        try:
            begin, stop = av1.obu_body(data, pos)
        except BitstreamError:
            return _Unit(b"", b"", None, ["cut_frame"])
        if kind == _SEQUENCE_HEADER and not sequence_header:
            sequence_header = data[begin:stop]
        elif kind in _FRAME_HEADERS and frame_header is None and stop > begin:
            frame_header = data[begin]
        if kind != _TEMPORAL_DELIMITER:
            kept.append(data[pos:stop])
        pos = stop
    else:
        odd = ["too_many_units"] if pos < end else odd
    return _Unit(b"".join(kept), sequence_header, frame_header, odd)
