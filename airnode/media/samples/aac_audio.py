"""Examines the frames of one AAC track (ISO 14496-3: raw_data_block 4.4.2.1, ADTS 1.A.2, LOAS 1.7.2)."""

from typing import Final, NamedTuple

from airnode.media.codecs import aac
from airnode.media.codecs.bits import BitstreamError
from airnode.media.codecs.libav import AacDecoder, LibavImport
from airnode.media.frames import AudioConfig, Frame, MediaEvent
from airnode.media.samples.findings import Findings

#: Syntactic elements that a raw data block can begin with (4.5.2.1, table 4.85).
_SCE, _CPE, _DSE, _PCE, _FIL = 0, 1, 4, 5, 6
_ALWAYS: Final = frozenset({_DSE, _PCE, _FIL})
#: {channel configuration: its first element}; 0 and others: either element.
_FIRST: Final = {1: _SCE, 2: _CPE, **dict.fromkeys((3, 4, 5, 6, 7, 11, 12, 14), _SCE)}
#: {first element: length of the shortest frame with it}
_LEAST_BYTES: Final = {_SCE: 4, _CPE: 6}
#: Twice the allowed 6144 bits per channel (4.5.3.1): FFmpeg's encoder sends 817 bytes for one channel.
_MOST_BYTES_PER_CHANNEL: Final = 2 * 768
#: The configuration is corrected after this many frames in a row with another number of channels.
_OTHER_LAYOUT_FRAMES: Final = 5
#: Frames without END are dropped while they are at most `_CUT_AT_FIRST`, plus one for `_ENDED_PER_CUT` frames with it.
_ENDED_PER_CUT: Final = 10
_CUT_AT_FIRST: Final = 3
_MOST_ENDED: Final = 300
#: Largest max_sfb of a long window (4.5.4, at 32 kHz), and the window sequence EIGHT_SHORT.
_MOST_BANDS: Final = 51
_EIGHT_SHORT: Final = 2


class _Adts(NamedTuple):
    """One ADTS header. ``size_bytes``: size of the frame, including the header."""

    header_bytes: int
    size_bytes: int
    object_type: int
    rate_index: int
    layout: int


