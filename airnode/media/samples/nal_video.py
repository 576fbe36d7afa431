"""Examines the pictures of one H.264 or HEVC track.

::

    frame ──▶ fast check: is the frame correct? ──yes──▶ pass on unchanged
                     │ no
                     ▼
              unpack (nal_units) ──▶ parameter sets ──▶ join to a picture ──▶ key frame? ──▶ pack, pass on

A picture that comes in several messages is joined. For that a picture has to wait for the next message. Only the first
pictures of a publish wait; all pictures wait after one came in parts.
"""

from typing import Final

from airnode.media.codecs.bits import BitReader, BitstreamError
from airnode.media.frames import Frame, MediaEvent
from airnode.media.samples.findings import Findings
from airnode.media.samples.frame_numbers import FrameNumbers
from airnode.media.samples.nal_syntax import (
    DELIMITER,
    INVALID,
    KEY,
    LEADING,
    OPEN,
    OTHER,
    PARAMETERS,
    SEI,
    SLICE,
    NalSyntax,
    is_valid_sei,
    recovery_frames,
    with_immediate_recovery,
)
from airnode.media.samples.nal_units import MAX_NALS, Unpacked, pack, unpack
from airnode.media.samples.video_configuration import VideoConfiguration

#: In a publish, this many first pictures wait for the next message, and this many are examined closely.
_CAUTIOUS_PICTURES: Final = 3
_CLOSE_PICTURES: Final = 30
#: Findings of frames that have sizes and no start codes.
_SIZED: Final = frozenset({"empty_nal", "stray_bytes", "length_size"})
#: Most headers that are kept until their picture comes.
_MAX_PENDING_NALS, _MAX_PENDING_BYTES = 64, 64 << 10
#: The payload type of a recovery point is searched for in this many bytes of an SEI NAL unit.
_SEI_LOOK_BYTES: Final = 64
#: After a lost picture, pictures are left out for at most this long if no key frame comes.
_LONGEST_WAIT_90K: Final = 3 * 90_000
#: A picture waits for the next message for at most this long, if sound comes.
_LONGEST_HOLD_S: Final = 0.2
#: The parts of one picture have timestamps that differ by less than this: 30 ms.
_LONGEST_PICTURE_90K: Final = 30 * 90


