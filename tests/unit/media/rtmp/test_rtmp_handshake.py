"""Both forms of the handshake, with the client's half computed independently of the code under test."""

import hmac
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.rtmp.errors import ProtocolViolation
from airnode.media.rtmp.handshake import ServerHandshake
from tests.support.rtmp import complex_c1, simple_c1

# The two keys of the digest handshake: a name, and for signatures the name and 32 bytes.
SERVER_NAME = b"Genuine Adobe Flash Media Server 001"
TAIL = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")


def _digest_at(packet: bytes, scheme: int) -> int:
    base = (8, 772)[scheme]
    return sum(packet[base : base + 4]) % 728 + base + 4


def _answer(c1: bytes) -> tuple[ServerHandshake, bytes, bytes]:
    handshake = ServerHandshake()
    assert handshake.receive(b"\x03" + c1) == b""
    out = handshake.data_to_send()
    assert len(out) == 1 + 2 * 1536
    assert out[0] == 3
    return handshake, out[1:1537], out[1537:]


def test_simple_echoes() -> None:
    c1 = simple_c1()
    handshake, s1, s2 = _answer(c1)
    assert handshake.complex is False
    assert s1[4:8] == bytes(4)
    assert s2 == c1
    assert not handshake.done
    assert handshake.receive(s1 + b"chunks") == b"chunks"
    assert handshake.done
    assert handshake.data_to_send() == b""


@pytest.mark.parametrize("scheme", [0, 1])
def test_complex_signs_s1_and_s2(scheme: int) -> None:
    for _ in range(50):  # offsets are random: many places
        c1 = complex_c1(scheme)
        handshake, s1, s2 = _answer(c1)
        assert handshake.complex is True
        assert s1[4:8] != bytes(4)
        at = _digest_at(s1, scheme)
        assert s1[at : at + 32] == hmac.digest(SERVER_NAME, s1[:at] + s1[at + 32 :], "sha256")
        at = _digest_at(c1, scheme)
        key = hmac.digest(SERVER_NAME + TAIL, c1[at : at + 32], "sha256")
        assert s2[1504:] == hmac.digest(key, s2[:1504], "sha256")


def test_a_wrong_digest_falls_back_to_the_simple_form() -> None:
    c1 = bytearray(complex_c1(0))
    c1[1535] ^= 1
    at = _digest_at(bytes(c1), 0)
    assert not at <= 1535 < at + 32
    handshake, _, s2 = _answer(bytes(c1))
    assert handshake.complex is False
    assert s2 == bytes(c1)


@settings(deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20))
def test_any_split_gives_the_same(sizes: list[int]) -> None:
    data = b"\x03" + simple_c1() + os.urandom(1536) + b"rest of it"
    handshake, rest, pos = ServerHandshake(), b"", 0
    while pos < len(data):
        size = sizes[pos % len(sizes)]
        piece = data[pos : pos + size]
        rest += handshake.receive(piece) if not handshake.done else piece
        pos += size
    assert handshake.done
    assert rest == b"rest of it"


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"GET / HTTP/1.1\r\n", "not_rtmp"), (b"\x16\x03\x01", "not_rtmp"), (b"\x06", "encrypted"), (b"\0", "not_rtmp")],
)
def test_other_protocols_end_at_the_first_byte(data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        ServerHandshake().receive(data)
    assert caught.value.reason == reason