class AacAudio:
    """Repairs the frames of one publisher's track, or drops them.

    Args:
        libav: with it, frames that cannot be decoded are found too.
    """

    def __init__(self, findings: Findings, libav: LibavImport | None = None) -> None:
        self._findings = findings
        self._libav = libav
        self._record = b""
        self._config: AudioConfig | None = None
        self._layout = 0
        self._other_layout = 0
        #: This publisher announced a wrong number of channels: only its frames tell.
        self._is_corrected = False
        #: Recent frames that ended with END, and recent frames that did not.
        self._ended = 0
        self._cut = 0
        self._decoder: AacDecoder | None = None

    def configure(self, record: bytes, now_s: float) -> list[MediaEvent]:
        """Take an AudioSpecificConfig. Return the configuration if it has changed.

        Raises:
            UnsupportedObjectType: it announces an AAC object type that browsers do not play.
        """
        if not record or record == self._record:
            return []
        try:
            config = aac.parse_asc(record)
            layout = aac.channel_configuration(record)
        except aac.UnsupportedObjectType:
            raise
        except BitstreamError:
            self._findings.add("audio", "config_invalid", now_s)
            return []
        self._record = record
        if self._is_corrected and self._announces_same(record):
            return []
        self._layout = layout
        self._ended = self._cut = self._other_layout = 0
        return self._changed(config)

    def _announces_same(self, record: bytes) -> bool:
        """Return whether a record differs from the configuration only in its number of channels."""
        if self._config is None:
            return False
        return aac.with_channel_configuration(record, self._layout) == self._config.record

    def examine(self, frame: Frame) -> list[MediaEvent]:
        """Return the events to pass on for this frame."""
        data = frame.data
        if not data:
            self._findings.add("audio", "empty", frame.arrived_s)
            return []
        if data[0] == 0xFF:
            return self._without_adts(frame)
        if data[0] == 0x56 and len(data) > 3 and int.from_bytes(data[1:3], "big") >> 13 == 0b111:
            self._findings.add("audio", "latm", frame.arrived_s)
            return []
        return self._examine_raw(frame)

    def overdue(self, now_s: float) -> list[MediaEvent]:
        """Return an empty list: no frame is held back."""
        return []

    def finish(self) -> list[MediaEvent]:
        """Return an empty list: no frame is held back."""
        return []

    def _examine_raw(self, frame: Frame) -> list[MediaEvent]:
        config, data = self._config, frame.data
        if data == self._record or (len(data) <= 7 and _is_config(data)):
            self._findings.add("audio", "config_as_frame", frame.arrived_s)
            return []
        if config is None:
            self._findings.add("audio", "no_config", frame.arrived_s)
            return []
        element = data[0] >> 5
        usual = _FIRST.get(self._layout, element if element in _LEAST_BYTES else _SCE)
        is_other = element != usual and element not in _ALWAYS
        if (
            len(data) < _LEAST_BYTES.get(element, 4)
            or len(data) > _MOST_BYTES_PER_CHANNEL * config.channels
            or not _begins_well(data, element)
            or (is_other and element not in _LEAST_BYTES)
            or not self._has_end(data)
            or not (self._decoder is None or self._decoder.can_decode(data))
        ):
            self._findings.add("audio", "invalid_audio", frame.arrived_s)
            return []
        if not is_other:
            self._other_layout = 0
            return [frame]
        return self._other_channels(frame)

    def _other_channels(self, frame: Frame) -> list[MediaEvent]:
        """Return no events for a frame with unannounced channels; after some in a row, a corrected configuration."""
        self._other_layout += 1
        layout = {1: 2, 2: 1}.get(self._layout)
        if layout is None or self._other_layout < _OTHER_LAYOUT_FRAMES or len(self._record) < 2:
            self._findings.add("audio", "invalid_audio", frame.arrived_s)
            return []
        self._findings.add("audio", "channels_wrong", frame.arrived_s)
        try:
            config = aac.parse_asc(aac.with_channel_configuration(self._record, layout))
        except BitstreamError:
            return []
        self._layout, self._other_layout, self._is_corrected = layout, 0, True
        return [*self._changed(config), frame]

    def _has_end(self, data: bytes) -> bool:
        """Return whether the frame ends with the END element, or this encoder often omits it."""
        tail = int.from_bytes(data[-2:], "big")
        if tail:
            tail >>= (tail & -tail).bit_length() - 1
        if tail & 7 == 7:
            self._ended += 1
            if self._ended > _MOST_ENDED:  # older frames count less
                self._ended, self._cut = self._ended // 2, self._cut // 2
            return True
        self._cut += 1
        return self._cut > _CUT_AT_FIRST + self._ended // _ENDED_PER_CUT

    # ---- ADTS --------------------------------------------------------------------------------------------------------

    def _without_adts(self, frame: Frame) -> list[MediaEvent]:
        """Return the raw frames of one or more ADTS frames, and the configuration in their header if none has come."""
        events: list[MediaEvent] = []
        pos, dts_90k, data = 0, frame.dts_90k, frame.data
        while pos < len(data):
            adts = _adts(data, pos)
            if adts is None:
                self._findings.add("audio", "invalid_audio", frame.arrived_s)
                break
            self._findings.add("audio", "adts", frame.arrived_s)
            if self._config is None:
                events += self.configure(aac.write_asc(adts.object_type, adts.rate_index, adts.layout), frame.arrived_s)
            raw = data[pos + adts.header_bytes : pos + adts.size_bytes]
            if raw:
                events += self._examine_raw(Frame("audio", dts_90k, 0, raw, True, frame.arrived_s))
            if self._config is not None:
                dts_90k += self._config.samples_per_frame * 90_000 // self._config.sample_rate
            pos += adts.size_bytes
        return events

    def _changed(self, config: AudioConfig) -> list[MediaEvent]:
        if config == self._config:
            return []
        self._config = config
        if self._libav is not None:
            self._decoder = AacDecoder(config.record, self._libav)
        return [config]


def _begins_well(data: bytes, element: int) -> bool:
    """Return whether ics_info() of the first channel is possible in AAC-LC (ISO 14496-3 4.4.2.1, table 4.6)."""
    if element not in _LEAST_BYTES:
        return True
    head = int.from_bytes(data[:4], "big")
    pos = 15 if element == _SCE else 8 if head >> 24 & 1 else 16
    info = head >> (21 - pos) & 0x7FF
    is_short = info >> 8 & 3 == _EIGHT_SHORT
    # ics_reserved_bit; max_sfb and predictor_data_present
    return not info >> 10 and (is_short or (info >> 1 & 0x3F <= _MOST_BANDS and not info & 1))


def _is_config(data: bytes) -> bool:
    """Return whether a frame of a few bytes is an AudioSpecificConfig: of 2 bytes, or with an extension after it."""
    if len(data) != 2 and data[2:4] != b"\x56\xe5":
        return False
    try:
        aac.parse_asc(data)
    except BitstreamError:
        return False
    return True


def _adts(data: bytes, pos: int) -> _Adts | None:
    """Return the ADTS header at a position; None: there is no header, or its frame is cut off."""
    head = data[pos : pos + 7]
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    size_bytes = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    header_bytes = 7 if head[1] & 1 else 9
    if size_bytes < header_bytes or pos + size_bytes > len(data):
        return None
    layout = (head[2] & 1) << 2 | head[3] >> 6
    return _Adts(header_bytes, size_bytes, (head[2] >> 6) + 1, head[2] >> 2 & 0xF, layout)
