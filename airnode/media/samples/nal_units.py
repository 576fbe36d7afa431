"""Extracts the NAL units of a frame, in all forms that encoders send.

The correct form is a size of four bytes in front of each NAL unit (ISO 14496-15 5.3.3). Encoders also send start codes
(Annex B), both in one frame, shorter sizes, wrong sizes, empty units, and stray bytes.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from airnode.media.samples.nal_syntax import INVALID, OTHER

_START_CODE: Final = b"\0\0\1"
_UNLIKELY: Final = INVALID | OTHER
#: Most NAL units that are read from one frame: 8K video in slices of one macroblock row each has some hundred.
MAX_NALS: Final = 4096


class Unpacked(NamedTuple):
    """The NAL units of a frame.

    Attributes:
        nals: none of them empty.
        odd: codes of findings; ``cut``: the last NAL unit was longer than the rest of the frame, and was removed.
        lost_header: the first byte of the removed NAL unit; -1: none was removed.
    """

    nals: list[bytes]
    odd: list[str]
    is_annexb: bool = False
    lost_header: int = -1


def pack(nals: list[bytes]) -> bytes:
    """Return NAL units, each after a size of four bytes."""
    return b"".join([part for nal in nals for part in (len(nal).to_bytes(4, "big"), nal)])


def unpack(data: bytes, length_size: int, kinds: Sequence[int], *, annexb_before: bool | None) -> Unpacked:
    """Return the NAL units of a frame.

    Args:
        length_size: bytes of a size, from the configuration.
        kinds: of the NAL units, by their first byte (:class:`NalSyntax`).
        annexb_before: whether earlier frames had start codes; None: this is the first frame.
    """
    has_start_code = data[:4] == b"\0\0\0\1" or _begins_with_short_code(data, kinds, annexb_before)
    if has_start_code and annexb_before:
        return _between_start_codes(data)
    for size in dict.fromkeys((length_size, 4)):
        nals = _sized_exactly(data, size)
        if nals:
            return _split_nested(nals, ["length_size"] if size != 4 else [])
    # Sizes that lead to the end of the frame are no start codes, even if they look like one (256 to 511 bytes).
    for size in dict.fromkeys((length_size, 4)):
        if _sizes_reach_end(data, size):
            return _sized_loosely(data, size)
    if has_start_code:
        return _between_start_codes(data)
    return _sized_loosely(data, length_size)


def _begins_with_short_code(data: bytes, kinds: Sequence[int], annexb_before: bool | None) -> bool:
    """Return whether a frame begins with a start code of three bytes and not with a size of 256 to 511."""
    if data[:3] != _START_CODE or len(data) < 5:
        return False
    behind_code, behind_size = kinds[data[3]] & ~_UNLIKELY, kinds[data[4]] & ~_UNLIKELY
    if bool(behind_code) != bool(behind_size):
        return bool(behind_code)
    return annexb_before is not False


def split_annexb(data: bytes) -> list[bytes]:
    """Return the NAL units between start codes of three or four bytes, without the zeros around them (Annex B.1)."""
    return [nal for part in data.split(_START_CODE, MAX_NALS)[:MAX_NALS] if (nal := part.rstrip(b"\0"))]


def _between_start_codes(data: bytes) -> Unpacked:
    is_long = data.count(_START_CODE) >= MAX_NALS
    return Unpacked(split_annexb(data), ["annexb", "too_many_units"] if is_long else ["annexb"], is_annexb=True)


def _sized_exactly(data: bytes, length_size: int) -> list[bytes] | None:
    """Return the NAL units if all sizes are correct and no unit is empty, otherwise None."""
    nals, pos, end = list[bytes](), 0, len(data)
    while pos < end:
        begin = pos + length_size
        pos = begin + int.from_bytes(data[pos:begin], "big")
        if not begin < pos <= end or len(nals) == MAX_NALS:
            return None
        nals.append(data[begin:pos])
    return nals


def _sizes_reach_end(data: bytes, length_size: int) -> bool:
    """Return whether the sizes lead to the end of the frame, with empty units, or with less than a size behind."""
    pos, end, is_empty = 0, len(data), True
    for _ in range(MAX_NALS):
        begin = pos + length_size
        if begin > end:
            return not is_empty
        pos = begin + int.from_bytes(data[pos:begin], "big")
        if pos > end:
            return False
        is_empty = is_empty and pos == begin
    return False


def _sized_loosely(data: bytes, length_size: int) -> Unpacked:
    """Return the complete NAL units, without empty ones and without the bytes after the last complete one."""
    nals, odd, pos, end = list[bytes](), set[str](), 0, len(data)
    zeros_from = len(data.rstrip(b"\0"))
    lost_header = -1
    for _ in range(MAX_NALS):
        if pos >= end:
            break
        begin = pos + length_size
        size = int.from_bytes(data[pos:begin], "big")
        is_over = begin + size > end
        if not size or is_over:
            is_rest_empty = pos >= zeros_from
            if begin <= end and not size:
                odd.add("empty_nal")
            else:
                odd.add("stray_bytes" if begin > end or is_rest_empty else "cut")
            if is_over or is_rest_empty:
                lost_header = data[begin] if "cut" in odd and begin < end else -1
                break
        elif nals and data[pos : pos + 4] == b"\0\0\0\1":  # start codes after sizes
            nals += split_annexb(data[pos:])
            odd.add("annexb")
            break
        else:
            nals.append(data[begin : begin + size])
        pos = begin + size
    else:
        odd.update({"too_many_units"} if pos < end else ())
    if length_size != 4 and nals:
        odd.add("length_size")
    return _split_nested(nals, sorted(odd))._replace(lost_header=lost_header)


def _split_nested(nals: list[bytes], odd: list[str]) -> Unpacked:
    """Return the units, split at start codes: some encoders send a whole Annex B frame after one size."""
    if not any(_START_CODE in nal for nal in nals):
        return Unpacked(nals, odd)
    parts = [part for nal in nals for part in split_annexb(nal)]
    return Unpacked(parts[:MAX_NALS], [*odd, "annexb", *(["too_many_units"] if len(parts) > MAX_NALS else [])])
