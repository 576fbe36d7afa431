"""The wire format of messages, and invalid bytes."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.bus.envelope import MAX_BYTES, Undecodable, decode, encode, type_name
from airnode.errors import TooLarge


class Note(msgspec.Struct):
    text: str


class Tagged(msgspec.Struct, tag="hb.1"):
    load: float = 0.0


def test_the_wire_format():
    assert encode(Note("hi")) == b'{"v":1,"t":"Note","b":{"text":"hi"}}'
    assert type_name(Tagged) == "hb.1"
    assert msgspec.json.decode(decode(encode(Tagged(0.5))).b, type=Tagged) == Tagged(0.5)


def test_members_of_later_versions_are_ignored():
    assert decode(b'{"v":1,"t":"Note","b":{"text":"hi","more":1},"trace":"x"}').t == "Note"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "garbage"),
        (b"{", "garbage"),
        (b"[]", "garbage"),
        (b'{"v":1}', "garbage"),
        (b"\xff\xfe", "garbage"),
        (b'{"v":"1","t":"Note","b":{}}', "garbage"),
        (b"[" * 100_000, "garbage"),
        (b'{"v":2,"t":"Note","b":{}}', "unknown_version"),
        (b" " * (MAX_BYTES + 1), "too_large"),
    ],
)
def test_bad_messages_have_a_reason(data, reason):
    with pytest.raises(Undecodable) as caught:
        decode(data)
    assert caught.value.reason == reason


@given(st.binary(max_size=300))
def test_random_bytes_are_undecodable_or_an_envelope(data):
    with contextlib.suppress(Undecodable):
        assert decode(data).v == 1


def test_the_limit_is_exact():
    room = MAX_BYTES - len(encode(Note("")))
    assert len(encode(Note("x" * room))) == MAX_BYTES
    with pytest.raises(TooLarge, match="262145 bytes"):
        encode(Note("x" * (room + 1)))
