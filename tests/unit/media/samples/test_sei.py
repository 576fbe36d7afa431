"""SEI NAL units."""

from airnode.media.samples.nal_syntax import is_valid_sei


def test_an_sei_with_more_messages_than_any_encoder_sends_is_not_read_to_its_end():
    assert is_valid_sei(b"\x06" + 16 * b"\x02\x00" + b"\x80", 1)
    assert not is_valid_sei(b"\x06" + 100_000 * b"\x02\x00" + b"\x80", 1)
