"""H.265: the hvcC record and its parameter sets (ISO 14496-15 8.3.3, ITU-T H.265 7.3.2)."""

from collections.abc import Iterator, Sequence
from typing import Final

from airnode.media.codecs.bits import (
    BitReader,
    BitstreamError,
    SequenceInfo,
    bounded,
    frame_rate,
    picture_size,
    unescape,
)
from airnode.media.frames import VideoConfig

_VPS: Final = 32
_SPS: Final = 33
_PPS: Final = 34
_HVCC_HEADER_SIZE: Final = 23


def parse_hvcc(record: bytes) -> VideoConfig:
    """Return the configuration in an hvcC record.

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    # Encoders that implement a draft write version 0.
    if len(record) < _HVCC_HEADER_SIZE or record[0] > 1:
        raise BitstreamError("not an HEVC decoder configuration record")
    info = parse_sps(_find_sps(record))
    return VideoConfig("hevc", record, codec_string(record), info.width, info.height, info.frame_rate)


def codec_string(record: bytes) -> str:
    """Return the RFC 6381 string of an hvcC record (ISO 14496-15 Annex E.3), e.g. ``hvc1.1.6.L93.B0``."""
    space, tier, profile = record[1] >> 6, record[1] >> 5 & 1, record[1] & 0x1F
    compatibility = int(f"{int.from_bytes(record[2:6], 'big'):032b}"[::-1], 2)
    constraints = record[6:12].rstrip(b"\0")
    parts = [
        "hvc1",
        f"{('', 'A', 'B', 'C')[space]}{profile}",
        f"{compatibility:X}",
        f"{'LH'[tier]}{record[12]}",
        *(f"{byte:X}" for byte in constraints),
    ]
    return ".".join(parts)


def read_hvcc(record: bytes) -> tuple[int, list[bytes]]:
    """Return (bytes of the size in front of each NAL unit, the NAL units) of an hvcC record.

    Raises:
        BitstreamError: it is no hvcC record, or it is cut short.
    """
    if len(record) < _HVCC_HEADER_SIZE or record[0] > 1:
        raise BitstreamError("not an HEVC decoder configuration record")
    return (record[21] & 3) + 1, [nal for nal in _nals(record) if len(nal) > 2]


def write_hvcc(vps: Sequence[bytes], sps: Sequence[bytes], pps: Sequence[bytes]) -> bytes:
    """Return an hvcC record for NAL units with sizes of four bytes. The first SPS gives the profile and the level.

    Raises:
        BitstreamError: the first SPS is invalid.
    """
    info = parse_sps(sps[0])
    payload = unescape(sps[0][2:64])
    layers, nested = (payload[0] >> 1 & 7) + 1, payload[0] & 1
    head = bytes((1,)) + payload[1:13] + b"\xf0\x00\xfc"
    head += bytes((0xFC | info.chroma_format, 0xF8 | info.luma_bits - 8, 0xF8 | info.chroma_bits - 8, 0, 0))
    head += bytes((layers << 3 | nested << 2 | 3,))
    arrays = [(kind, nals) for kind, nals in ((_VPS, vps), (_SPS, sps), (_PPS, pps)) if nals]
    body = bytes((len(arrays),))
    for kind, nals in arrays:
        body += bytes((0x80 | kind,)) + len(nals).to_bytes(2, "big")
        body += b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)
    return head + body


def parse_pps_ids(nal: bytes) -> tuple[int, int]:
    """Return (id, id of its SPS) of a picture parameter set.

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    r = BitReader(unescape(nal[2:16]))
    return bounded(r.ue(), 63, "pps_pic_parameter_set_id"), bounded(r.ue(), 15, "pps_seq_parameter_set_id")


def _nals(record: bytes) -> Iterator[bytes]:
    """Yield the NAL units of an hvcC record."""
    pos = _HVCC_HEADER_SIZE
    for _ in range(record[22]):
        count = int.from_bytes(record[pos + 1 : pos + 3], "big")
        pos += 3
        for _ in range(count):
            size = int.from_bytes(record[pos : pos + 2], "big")
            nal = record[pos + 2 : pos + 2 + size]
            pos += 2 + size
            if pos > len(record):
                raise BitstreamError("a parameter set is cut short")
            yield nal


def _find_sps(record: bytes) -> bytes:
    """Return the first sequence parameter set in an hvcC record."""
    for nal in _nals(record):
        if nal and nal[0] >> 1 & 0x3F == _SPS:
            return nal
    raise BitstreamError("an HEVC configuration without a sequence parameter set")


