"""AMF3 values in messages: vectors worked out from the specification, real metadata, hostile bytes."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.rtmp.amf0 import decode, decode_readable, encode
from airnode.media.rtmp.amf_values import UNDEFINED, AmfValue, Date
from airnode.media.rtmp.errors import ProtocolViolation

#: Behind the marker with which an AMF0 message changes to AMF3.
VECTORS = [
    ("00", UNDEFINED),
    ("01", None),
    ("02", False),
    ("03", True),
    ("04 00", 0.0),
    ("04 7f", 127.0),
    ("04 8100", 128.0),
    ("04 818000", 16384.0),
    ("04 bfffffff", 268435455.0),
    ("04 ffffffff", -1.0),
    ("05 3ff8000000000000", 1.5),
    ("06 01", ""),
    ("06 07 616263", "abc"),
    ("07 09 3c612f3e", "<a/>"),
    ("0b 09 3c612f3e", "<a/>"),
    ("08 01 42374876e8000000", Date(1e11)),
    ("09 05 01 03 02", [True, False]),
    ("09 01 0361 03 01", {"a": True}),
    ("0a 0b 01 0361 03 01", {"a": True}),
    ("0a 23 01 0361 0362 03 02", {"a": True, "b": False}),
    ("0c 07 010203", UNDEFINED),
]


@pytest.mark.parametrize(("raw", "value"), VECTORS)
def test_vectors(raw: str, value: AmfValue) -> None:
    assert decode(b"\x11" + bytes.fromhex(raw)) == [value]


def test_strings_and_classes_are_referred_to() -> None:
    # Two objects of one class; the name "a" and the text "ab" come once.
    objects = bytes.fromhex("09 05 01  0a 13 01 0361 06 05 6162  0a 01 06 02")
    assert decode(b"\x11" + objects) == [[{"a": "ab"}, {"a": "ab"}]]
    # A reference to an object is not followed.
    assert decode(b"\x11" + bytes.fromhex("09 05 01  0a 0b 01 01  0a 02")) == [[{}, UNDEFINED]]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("0a 07 01", "amf_object"),  # it writes itself
        ("0a 05", "amf_object"),  # a class that did not come
        ("06 02", "amf_object"),  # a string that did not come
        ("0d 03 00", "amf_type"),
        ("11 03 00", "amf_type"),
        ("ff", "amf_type"),
        ("0c ffffffff", "amf_truncated"),
        ("0a ffffffff", "amf_object"),
        ("09 ffffffff 01", "amf_truncated"),
        ("04 ff", "amf_truncated"),
        ("", "amf_truncated"),
        ("09 03 01" * 20, "amf_depth"),
    ],
)
def test_refused(raw: str, reason: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        decode(b"\x11" + bytes.fromhex(raw))
    assert caught.value.reason == reason


def test_a_message_that_is_amf3_as_a_whole() -> None:
    message = b"\x06\x1b@setDataFrame\x06\x15onMetaData\x0a\x0b\x01\x0bwidth\x04\x85\x00\x01"
    assert decode_readable(message, is_amf3=True) == (["@setDataFrame", "onMetaData", {"width": 640.0}], None)


def test_what_comes_before_an_error_is_read() -> None:
    message = encode(["onMetaData"]) + b"\x11\x0a\x0b\x01\x0bwidth\x04\x85\x00\x03a\x0d\x03\x00"
    values, error = decode_readable(message)
    assert values == ["onMetaData", {"width": 640.0}]
    assert error is not None
    assert error.reason == "amf_type"


def _u29(number: int) -> bytes:
    if number < 1 << 7:
        return bytes([number])
    if number < 1 << 14:
        return bytes([number >> 7 | 0x80, number & 0x7F])
    if number < 1 << 21:
        return bytes([number >> 14 | 0x80, number >> 7 & 0x7F | 0x80, number & 0x7F])
    return bytes([number >> 22 | 0x80, number >> 15 & 0x7F | 0x80, number >> 8 & 0x7F | 0x80, number & 0xFF])


def _text(text: str) -> bytes:
    raw = text.encode()
    return _u29(len(raw) << 1 | 1) + raw


def _write(value: object) -> bytes:
    """Return a value in AMF3, without references."""
    if value is None or isinstance(value, bool):
        return b"\x01" if value is None else bytes([0x02 + value])
    if isinstance(value, int):
        return b"\x04" + _u29(value & 0x1FFFFFFF)
    if isinstance(value, float):
        return b"\x05" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\x06" + _text(value)
    if isinstance(value, list):
        return b"\x09" + _u29(len(value) << 1 | 1) + b"\x01" + b"".join(map(_write, value))
    assert isinstance(value, dict)
    members = b"".join(_text(name) + _write(member) for name, member in value.items())
    return b"\x0a\x0b\x01" + members + b"\x01"


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 28), (1 << 28) - 1) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT.filter(bool), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.lists(_VALUES, max_size=4))
def test_any_values(values: list[object]) -> None:
    assert decode(b"".join(b"\x11" + _write(value) for value in values), max_depth=32) == values


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.sampled_from([b"\x11", b"\x11\x0a\x0b\x01", b"\x11\x09\x05\x01"]))
def test_any_bytes_end_in_values_or_an_error(data: bytes, head: bytes) -> None:
    values, error = decode_readable(head + data, max_depth=8, max_items=64)
    assert len(values) <= 64
    assert error is None or error.reason.startswith("amf_")
