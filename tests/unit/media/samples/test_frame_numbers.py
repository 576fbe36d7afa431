"""Pictures that are missing are noticed by frame_num."""

import pytest

from airnode.media.codecs import avc
from airnode.media.samples.frame_numbers import FrameNumbers
from tests.support.samples import AVCC, IDR, OTHER_AVCC, Stream, sized

_BITS = 6


def slice_nal(
    number: int, *, header: int = 0x41, bits: int = _BITS, kind: str = "00110", rest: bytes = b"\xaa" * 40
) -> bytes:
    """Return a slice with first_mb_in_slice 0, slice_type ``kind``, pic_parameter_set_id 0 and frame_num."""
    head = "1" + kind + "1" + f"{number:0{bits}b}"
    head += "1" * (-len(head) % 8)
    return bytes([header]) + int(head, 2).to_bytes(len(head) // 8, "big") + rest


def misses(numbers: FrameNumbers, *slices: bytes) -> list[bool]:
    return [numbers.misses_picture(b"\0\0\0\1" + each, 4) for each in slices]


def trusted() -> FrameNumbers:
    numbers = FrameNumbers(_BITS)
    assert not any(misses(numbers, *(slice_nal(number % 64) for number in range(70))))
    return numbers


def test_numbers_wrap_and_begin_anew_with_an_idr_picture():
    numbers = trusted()
    assert not any(misses(numbers, slice_nal(6), slice_nal(0, header=0x65, kind="0001000"), slice_nal(1), slice_nal(2)))


def test_pictures_that_are_no_reference_have_the_next_number():
    numbers = trusted()
    assert not any(
        misses(numbers, slice_nal(6, header=1), slice_nal(6, header=1), slice_nal(6), slice_nal(6), slice_nal(7))
    )


@pytest.mark.parametrize("header", [0x41, 0x01])
def test_a_gap_is_noticed_once(header: int):
    assert misses(trusted(), slice_nal(8, header=header), slice_nal(9 if header == 0x41 else 8), slice_nal(10)) == [
        True,
        False,
        False,
    ]


def test_wrong_numbers_are_not_believed():
    numbers = FrameNumbers(_BITS)
    assert not any(misses(numbers, *(slice_nal(number * 7 % 64) for number in range(200))))


@pytest.mark.parametrize("number", [0, 1, 3])
def test_emulation_prevention_and_short_slices(number: int):
    bits = 16
    numbers = FrameNumbers(bits)
    good = [slice_nal(each, bits=bits).replace(b"\0\0", b"\0\0\3") for each in range(number + 60)]
    assert not any(misses(numbers, *good))
    assert misses(numbers, slice_nal(number + 61, bits=bits, rest=b"")) == [True]
    assert misses(numbers, b"\x41\x9a", b"\x41\xff", b"\x41\x80") == [False] * 3


def test_a_stream_that_keeps_one_picture_is_not_watched():
    assert FrameNumbers.of(avc.parse_sps(avc.read_avcc(AVCC).sps[0])) is None
    assert FrameNumbers.of(avc.parse_sps(avc.read_avcc(OTHER_AVCC).sps[0])) is not None
    assert FrameNumbers.of(None) is None


def test_pictures_behind_a_missing_one_are_left_out_up_to_the_next_key_frame():
    sequence = avc.parse_sps(avc.read_avcc(OTHER_AVCC).sps[0])
    assert sequence.pictures is not None
    bits = sequence.pictures.frame_num_bits
    pictures = [sized(slice_nal(number % (1 << bits), bits=bits)) for number in range(1, 60)]
    stream = Stream(record=OTHER_AVCC).video(sized(IDR), is_key=True).video(*pictures[:50]).video(*pictures[52:55])
    stream.video(sized(IDR), is_key=True).video(*pictures[:3]).finish()
    assert len(stream.frames) == 1 + 50 + 1 + 3
    assert stream.codes == {"reference_lost": 3}
