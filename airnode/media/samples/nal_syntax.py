"""The kinds of H.264 and HEVC NAL units that an ingest distinguishes (ITU-T H.264 7.4.1, H.265 7.4.2.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from airnode.media.codecs.bits import BitReader, BitstreamError, unescape

# Kinds of NAL units, given by their header; one bit for each.
SLICE: Final = 1
#: A slice of a picture that decoding can begin with (IDR; in HEVC also BLA and CRA).
KEY: Final = 2
#: With KEY: pictures that cannot be decoded may follow (CRA, BLA).
OPEN: Final = 4
#: A slice of a picture that may not be decodable after CRA or BLA (RASL).
LEADING: Final = 8
PARAMETERS: Final = 16
#: Supplemental information that belongs to the next picture.
SEI: Final = 32
DELIMITER: Final = 64
#: Any other NAL unit: it stays with its picture, and is dropped if it comes without one.
OTHER: Final = 128
#: No valid NAL unit has such a header.
INVALID: Final = 256

#: An H.264 SEI NAL unit with a recovery point: recovery_frame_cnt 0, exact_match_flag 0, broken_link_flag 0.
IMMEDIATE_RECOVERY: Final = b"\x06\x06\x01\x84\x80"
_RECOVERY_POINT: Final = 6
_MAX_SEI_MESSAGES: Final = 32
#: {type of an SEI message: the least and the most bytes that FFmpeg's decoders accept}: picture timing, user data,
#: mastering display, content light level.
_SEI_BYTES: Final = {1: (0, 40), 4: (3, 1 << 24), 5: (16, 1 << 24), 6: (1, 16), 137: (24, 255), 144: (4, 255)}
_ANY_BYTES: Final = (0, 1 << 24)
#: The beginning of closed captions (ATSC A/53 part 4, 6.2.3); the next byte has their number.
_USER_DATA_T35: Final = 4
_CAPTIONS: Final = b"\xb5\x00\x31GA94\x03"
_CAPTIONS_HEAD_BYTES: Final = len(_CAPTIONS) + 2


@dataclass(frozen=True, slots=True)
class NalSyntax:
    """The NAL units of one codec.

    Attributes:
        header_bytes: size of a NAL unit's header; the bit after it is set in the first slice of a picture
            (first_mb_in_slice 0, first_slice_segment_in_pic_flag).
        kinds: the bits above, by the first byte of a NAL unit.
        is_intra: returns, for the first byte of a slice header, whether it is the first slice and an I slice.
    """

    codec: Literal["avc", "hevc"]
    header_bytes: int
    kinds: tuple[int, ...]
    is_intra: Callable[[int], bool]


def _avc_kind(header: int) -> int:
    kind = header & 0x1F
    if header & 0x80 or kind == 0 or 24 <= kind <= 29:  # 24-29: packets of RTP (RFC 6184)
        return INVALID
    return {1: SLICE, 2: SLICE, 5: SLICE | KEY, 6: SEI, 7: PARAMETERS, 8: PARAMETERS, 9: DELIMITER}.get(kind, OTHER)


def _hevc_kind(header: int) -> int:
    kind = header >> 1 & 0x3F
    if header & 0x80 or 48 <= kind <= 50:  # packets of RTP (RFC 7798)
        return INVALID
    if kind < 10:
        return SLICE | LEADING if kind in (8, 9) else SLICE
    if 16 <= kind <= 21:
        return SLICE | KEY if kind in (19, 20) else SLICE | KEY | OPEN
    return {32: PARAMETERS, 33: PARAMETERS, 34: PARAMETERS, 35: DELIMITER, 39: SEI}.get(kind, OTHER)


def _avc_is_intra(byte: int) -> bool:
    """Return whether first_mb_in_slice is 0 (``1``) and slice_type is 2 (``011``) or 7 (``0001000``)."""
    return byte >> 4 == 0b1011 or byte == 0b10001000


AVC: Final = NalSyntax("avc", 1, tuple(map(_avc_kind, range(256))), _avc_is_intra)
HEVC: Final = NalSyntax("hevc", 2, tuple(map(_hevc_kind, range(256))), lambda byte: False)


def recovery_frames(sei: bytes, header_bytes: int) -> int | None:
    """Return the recovery count of the recovery point in an SEI NAL unit; None: it has none (H.264 D.2.8, H.265 D.3.8).

    0: this picture is correct; n: the picture is correct after n more pictures (intra refresh).
    """
    pos = header_bytes
    for _ in range(_MAX_SEI_MESSAGES):
        kind, pos = _sei_number(sei, pos)
        size, pos = _sei_number(sei, pos)
        if pos >= len(sei) or not size:
            return None
        if kind == _RECOVERY_POINT:
            try:
                reader = BitReader(unescape(sei[pos : pos + min(size, 16) + 4]))
                return reader.ue() if header_bytes == 1 else abs(reader.se())
            except BitstreamError:
                return None
        pos += size
    return None


def is_valid_sei(sei: bytes, header_bytes: int) -> bool:
    """Return whether decoders accept the messages of an SEI NAL unit (H.264 7.3.2.3.1, D.1): Chromium stops at others.

    Each message must fit into the NAL unit, and have the least number of bytes of its type. There are few of them:
    a NAL unit full of empty ones would hold up the whole node.
    """
    data = unescape(sei).rstrip(b"\0")
    pos, end = header_bytes, len(data) - 1  # the last byte has the stop bit
    for _ in range(_MAX_SEI_MESSAGES):
        if end - pos <= 2 or data[pos : pos + 2] == b"\0\0":
            return pos <= end
        kind, pos = _sei_number(data, pos)
        size, pos = _sei_number(data, pos)
        low, high = _SEI_BYTES.get(kind, _ANY_BYTES)
        if kind == _USER_DATA_T35 and data[pos : pos + len(_CAPTIONS)] == _CAPTIONS:
            low = _CAPTIONS_HEAD_BYTES + 3 * (data[pos + len(_CAPTIONS)] & 0x1F)
        if not low <= size <= high:
            return False
        pos += size
    return False


def with_immediate_recovery(nals: Sequence[bytes], syntax: NalSyntax) -> list[bytes]:
    """Return the NAL units of an H.264 picture with a recovery point that says: correct from this picture on.

    Chromium takes a recovery point for a key frame only with a recovery count of 0. Without key frames it can begin
    nowhere, and it drops the whole buffer when a page removes what has been played.
    """
    kept = [nal for nal in nals if not (nal[0] & 0x1F == 6 and nal[1:2] == b"\x06" and 4 + nal[2] >= len(nal))]
    at = next((at for at, nal in enumerate(kept) if syntax.kinds[nal[0]] & SLICE), len(kept))
    return [*kept[:at], IMMEDIATE_RECOVERY, *kept[at:]]


def _sei_number(sei: bytes, pos: int) -> tuple[int, int]:
    """Return (payload type or size, position after it)."""
    value = 0
    while pos < len(sei) and sei[pos] == 0xFF:
        value += 255
        pos += 1
    return (value + sei[pos], pos + 1) if pos < len(sei) else (value, pos)