def parse_sps(nal: bytes) -> SequenceInfo:
    """Return the fields of a sequence parameter set.

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    r = BitReader(unescape(nal[2:]))
    r.skip(4)
    sub_layers = bounded(r.u(3), 6, "sps_max_sub_layers_minus1")
    r.skip(1)
    _skip_profile_tier_level(r, sub_layers)
    set_id = bounded(r.ue(), 15, "sps_seq_parameter_set_id")
    chroma = bounded(r.ue(), 3, "chroma_format_idc")
    separate = chroma == 3 and r.flag()
    width, height = r.ue(), r.ue()
    if r.flag():  # conformance window
        unit_x = 2 if chroma in (1, 2) and not separate else 1
        unit_y = 2 if chroma == 1 else 1
        width -= unit_x * (r.ue() + r.ue())
        height -= unit_y * (r.ue() + r.ue())
    picture_size(width, height)
    luma_bits = 8 + bounded(r.ue(), 8, "bit_depth_luma_minus8")
    chroma_bits = 8 + bounded(r.ue(), 8, "bit_depth_chroma_minus8")
    return SequenceInfo(width, height, _frame_rate(r, sub_layers), set_id, chroma, luma_bits, chroma_bits)


def _skip_profile_tier_level(r: BitReader, sub_layers: int) -> None:
    """Skip profile_tier_level(1, sub_layers) (H.265 7.3.3)."""
    r.skip(96)
    present = [(r.flag(), r.flag()) for _ in range(sub_layers)]
    if sub_layers:
        r.skip(2 * (8 - sub_layers))
    for profile, level in present:
        r.skip((88 if profile else 0) + (8 if level else 0))


def _frame_rate(r: BitReader, sub_layers: int) -> float | None:
    """Return the VUI's frame rate, or None: an error in the many fields before it does not make a stream invalid."""
    try:
        _skip_to_vui(r, sub_layers)
        return _vui_frame_rate(r) if r.flag() else None
    except BitstreamError:
        return None


def _skip_to_vui(r: BitReader, sub_layers: int) -> None:
    """Skip the fields between the bit depths and the VUI."""
    poc_bits = bounded(r.ue(), 12, "log2_max_pic_order_cnt_lsb_minus4") + 4
    for _ in range(sub_layers + 1 if r.flag() else 1):  # sps_sub_layer_ordering_info
        r.ue()
        r.ue()
        r.ue()
    for _ in range(6):  # block sizes and transform depths
        r.ue()
    if r.flag() and r.flag():  # scaling lists are enabled, and are in this SPS
        _skip_scaling_lists(r)
    r.skip(2)  # amp, sample adaptive offset
    if r.flag():  # pcm
        r.skip(8)
        r.ue()
        r.ue()
        r.skip(1)
    _skip_reference_sets(r)
    if r.flag():  # long-term reference pictures
        for _ in range(bounded(r.ue(), 32, "num_long_term_ref_pics_sps")):
            r.skip(poc_bits + 1)
    r.skip(2)  # temporal mvp, strong intra smoothing


def _skip_scaling_lists(r: BitReader) -> None:
    """Skip scaling_list_data() (H.265 7.3.4)."""
    for size_id in range(4):
        for _ in range(0, 6, 3 if size_id == 3 else 1):
            if not r.flag():
                r.ue()
                continue
            if size_id > 1:
                r.se()
            for _ in range(min(64, 1 << (4 + (size_id << 1)))):
                r.se()


def _skip_reference_sets(r: BitReader) -> None:
    """Skip all st_ref_pic_set() of the SPS (H.265 7.3.7); each can be coded as the difference from the previous one."""
    deltas = 0
    for index in range(bounded(r.ue(), 64, "num_short_term_ref_pic_sets")):
        if index and r.flag():
            r.skip(1)
            r.ue()
            deltas = sum(r.flag() or r.flag() for _ in range(deltas + 1))
        else:
            deltas = bounded(r.ue() + r.ue(), 32, "number of reference pictures")
            for _ in range(deltas):
                r.ue()
                r.skip(1)


def _vui_frame_rate(r: BitReader) -> float | None:
    """Return the frame rate of the VUI (H.265 E.2.1), or None if it is not given."""
    if r.flag() and r.u(8) == 255:  # aspect_ratio_idc: EXTENDED_SAR
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
    r.skip(3)  # neutral chroma, field sequence, frame/field info
    if r.flag():  # default display window
        for _ in range(4):
            r.ue()
    if not r.flag():
        return None
    units, scale = r.u(32), r.u(32)
    return frame_rate(scale, units)
