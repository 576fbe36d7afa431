"""AV1: the av1C record and the sequence header OBU (AV1 in ISOBMFF 2.3, AV1 bitstream specification 5.3, 5.5)."""

from typing import Final, NamedTuple

from airnode.media.codecs.bits import BitReader, BitstreamError, frame_rate, picture_size
from airnode.media.frames import VideoConfig

_AV1C_HEADER_SIZE: Final = 4
_SEQUENCE_HEADER: Final = 1
_MAX_OBUS: Final = 64
#: Color primaries, transfer characteristics and matrix coefficients of sRGB (AV1 6.4.2).
_SRGB: Final = (1, 13, 0)


def parse_av1c(record: bytes) -> VideoConfig:
    """Return the configuration in an av1C record. Its configOBUs must contain the sequence header (see
    :func:`complete`).

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    if len(record) < _AV1C_HEADER_SIZE or record[0] != 0x81:
        raise BitstreamError("not an AV1 codec configuration record")
    width, height, rate = parse_sequence_header(find_sequence_header(record[_AV1C_HEADER_SIZE:]))
    return VideoConfig("av1", record, codec_string(record), width, height, rate)


def lacks_sequence_header(record: bytes) -> bool:
    """Return whether an av1C record has no configOBUs. This is allowed: each key frame has the sequence header, too."""
    return len(record) == _AV1C_HEADER_SIZE and record[0] == 0x81


def complete(record: bytes, temporal_unit: bytes) -> bytes:
    """Return an av1C record with the sequence header of a key frame.

    Raises:
        BitstreamError: the temporal unit has no sequence header.
    """
    return record[:_AV1C_HEADER_SIZE] + _sequence_header_obu(find_sequence_header(temporal_unit))


def record_of(body: bytes) -> bytes:
    """Return the av1C record of a stream, made from the body of its sequence header OBU (AV1 5.5).

    Raises:
        BitstreamError: the header is cut short or invalid.
    """
    r = BitReader(body)
    profile = r.u(3)
    r.skip(1)  # still_picture
    is_reduced = bool(r.flag())
    points = Av1OperatingPoint(None, r.u(5), 0) if is_reduced else _operating_points(r)
    _read_size(r)
    _skip_tools(r, is_reduced=is_reduced)
    head = 0x81, profile << 5 | points.level, points.tier << 7 | _read_color(r, profile), 0
    return bytes(head) + _sequence_header_obu(body)


def _sequence_header_obu(body: bytes) -> bytes:
    if len(body) > 0x7F:
        raise BitstreamError(f"a sequence header of {len(body)} bytes")
    return bytes((_SEQUENCE_HEADER << 3 | 2, len(body))) + body


def codec_string(record: bytes) -> str:
    """Return the RFC 6381 string of an av1C record (AV1 in ISOBMFF section 5), e.g. ``av01.0.04M.08``."""
    profile, level = record[1] >> 5, record[1] & 0x1F
    tier, high_depth, twelve_bit = record[2] >> 7, record[2] >> 6 & 1, record[2] >> 5 & 1
    depth = (12 if profile == 2 and twelve_bit else 10) if high_depth else 8
    return f"av01.{profile}.{level:02d}{'MH'[tier]}.{depth:02d}"


def find_sequence_header(data: bytes) -> bytes:
    """Return the body of the first sequence header OBU."""
    pos = 0
    for _ in range(_MAX_OBUS):
        if pos >= len(data):
            break
        begin, end = obu_body(data, pos)
        if data[pos] >> 3 & 0xF == _SEQUENCE_HEADER:
            return data[begin:end]
        pos = end
    raise BitstreamError("an AV1 configuration without a sequence header")


def obu_body(data: bytes, pos: int) -> tuple[int, int]:
    """Return the (start, end) of the body of the OBU at a position (AV1 5.3).

    Raises:
        BitstreamError: it is cut short.
    """
    header = data[pos]
    pos += 2 if header & 4 else 1  # obu_extension_flag
    size = len(data) - pos
    if header & 2:  # obu_has_size_field
        size, pos = _leb128(data, pos)
    if size < 0 or pos + size > len(data):
        raise BitstreamError("an OBU is cut short")
    return pos, pos + size


def _leb128(data: bytes, pos: int) -> tuple[int, int]:
    """Return (value, position after it) (AV1 4.10.5)."""
    value = 0
    for index, byte in enumerate(data[pos : pos + 8]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, pos + index + 1
    raise BitstreamError("a leb128 size is cut short")


def parse_sequence_header(body: bytes) -> tuple[int, int, float | None]:
    """Return (width, height, frames per second) of a sequence header OBU's body.

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    r = BitReader(body)
    r.skip(4)  # seq_profile, still_picture
    rate = None
    if r.flag():  # reduced_still_picture_header
        r.skip(5)
    else:
        rate = _operating_points(r).frame_rate
    return *_read_size(r), rate


