"""H.264: the avcC record and the sequence parameter set (ISO 14496-15 5.3.3, ITU-T H.264 7.3.2.1)."""

from airnode.media.codecs.bits import BitReader, BitstreamError, bounded, frame_rate, picture_size, unescape
from airnode.media.frames import VideoConfig

_SPS = 7
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
    width, height, rate = parse_sps(sps)
    return VideoConfig("avc", record, f"avc1.{record[1:4].hex()}", width, height, rate)


def parse_sps(nal: bytes) -> tuple[int, int, float | None]:
    """Return (width, height, frames per second) of a sequence parameter set; the size is the cropped one.

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    r = BitReader(unescape(nal[1:]))
    profile = r.u(8)
    r.skip(16)  # constraint flags, level
    r.ue()  # seq_parameter_set_id
    chroma = _skip_high_fields(r) if profile in _HIGH_PROFILES else 1
    r.ue()  # log2_max_frame_num_minus4
    _skip_picture_order(r)
    r.ue()  # max_num_ref_frames
    r.skip(1)
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
    return width, height, _vui_frame_rate(r) if r.flag() else None


def _skip_high_fields(r: BitReader) -> int:
    """Skip the fields of the high profiles. Return ChromaArrayType."""
    chroma = bounded(r.ue(), 3, "chroma_format_idc")
    separate = chroma == 3 and r.flag()
    r.ue()  # bit depths
    r.ue()
    r.skip(1)
    if r.flag():  # seq_scaling_matrix_present_flag
        for index in range(12 if chroma == 3 else 8):
            if r.flag():
                _skip_scaling_list(r, 16 if index < 6 else 64)
    return 0 if separate else chroma


def _skip_scaling_list(r: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + r.se()) % 256
        last = following or last


def _skip_picture_order(r: BitReader) -> None:
    kind = bounded(r.ue(), 2, "pic_order_cnt_type")
    if kind == 0:
        r.ue()
    elif kind == 1:
        r.skip(1)
        r.se()
        r.se()
        for _ in range(bounded(r.ue(), 255, "num_ref_frames_in_pic_order_cnt_cycle")):
            r.se()


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
