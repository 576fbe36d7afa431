"""H.264: the avcC record and its parameter sets (ISO 14496-15 5.3.3, ITU-T H.264 7.3.2)."""

from collections.abc import Sequence
from typing import NamedTuple

from airnode.media.codecs.bits import (
    BitReader,
    BitstreamError,
    PictureSyntax,
    SequenceInfo,
    bounded,
    frame_rate,
    picture_size,
    unescape,
)
from airnode.media.frames import VideoConfig

_SPS = 7
#: Profiles whose record has the chroma format and the bit depths after the parameter sets (ISO 14496-15 5.3.3.1.2).
_EXTENDED_RECORD = frozenset({100, 110, 122, 144, 244, 44})
#: Profiles whose SPS has the chroma and scaling fields.
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


def parse_avcc(record: bytes) -> VideoConfig:
    """Return the configuration in an avcC record.

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    if len(record) < 7 or record[0] != 1:
        raise BitstreamError("not an AVC decoder configuration record")
    if not record[5] & 0x1F:
        raise BitstreamError("an AVC configuration without a sequence parameter set")
    size = int.from_bytes(record[6:8], "big")
    sps = record[8 : 8 + size]
    if len(sps) < size or not sps or sps[0] & 0x1F != _SPS:
        raise BitstreamError("the sequence parameter set is cut short")
    info = parse_sps(sps)
    return VideoConfig("avc", record, f"avc1.{record[1:4].hex()}", info.width, info.height, info.frame_rate)


class AvcRecord(NamedTuple):
    """The parts of an avcC record. ``length_size``: bytes of the size in front of each NAL unit."""

    length_size: int
    sps: list[bytes]
    pps: list[bytes]


def read_avcc(record: bytes) -> AvcRecord:
    """Return the parts of an avcC record; its profile and its reserved bits are not checked.

    Raises:
        BitstreamError: it is no avcC record, or it is cut short.
    """
    if len(record) < 6 or record[0] != 1:
        raise BitstreamError("not an AVC decoder configuration record")
    pos, found = 6, list[list[bytes]]()
    count = record[5] & 0x1F
    for is_last in (False, True):
        nals = []
        for _ in range(count):
            size = int.from_bytes(record[pos : pos + 2], "big")
            nal = record[pos + 2 : pos + 2 + size]
            pos += 2 + size
            if pos > len(record):
                raise BitstreamError("a parameter set is cut short")
            if nal:
                nals.append(nal)
        found.append(nals)
        if not is_last:
            count = record[pos] if pos < len(record) else 0
            pos += 1
    return AvcRecord((record[4] & 3) + 1, *found)


def write_avcc(sps: Sequence[bytes], pps: Sequence[bytes]) -> bytes:
    """Return an avcC record for NAL units with sizes of four bytes. The first SPS gives the profile and the level.

    Raises:
        BitstreamError: the first SPS is invalid.
    """
    info = parse_sps(sps[0])
    head = bytes((1, sps[0][1], sps[0][2], sps[0][3], 0xFF, 0xE0 | len(sps)))
    body = b"".join(len(nal).to_bytes(2, "big") + nal for nal in sps)
    body += bytes((len(pps),)) + b"".join(len(nal).to_bytes(2, "big") + nal for nal in pps)
    if sps[0][1] in _EXTENDED_RECORD:
        body += bytes((0xFC | info.chroma_format, 0xF8 | info.luma_bits - 8, 0xF8 | info.chroma_bits - 8, 0))
    return head + body


def parse_pps_ids(nal: bytes) -> tuple[int, int]:
    """Return (id, id of its SPS) of a picture parameter set.

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    r = BitReader(unescape(nal[1:16]))
    return bounded(r.ue(), 255, "pic_parameter_set_id"), bounded(r.ue(), 31, "seq_parameter_set_id")


def parse_sps(nal: bytes) -> SequenceInfo:
    """Return the fields of a sequence parameter set.

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    r = BitReader(unescape(nal[1:]))
    info = _sequence(r)
    return info._replace(frame_rate=_vui_frame_rate(r)) if r.flag() else info


def decoding_fields(sps: bytes) -> tuple[int, int, int]:
    """Return the part of a sequence parameter set that slices depend on: not its level, and not the VUI.

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    payload = unescape(sps[1:])
    r = BitReader(payload)
    _sequence(r)
    return payload[0], 8 * len(payload) - r.bits_left, int.from_bytes(payload[3:], "big") >> r.bits_left


