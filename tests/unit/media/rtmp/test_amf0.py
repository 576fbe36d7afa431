"""AMF0: vectors worked out from the specification, round trips, hostile bytes."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.rtmp.amf0 import decode, decode_readable, encode
from airnode.media.rtmp.amf_values import UNDEFINED, AmfInput, AmfValue, Date, EcmaArray, TypedObject
from airnode.media.rtmp.errors import ProtocolViolation

VECTORS = [
    ("00 3ff8000000000000", 1.5),
    ("01 01", True),
    ("01 00", False),
    ("02 0003 616263", "abc"),
    ("02 0002 c3a9", "é"),
    ("03 0001 61 00 3ff0000000000000 000009", {"a": 1.0}),
    ("03 000009", {}),
    ("05", None),
    ("06", UNDEFINED),
    ("08 00000001 0001 61 05 000009", EcmaArray(a=None)),
    ("0a 00000002 05 01 01", [None, True]),
    ("0b 42374876e8000000 0000", Date(1e11)),
    ("10 0001 43 0001 61 05 000009", TypedObject("C", {"a": None})),
]


@pytest.mark.parametrize(("raw", "value"), VECTORS)
def test_vectors_both_ways(raw: str, value: AmfInput) -> None:
    data = bytes.fromhex(raw)
    decoded = decode(data)
    assert decoded == [value]
    assert type(decoded[0]) is type(value)
    assert encode([value]) == data


def test_forms_that_are_only_read() -> None:
    assert decode(bytes.fromhex("0d")) == [UNDEFINED]
    assert decode(bytes.fromhex("0f 00000004 3c612f3e")) == ["<a/>"]
    assert decode(bytes.fromhex("0c 00000003 616263")) == ["abc"]
    # The count of an ECMA array is only a hint, and strings may be Latin-1.
    assert decode(bytes.fromhex("08 ffffffff 0001 61 05 000009")) == [{"a": None}]
    assert decode(bytes.fromhex("02 0001 e9")) == ["\ufffd"]


def test_long_string() -> None:
    text = "x" * 70_000
    data = encode([text])
    assert data[0] == 0x0C
    assert decode(data) == [text]


@pytest.mark.parametrize("marker", [0x04, 0x09, 0x0E, 0x12, 0xFF])
def test_refused_types(marker: int) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        decode(bytes([marker, 0, 0]))
    assert caught.value.reason == "amf_type"


def _reason(data: bytes, **limits: int) -> str:
    with pytest.raises(ProtocolViolation) as caught:
        decode(data, **limits)
    return caught.value.reason


def test_limits() -> None:
    nested = b"\x0a\0\0\0\1" * 5 + b"\x05"
    assert decode(nested, max_depth=5) == [[[[[[None]]]]]]
    assert _reason(nested, max_depth=4) == "amf_depth"
    assert _reason(b"\x03\0\1a" * 100_000) == "amf_depth"
    assert decode(b"\x05" * 10, max_items=10) == [None] * 10
    assert _reason(b"\x05" * 11, max_items=10) == "amf_items"
    # An array that claims four thousand million elements is refused before anything is reserved for it.
    assert _reason(b"\x0a\xff\xff\xff\xff") == "amf_items"
    assert _reason(b"\x0c\xff\xff\xff\xff") == "amf_truncated"


def test_names_above_64_kib_cannot_be_written() -> None:
    with pytest.raises(TypeError):
        encode([{"x" * 70_000: None}])
    with pytest.raises(TypeError):
        encode([object()])  # type: ignore[list-item]


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_LEAVES = (
    st.floats(allow_nan=False)
    | st.booleans()
    | st.none()
    | st.just(UNDEFINED)
    | _TEXT
    | st.builds(Date, st.floats(allow_nan=False), st.integers(-32768, 32767))
)
# An empty name right before an end marker is the end of an object: AMF0 does not distinguish them.
_NAMES = _TEXT.filter(bool)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_NAMES, inner, max_size=4)
        | st.dictionaries(_NAMES, inner, max_size=4).map(EcmaArray)
        | st.builds(TypedObject, _TEXT, st.dictionaries(_NAMES, inner, max_size=4))
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.lists(_VALUES, max_size=5))
def test_round_trip(values: list[AmfInput]) -> None:
    assert decode(encode(values), max_depth=32) == values


def test_nan_is_kept() -> None:
    value = decode(encode([math.nan]))[0]
    assert isinstance(value, float)
    assert math.isnan(value)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_end_in_values_or_a_violation(data: bytes) -> None:
    values, reason = [], ""
    try:
        values = decode(data, max_depth=8, max_items=64)
    except ProtocolViolation as violation:
        reason = violation.reason
    assert reason in {"", "amf_truncated", "amf_type", "amf_depth", "amf_items", "amf_object"}
    assert len(values) <= 64


@settings(deadline=None)
@given(st.binary(max_size=40), st.sampled_from([b"\x03", b"\x08\0\0\0\0", b"\x0a\0\0\0\5", b"\x10\0\1a"]))
def test_any_bytes_in_composites(data: bytes, head: bytes) -> None:
    try:
        decode(head + data)
    except ProtocolViolation:
        return


def _readable(data: bytes) -> tuple[list[AmfValue], str]:
    values, error = decode_readable(data, max_items=100)
    return values, error.reason if error is not None else ""


def test_what_comes_before_an_error_is_read() -> None:
    metadata = encode(["onMetaData", EcmaArray(width=640.0, height=360.0)])
    both = {"width": 640.0, "height": 360.0}
    assert _readable(metadata) == (["onMetaData", both], "")
    assert _readable(metadata[:-3]) == (["onMetaData", both], "amf_truncated")
    assert _readable(metadata[:-4]) == (["onMetaData", {"width": 640.0}], "amf_truncated")
    too_many = encode(["onMetaData", {"width": 640.0, "keyframes": {"times": [1.0] * 200}}])
    assert _readable(too_many) == (["onMetaData", {"width": 640.0}], "amf_items")
    unknown = encode(["onMetaData", {"width": 640.0}])[:-3] + b"\0\1a\x09"
    assert _readable(unknown) == (["onMetaData", {"width": 640.0}], "amf_type")
    assert _readable(b"\x02\0") == ([], "amf_truncated")
    assert _readable(encode([{"a": 1.0}]) + b"\x02") == ([{"a": 1.0}], "amf_truncated")


def test_references_are_not_followed() -> None:
    assert decode(b"\x03\0\1a\x07\0\0\0\1b\x05\0\0\x09") == [{"a": UNDEFINED, "b": None}]