class NalVideo:
    """Repairs the pictures of one publisher's track, or drops them.

    The result is whole pictures of well-formed NAL units with sizes of four bytes.
    """

    def __init__(self, syntax: NalSyntax, findings: Findings) -> None:
        self._syntax = syntax
        self._findings = findings
        self._configuration = VideoConfiguration(syntax.codec, findings)
        self._sets = self._configuration.sets
        #: NAL units that belong to the next picture.
        self._pending: list[bytes] = []
        #: The last picture, after its new configuration, if it waits for more parts.
        self._held: list[MediaEvent] = []
        self._held_since_s = 0.0
        self._cautious = _CAUTIOUS_PICTURES
        self._close = _CLOSE_PICTURES
        self._comes_in_parts = False
        #: first_mb_in_slice of the last slice.
        self._last_mb = 0
        #: None: a missing picture does no harm, or cannot be noticed.
        self._numbers: FrameNumbers | None = None
        self._keeps_references = False
        self._annexb_before: bool | None = None
        self._begun = False
        #: Decode time of a lost picture that the next ones refer to; None: no picture is lost.
        self._lost_90k: int | None = None
        self._drops_leading = False
        #: Presentation time of the last key frame that is no IDR frame; None: pictures presented later have come.
        self._open_since_90k: int | None = None

    def configure(self, record: bytes, now_s: float) -> list[MediaEvent]:
        """Take a configuration record. Return the events to pass on."""
        if not self._configuration.take_record(record, now_s):
            return []
        events = [*self._release(), *self._new_config(now_s)]
        if self._configuration.stays_in_frames:
            self._pending = self._sets.nals()
        return events

    def examine(self, frame: Frame) -> list[MediaEvent]:
        """Return the events to pass on for this frame and for earlier ones."""
        is_settled = not (self._close or self._comes_in_parts or self._held or self._pending)
        if self._configuration.has_changed or self._configuration.current is None:
            is_settled = False
        if is_settled and self._open_since_90k is None and self._lost_90k is None:
            slice_at = self._find_clean_slice(frame)
            if slice_at and not self._misses_picture(frame, frame.data, slice_at):
                return [frame]
        return self._examine_closely(frame)

    def overdue(self, now_s: float) -> list[MediaEvent]:
        """Return the held picture if it has waited for too long: at a low frame rate the next one comes late."""
        if not self._held or now_s - self._held_since_s < _LONGEST_HOLD_S:
            return []
        return self._release()

    def finish(self) -> list[MediaEvent]:
        """Return the events that are held back, as the track ends."""
        return self._release()

    # ---- the fast check ----------------------------------------------------------------------------------------------

    def _find_clean_slice(self, frame: Frame) -> int:
        """Return the position of the slice with which the picture begins.

        0: the frame is no whole picture in the correct form, or its key frame mark is wrong.
        """
        data, pos, found, slice_at = frame.data, 0, 0, 0
        kinds, header_bytes, size_of = self._syntax.kinds, self._syntax.header_bytes, int.from_bytes
        last = len(data) - 4 - header_bytes
        for _ in range(MAX_NALS):
            if pos >= last:
                break
            size = size_of(data[pos : pos + 4], "big")
            kind = kinds[data[pos + 4]]
            found |= kind
            if kind & SLICE:
                if data[pos + 4 + header_bytes] & 0x80:
                    slice_at = pos + 4
            elif kind & (PARAMETERS | SEI) and not self._is_known(data[pos + 4 : pos + 4 + size], kind):
                return 0
            if not size:
                return 0
            pos += 4 + size
        is_clean = (
            pos == len(data)
            and bool(found & KEY) == frame.is_key
            and not found & (INVALID | LEADING)
            and self._sets.length_size == 4
        )
        return slice_at if is_clean else 0

    def _is_known(self, nal: bytes, kind: int) -> bool:
        """Return whether a header changes nothing: a known parameter set, or an SEI without a recovery point."""
        if kind & PARAMETERS:
            return nal in self._sets.known
        return b"\x06" not in nal[1:_SEI_LOOK_BYTES] and is_valid_sei(nal, self._syntax.header_bytes)

    # ---- the close check ---------------------------------------------------------------------------------------------

    def _examine_closely(self, frame: Frame) -> list[MediaEvent]:
        now_s = frame.arrived_s
        self._close = max(0, self._close - 1)
        unpacked = unpack(frame.data, self._sets.length_size, self._syntax.kinds, annexb_before=self._annexb_before)
        if not unpacked.nals and self._configuration.is_record(frame.data):
            self._add("config_as_frame", now_s)
            return self.configure(frame.data, now_s)
        if unpacked.is_annexb or _SIZED.issuperset(unpacked.odd):
            self._annexb_before = unpacked.is_annexb
        for code in unpacked.odd:
            if code != "cut":
                self._add(code, now_s)
        if "annexb" in unpacked.odd or self._sets.length_size != 4:
            self._close = _CLOSE_PICTURES
        nals, found, is_first = self._sort(unpacked.nals, now_s)
        if not found & SLICE:
            self._keep_headers(nals, found, unpacked, now_s)
            if "cut" not in unpacked.odd and not found & INVALID:
                return []
            self._lose(frame, unpacked.lost_header)
            return self._release()
        if "cut" in unpacked.odd:
            self._add("cut_slices", now_s)
        if not is_first:
            return self._join(frame, nals)
        is_changed = bool(self._pending or unpacked.odd) or len(nals) != len(unpacked.nals)
        nals, self._pending = [*self._pending, *nals], []
        self._last_mb = self._first_mb(nals, -1)
        is_key, refreshes = self._judge_key(frame, nals, found)
        if refreshes:
            nals, is_changed = with_immediate_recovery(nals, self._syntax), True
        begin = next((nal for nal in nals if self._begins_picture(nal)), b"")
        self._misses_picture(frame, begin, 0)
        if not self._is_decodable(frame, found, is_key):
            return self._release()
        new_config = self._new_config(now_s) if is_key or self._configuration.current is None else []
        if self._configuration.current is None:
            self._add("no_config", now_s)
            return []
        if is_changed or is_key != frame.is_key:
            data = pack(nals) if is_changed else frame.data
            frame = Frame("video", frame.dts_90k, frame.cts_90k, data, is_key, now_s)
        return self._pass_on([*new_config, frame], now_s)

    def _sort(self, nals: list[bytes], now_s: float) -> tuple[list[bytes], int, bool]:
        """Return (valid NAL units, their kinds, whether a picture begins with them); store the parameter sets."""
        kinds, header_bytes = self._syntax.kinds, self._syntax.header_bytes
        kept, found, is_first = list[bytes](), 0, False
        for nal in nals:
            kind = kinds[nal[0]]
            if kind & INVALID or (len(nal) <= header_bytes and not kind & OTHER):
                self._add("invalid_nal", now_s)
                # forbidden_zero_bit: a proxy found the slice to be damaged.
                found |= INVALID if kinds[nal[0] & 0x7F] & SLICE else 0
                continue
            if kind & SEI and not is_valid_sei(nal, header_bytes):
                self._add("invalid_nal", now_s)
                continue
            if kind & PARAMETERS and not self._configuration.take_set(nal, now_s):
                continue
            is_first = is_first or self._begins_picture(nal)
            found |= kind
            kept.append(nal)
        return kept, found, is_first

    def _begins_picture(self, nal: bytes) -> bool:
        return bool(self._syntax.kinds[nal[0]] & SLICE and nal[self._syntax.header_bytes] & 0x80)

    def _keep_headers(self, nals: list[bytes], found: int, unpacked: Unpacked, now_s: float) -> None:
        """Keep the headers of a message without a picture for the next picture."""
        kinds = self._syntax.kinds
        self._pending += [nal for nal in nals if kinds[nal[0]] & (PARAMETERS | SEI)]
        while len(self._pending) > _MAX_PENDING_NALS or sum(map(len, self._pending)) > _MAX_PENDING_BYTES:
            del self._pending[0]
        if "cut" in unpacked.odd:
            self._add("cut_frame", now_s)
        elif found & (PARAMETERS | SEI | DELIMITER):
            self._add("headers_apart", now_s)
        elif nals:
            self._add("no_picture", now_s)
        elif not unpacked.odd and not unpacked.nals:
            self._add("empty", now_s)

    # ---- pictures ----------------------------------------------------------------------------------------------------

    def _join(self, frame: Frame, nals: list[bytes]) -> list[MediaEvent]:
        """Add slices to the held picture if they continue it. Return an empty list: it is still held.

        Otherwise the beginning of their picture is lost, or this encoder begins to send pictures in parts.
        """
        picture = self._held[-1] if self._held else None
        last_mb, begin_mb, self._last_mb = self._last_mb, self._first_mb(nals, 0), self._first_mb(nals, -1)
        if (
            not isinstance(picture, Frame)
            or begin_mb < last_mb
            or frame.dts_90k - picture.dts_90k > _LONGEST_PICTURE_90K
        ):
            self._add("picture_part_lost", frame.arrived_s)
            self._cautious, self._close = _CAUTIOUS_PICTURES, _CLOSE_PICTURES
            self._lose(frame, next(nal[0] for nal in nals if self._syntax.kinds[nal[0]] & SLICE))
            return self._release()
        self._comes_in_parts = True
        self._add("picture_split", frame.arrived_s)
        data = picture.data + pack([*self._pending, *nals])
        self._pending = []
        self._held[-1] = Frame("video", picture.dts_90k, picture.cts_90k, data, picture.is_key, picture.arrived_s)
        return []

    def _first_mb(self, nals: list[bytes], index: int) -> int:
        """Return first_mb_in_slice of one of the slices; 0: this is HEVC."""
        slices = [nal for nal in nals if self._syntax.kinds[nal[0]] & SLICE]
        try:
            return BitReader(slices[index][1:9]).ue() if self._syntax.codec == "avc" else 0
        except BitstreamError:
            return 0

    def _judge_key(self, frame: Frame, nals: list[bytes], found: int) -> tuple[bool, bool]:
        """Return whether decoding can begin here, and whether the picture needs another recovery point for that.

        Add a finding if many players do not begin with such a key frame.
        """
        syntax = self._syntax
        if found & KEY:
            if not frame.is_key:
                self._add("key_not_marked", frame.arrived_s)
            return True, False
        if found & SEI:
            for nal in nals:
                if syntax.kinds[nal[0]] & SEI:
                    count = recovery_frames(nal, syntax.header_bytes)
                    if count is not None:
                        self._add("intra_refresh" if count else "open_gop", frame.arrived_s)
                        return True, count > 0 and syntax.codec == "avc"
        if not frame.is_key:
            return False, False
        if all(syntax.is_intra(nal[syntax.header_bytes]) for nal in nals if syntax.kinds[nal[0]] & SLICE):
            self._add("open_gop", frame.arrived_s)
            return True, False
        self._add("key_mark_wrong", frame.arrived_s)
        return False, False

    def _is_decodable(self, frame: Frame, found: int, is_key: bool) -> bool:
        """Return False for pictures that may refer to pictures before the key frame that they follow.

        HEVC marks them (RASL), and decoders skip them if they begin with the key frame. H.264 does not mark them: they
        are the pictures that are presented before their key frame. Chromium stops at them if it begins with that frame.
        """
        presented_90k = frame.dts_90k + frame.cts_90k
        if is_key:
            self._drops_leading = bool(found & OPEN) and not self._begun
            self._open_since_90k = None if found & KEY else presented_90k
            self._begun, self._lost_90k = True, None
            return True
        if self._lost_90k is not None and frame.dts_90k - self._lost_90k < _LONGEST_WAIT_90K:
            self._add("reference_lost", frame.arrived_s)
            return False
        self._lost_90k = None
        is_leading = bool(found & LEADING) and self._drops_leading
        if self._open_since_90k is not None and presented_90k < self._open_since_90k:
            is_leading = True
        else:
            self._open_since_90k = None
        if is_leading:
            self._add("leading_pictures", frame.arrived_s)
        return not is_leading

    def _misses_picture(self, frame: Frame, data: bytes, slice_at: int) -> bool:
        """Return whether a picture is missing before this one; then pictures are left out until the next key frame."""
        if self._numbers is None or not self._numbers.misses_picture(data, slice_at):
            return False
        self._lost_90k = frame.dts_90k
        return True

    def _lose(self, frame: Frame, header: int) -> None:
        """Leave out the pictures after a lost one, if decoders would stop at them.

        Measured in Chromium: after a reference picture is lost, later commands to remove it are decode errors, and so
        is the rest of a cut slice. Streams with one reference picture have no such commands, and decoding continues.
        HEVC decoders replace missing pictures (H.265 8.3.3).
        """
        kind = self._syntax.kinds[header] if header >= 0 else INVALID
        is_reference = not kind & SLICE or bool(kind & KEY) or header >> 5 & 3 != 0
        if self._syntax.codec == "avc" and is_reference and (kind & KEY or self._keeps_references):
            self._lost_90k = frame.dts_90k

    def _new_config(self, now_s: float) -> list[MediaEvent]:
        """Return the configuration if it has changed."""
        events = self._configuration.take_change(now_s)
        if events:
            sequence = self._configuration.sequence
            self._keeps_references = sequence is not None and sequence.reference_frames != 1
            self._numbers = FrameNumbers.of(sequence)
        return events

    def _pass_on(self, picture: list[MediaEvent], now_s: float) -> list[MediaEvent]:
        """Return the held picture, and also this one if no more parts are expected."""
        if self._cautious:
            self._cautious -= 1
        if self._cautious or self._comes_in_parts:
            released, self._held, self._held_since_s = self._held, picture, now_s
            return released
        return [*self._release(), *picture]

    def _release(self) -> list[MediaEvent]:
        held, self._held = self._held, []
        return held

    def _add(self, code: str, now_s: float) -> None:
        self._findings.add("video", code, now_s)