def _sequence(r: BitReader) -> SequenceInfo:
    """Read the fields before the VUI."""
    profile = r.u(8)
    r.skip(16)  # constraint flags, level
    set_id = bounded(r.ue(), 31, "seq_parameter_set_id")
    chroma, chroma_format, luma_bits, chroma_bits = 1, 1, 8, 8
    if profile in _HIGH_PROFILES:
        chroma_format, chroma, luma_bits, chroma_bits = _high_fields(r)
    frame_num_bits = 4 + bounded(r.ue(), 12, "log2_max_frame_num_minus4")
    order = _picture_order(r)
    reference_frames = bounded(r.ue(), 16, "max_num_ref_frames")
    allows_gaps = r.flag()
    width_mbs, height_units = r.ue() + 1, r.ue() + 1
    frame_only = r.flag()
    if not frame_only:
        r.skip(1)  # mb_adaptive_frame_field_flag
    r.skip(1)  # direct_8x8_inference_flag
    left, right, top, bottom = (r.ue(), r.ue(), r.ue(), r.ue()) if r.flag() else (0, 0, 0, 0)
    fields = 1 if frame_only else 2
    unit_x = 2 if chroma in (1, 2) else 1
    unit_y = (2 if chroma == 1 else 1) * fields
    width = 16 * width_mbs - unit_x * (left + right)
    height = 16 * height_units * fields - unit_y * (top + bottom)
    picture_size(width, height)
    pictures = PictureSyntax(frame_num_bits, *order, frame_only, width_mbs * height_units * fields, allows_gaps)
    return SequenceInfo(width, height, None, set_id, chroma_format, luma_bits, chroma_bits, reference_frames, pictures)


def _high_fields(r: BitReader) -> tuple[int, int, int, int]:
    """Return (chroma_format_idc, ChromaArrayType, bits of luma, bits of chroma) of the high profiles."""
    chroma = bounded(r.ue(), 3, "chroma_format_idc")
    separate = chroma == 3 and r.flag()
    luma_bits = 8 + bounded(r.ue(), 6, "bit_depth_luma_minus8")
    chroma_bits = 8 + bounded(r.ue(), 6, "bit_depth_chroma_minus8")
    r.skip(1)
    if r.flag():  # seq_scaling_matrix_present_flag
        for index in range(12 if chroma == 3 else 8):
            if r.flag():
                _skip_scaling_list(r, 16 if index < 6 else 64)
    return chroma, 0 if separate else chroma, luma_bits, chroma_bits


def _skip_scaling_list(r: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + r.se()) % 256
        last = following or last


def _picture_order(r: BitReader) -> tuple[int, int, bool]:
    """Return (pic_order_cnt_type, bits of pic_order_cnt_lsb, whether slices have delta_pic_order_cnt)."""
    kind = bounded(r.ue(), 2, "pic_order_cnt_type")
    if kind == 0:
        return 0, 4 + bounded(r.ue(), 12, "log2_max_pic_order_cnt_lsb_minus4"), False
    if kind == 2:
        return 2, 0, False
    has_deltas = not r.flag()
    r.se()
    r.se()
    for _ in range(bounded(r.ue(), 255, "num_ref_frames_in_pic_order_cnt_cycle")):
        r.se()
    return 1, 0, has_deltas


def _vui_frame_rate(r: BitReader) -> float | None:
    """Return the frame rate of the VUI (H.264 E.1.1), or None: a truncated VUI does not make a stream invalid."""
    try:
        if r.flag() and r.u(8) == 255:  # aspect_ratio_idc: Extended_SAR
            r.skip(32)
        if r.flag():  # overscan
            r.skip(1)
        if r.flag():  # video signal type
            r.skip(4)
            if r.flag():
                r.skip(24)
        if r.flag():  # chroma location
            r.ue()
            r.ue()
        if not r.flag():
            return None
        units, scale = r.u(32), r.u(32)
    except BitstreamError:
        return None
    return frame_rate(scale, 2 * units)  # a tick is a field
