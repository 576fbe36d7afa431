"""Reading bits, as all codec headers need it."""


class BitstreamError(ValueError):
    """A codec header that is cut short, or says what cannot be. The text names the field."""


#: Headers are some dozens of bytes long; more is an attack on the reader, not a header.
MAX_HEADER_BYTES = 4096


class BitReader:
    """Bits of a header, most significant first.

    Raises:
        BitstreamError: by every method, when the bits are used up.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_HEADER_BYTES:
            raise BitstreamError(f"a codec header of {len(data)} bytes")
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    @property
    def bits_left(self) -> int:
        """How many bits can still be read."""
        return self._left

    def u(self, bits: int) -> int:
        """An unsigned integer of this many bits."""
        if bits > self._left:
            raise BitstreamError("a codec header ends early")
        self._left -= bits
        return (self._value >> self._left) & ((1 << bits) - 1)

    def flag(self) -> bool:
        """One bit."""
        return self.u(1) == 1

    def skip(self, bits: int) -> None:
        """Pass over this many bits."""
        self.u(bits)

    def ue(self) -> int:
        """An unsigned Exp-Golomb code (H.264 9.1) of at most 32 leading zeros; also AV1's uvlc()."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise BitstreamError("an Exp-Golomb code is too long")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed Exp-Golomb code."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def bounded(value: int, limit: int, name: str) -> int:
    """``value``, if it is at most ``limit``.

    Raises:
        BitstreamError: it is larger.
    """
    if value > limit:
        raise BitstreamError(f"{name} is {value}")
    return value


def picture_size(width: int, height: int) -> tuple[int, int]:
    """A size that a picture can have.

    Raises:
        BitstreamError: it is empty, or beyond 16384 either way.
    """
    if not (1 <= width <= 16384 and 1 <= height <= 16384):
        raise BitstreamError(f"a picture of {width} x {height}")
    return width, height


def frame_rate(time_scale: int, ticks: int) -> float | None:
    """Frames a second, or None where the header says nonsense (0 and above 1000 are seen in the wild)."""
    if not time_scale or not ticks:
        return None
    rate = time_scale / ticks
    return rate if 0.1 <= rate <= 1000 else None


def unescape(nal: bytes) -> bytes:
    """A NAL unit without its emulation prevention bytes (H.264 7.4.1)."""
    return nal.replace(b"\x00\x00\x03", b"\x00\x00")
