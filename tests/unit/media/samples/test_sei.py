"""SEI NAL units: those that decoders refuse are removed."""

import pytest

from airnode.media.samples.nal_syntax import is_valid_sei
from tests.support.samples import INTER, SEI, Stream, nals_of, sized

CAPTIONS = b"\x06\x04\x10\xb5\0\x31GA94\3\xc2\xff\xfc\x80\x80\xfc\x80\x80\xff\x80"


@pytest.mark.parametrize(
    ("sei", "is_whole"),
    [
        pytest.param(SEI, True, id="whole"),
        pytest.param(b"\x06\x05\xff\x01" + b"x" * 256 + b"\x80", True, id="a size of two bytes"),
        pytest.param(b"\x06\x64\x04abcd\x65\x02ef\x80\0\0", True, id="two messages, and zeros behind"),
        pytest.param(b"\x06\x64\x06\0\0\3\1abc\x80", True, id="emulation prevention"),
        pytest.param(b"\x06\x05\x10abcd\x80", False, id="cut off"),
        pytest.param(b"\x06\x64\x04abcd\x65\x09ef\x80", False, id="the second one is cut off"),
        pytest.param(b"\x06\x05\x04abcd\x80", False, id="user data without its UUID"),
        pytest.param(CAPTIONS, True, id="captions"),
        pytest.param(CAPTIONS[:1] + b"\x04\x0d" + CAPTIONS[3:-4] + b"\x80", False, id="captions that are cut off"),
        pytest.param(b"\x06\x01\x30" + b"x" * 48 + b"\x80", False, id="picture timing of 48 bytes"),
        pytest.param(b"\x06\xff\xff\xff\xff\x80", False, id="numbers only"),
    ],
)
def test_sei_messages_that_decoders_refuse_are_removed(sei: bytes, is_whole: bool) -> None:
    stream = Stream().begin().video(sized(sei, INTER)).finish()
    assert [nals_of(frame.data) for frame in stream.frames] == [[sei, INTER] if is_whole else [INTER]]
    assert stream.codes == ({} if is_whole else {"invalid_nal": 1})


def test_an_sei_with_more_messages_than_any_encoder_sends_is_not_read_to_its_end():
    assert is_valid_sei(b"\x06" + 16 * b"\x02\x00" + b"\x80", 1)
    assert not is_valid_sei(b"\x06" + 100_000 * b"\x02\x00" + b"\x80", 1)
