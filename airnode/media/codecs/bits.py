"""Reads bit fields of codec headers."""

from typing import NamedTuple

from airnode.errors import AirnodeError


class BitstreamError(ValueError):
    """A codec header is cut short or has an impossible value. The text names the field."""


class UnsupportedCodec(AirnodeError):
    """The publisher sends a codec that browsers cannot play; ``detail`` names it."""

    code, title, status = "unsupported_codec", "Unsupported codec", 415


class PictureSyntax(NamedTuple):
    """Fields of an H.264 sequence parameter set that the headers of its slices depend on.

    Attributes:
        frame_num_bits: size of frame_num.
        order_type: pic_order_cnt_type.
        order_bits: size of pic_order_cnt_lsb; 0: there is none.
        has_order_deltas: slice headers have delta_pic_order_cnt.
        is_progressive: frame_mbs_only_flag.
        macroblocks: of a frame.
        allows_gaps: gaps_in_frame_num_value_allowed_flag.
    """

    frame_num_bits: int
    order_type: int
    order_bits: int
    has_order_deltas: bool
    is_progressive: bool
    macroblocks: int
    allows_gaps: bool


class SequenceInfo(NamedTuple):
    """Fields of a sequence parameter set.

    Attributes:
        width, height: in pixels, cropped.
        set_id: the set's id.
        reference_frames: most pictures that are kept for reference (H.264); 0: not read.
        pictures: H.264 only.
    """

    width: int
    height: int
    frame_rate: float | None
    set_id: int = 0
    chroma_format: int = 1
    luma_bits: int = 8
    chroma_bits: int = 8
    reference_frames: int = 0
    pictures: PictureSyntax | None = None


#: Real headers have some dozens of bytes; a much longer one is an attack.
MAX_HEADER_BYTES = 4096


class BitReader:
    """Bits of a header, most significant first.

    Raises:
        BitstreamError: in every method, if there are not enough bits.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_HEADER_BYTES:
            raise BitstreamError(f"a codec header of {len(data)} bytes")
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    @property
    def bits_left(self) -> int:
        """The number of bits that are not read yet."""
        return self._left

    def u(self, bits: int) -> int:
        """Return an unsigned integer of this many bits."""
        if bits > self._left:
            raise BitstreamError("a codec header ends early")
        self._left -= bits
        return (self._value >> self._left) & ((1 << bits) - 1)

    def flag(self) -> bool:
        """Return one bit."""
        return self.u(1) == 1

    def skip(self, bits: int) -> None:
        self.u(bits)

    def ue(self) -> int:
        """Return an unsigned Exp-Golomb code (H.264 9.1) of at most 32 leading zeros; also AV1's uvlc()."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise BitstreamError("an Exp-Golomb code is too long")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Return a signed Exp-Golomb code."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def bounded(value: int, limit: int, name: str) -> int:
    """Return ``value`` if it is at most ``limit``.

    Raises:
        BitstreamError: it is larger.
    """
    if value > limit:
        raise BitstreamError(f"{name} is {value}")
    return value


def picture_size(width: int, height: int) -> tuple[int, int]:
    """Return (width, height) if a picture can have this size.

    Raises:
        BitstreamError: a side is 0 or larger than 16384 pixels.
    """
    if not (1 <= width <= 16384 and 1 <= height <= 16384):
        raise BitstreamError(f"a picture of {width} x {height}")
    return width, height


def frame_rate(time_scale: int, ticks: int) -> float | None:
    """Return frames per second, or None if the value is not plausible (real encoders send 0 and more than 1000)."""
    if not time_scale or not ticks:
        return None
    rate = time_scale / ticks
    return rate if 0.1 <= rate <= 1000 else None


def unescape(nal: bytes) -> bytes:
    """Return a NAL unit without its emulation prevention bytes (H.264 7.4.1)."""
    return nal.replace(b"\x00\x00\x03", b"\x00\x00")