def _read_size(r: BitReader) -> tuple[int, int]:
    width_bits, height_bits = r.u(4) + 1, r.u(4) + 1
    return picture_size(r.u(width_bits) + 1, r.u(height_bits) + 1)


class Av1OperatingPoint(NamedTuple):
    """The first operating point. ``frame_rate``: in frames a second; None: not declared."""

    frame_rate: float | None
    level: int
    tier: int


def _operating_points(r: BitReader) -> Av1OperatingPoint:
    """Read timing, decoder model and operating points."""
    rate, delay_bits = None, 0
    if r.flag():  # timing_info_present_flag
        ticks, scale = r.u(32), r.u(32)
        if r.flag():  # equal_picture_interval
            rate = frame_rate(scale, ticks * (r.ue() + 1))
        if r.flag():  # decoder_model_info_present_flag
            delay_bits = r.u(5) + 1
            r.skip(32 + 5 + 5)
    display_delay = r.flag()
    levels: list[tuple[int, int]] = []
    for _ in range(r.u(5) + 1):
        r.skip(12)
        level = r.u(5)
        levels.append((level, r.u(1) if level > 7 else 0))
        if delay_bits and r.flag():
            r.skip(2 * delay_bits + 1)
        if display_delay and r.flag():
            r.skip(4)
    return Av1OperatingPoint(rate, *levels[0])


def _skip_tools(r: BitReader, *, is_reduced: bool) -> None:
    """Skip the coding tools between the size and the colors (AV1 5.5.1)."""
    if not is_reduced and r.flag():  # frame_id_numbers_present_flag
        r.skip(4 + 3)
    r.skip(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    if not is_reduced:
        r.skip(4)  # enable_interintra_compound, enable_masked_compound, enable_warped_motion, enable_dual_filter
        has_order_hint = r.flag()
        if has_order_hint:
            r.skip(2)  # enable_jnt_comp, enable_ref_frame_mvs
        # seq_choose_screen_content_tools, seq_force_screen_content_tools
        has_screen_tools = r.flag() or r.flag()
        if has_screen_tools and not r.flag():  # seq_choose_integer_mv
            r.skip(1)
        if has_order_hint:
            r.skip(3)  # order_hint_bits_minus_1
    r.skip(3)  # enable_superres, enable_cdef, enable_restoration


def _read_color(r: BitReader, profile: int) -> int:
    """Return high_bitdepth to chroma_sample_position as in the third byte of an av1C record (AV1 5.5.2)."""
    high_depth = r.u(1)
    twelve_bit = r.u(1) if profile == 2 and high_depth else 0
    monochrome = 0 if profile == 1 else r.u(1)
    primaries, transfer, matrix = (r.u(8), r.u(8), r.u(8)) if r.flag() else (2, 2, 2)
    sub_x, sub_y, position = 1, 1, 0
    if monochrome:
        r.skip(1)  # color_range
    elif (primaries, transfer, matrix) == _SRGB:
        sub_x = sub_y = 0
    else:
        r.skip(1)  # color_range
        if profile == 1:
            sub_x = sub_y = 0
        elif profile == 2:
            sub_x = r.u(1) if twelve_bit else 1
            sub_y = r.u(1) if twelve_bit and sub_x else 0
        if sub_x and sub_y:
            position = r.u(2)
    return high_depth << 6 | twelve_bit << 5 | monochrome << 4 | sub_x << 3 | sub_y << 2 | position
