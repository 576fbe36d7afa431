"""The server's half of the RTMP handshake, sans-IO (Adobe RTMP 1.0 section 5.2).

The *simple* form of the specification echoes random bytes. The *complex* form, introduced by Flash Player 9 and still
used by FFmpeg and hardware encoders, puts an HMAC-SHA256 digest into C1 and S1 and signs C2 and S2 with it. The
position of the digest depends on the scheme: its offset is the sum of four bytes at 8 (scheme 0) or at 772 (scheme 1).

::

    client  C0 C1 ──────────────▶            C0, S0: 1 byte, version 3
            ◀────────────── S0 S1 S2         C1, S1, C2, S2: 1,536 bytes
            C2 ─────────────────▶  done
"""

import hmac
import secrets
from collections.abc import Callable
from typing import Final

from airnode.media.rtmp.errors import ProtocolViolation

VERSION: Final = 3
SIZE: Final = 1536
DIGEST_SIZE: Final = 32
_TAIL: Final = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
PLAYER_KEY: Final = b"Genuine Adobe Flash Player 001" + _TAIL
SERVER_KEY: Final = b"Genuine Adobe Flash Media Server 001" + _TAIL
#: The keys without their tails, which sign C1 and S1.
PLAYER_NAME: Final = PLAYER_KEY[:30]
SERVER_NAME: Final = SERVER_KEY[:36]
#: {scheme: position of the four bytes that give the digest's offset}
_OFFSET_AT: Final = (8, 772)
_SERVER_VERSION: Final = b"\x04\x05\x00\x01"


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def digest_offset(packet: bytes, scheme: int) -> int:
    """Return the position of the digest in a C1 or S1."""
    at = _OFFSET_AT[scheme]
    return sum(packet[at : at + 4]) % 728 + at + 4


def sign(packet: bytes, scheme: int, key: bytes) -> bytes:
    """Return a C1 or S1 with its digest, at the position that its own bytes give."""
    at = digest_offset(packet, scheme)
    head, tail = packet[:at], packet[at + DIGEST_SIZE :]
    return head + _hmac(key, head + tail) + tail


def find_digest(packet: bytes, key: bytes) -> tuple[int, bytes] | None:
    """Return the (scheme, digest) of a C1 or S1, or None if neither scheme gives a valid digest."""
    for scheme in (0, 1):
        at = digest_offset(packet, scheme)
        digest = packet[at : at + DIGEST_SIZE]
        if hmac.compare_digest(digest, _hmac(key, packet[:at] + packet[at + DIGEST_SIZE :])):
            return scheme, digest
    return None


def answer(digest: bytes, key: bytes, random: bytes) -> bytes:
    """Return the C2 or S2 that answers a packet with this digest: 1,504 random bytes and their signature."""
    body = random[: SIZE - DIGEST_SIZE]
    return body + _hmac(_hmac(key, digest), body)


class ServerHandshake:
    """Receives bytes until C2 is complete.

    Attributes:
        complex: whether the client's C1 had a valid digest; None before C1.
    """

    def __init__(self, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._random_bytes = random_bytes
        #: At most C0, C1 and C2, plus the rest of the last read. Changed by receive() only.
        self._buffer = bytearray()
        self._out = b""
        self.complex: bool | None = None
        self.done = False

    def receive(self, data: bytes) -> bytes:
        """Receive bytes. Return the bytes after C2, which are the first chunks.

        Raises:
            ProtocolViolation: ``not_rtmp`` or ``encrypted``, after the first byte: other protocols are refused at once.
        """
        self._buffer += data
        if not self._buffer:
            return b""
        _check_version(self._buffer[0])
        if self.complex is None and len(self._buffer) >= 1 + SIZE:
            self._reply(bytes(self._buffer[1 : 1 + SIZE]))
        # C2 should echo S1 or be signed with its digest. This is not checked: some encoders do it wrong, without harm.
        if len(self._buffer) < 1 + 2 * SIZE:
            return b""
        self.done = True
        rest = bytes(self._buffer[1 + 2 * SIZE :])
        self._buffer.clear()
        return rest

    def data_to_send(self) -> bytes:
        """Return the bytes for the peer and forget them: nothing, or S0 S1 S2."""
        out, self._out = self._out, b""
        return out

    def _reply(self, c1: bytes) -> None:
        found = find_digest(c1, PLAYER_NAME)
        self.complex = found is not None
        version = _SERVER_VERSION if found else bytes(4)
        s1 = bytes(4) + version + self._random_bytes(SIZE - 8)
        if found is None:
            s2 = c1
        else:
            scheme, digest = found
            s1 = sign(s1, scheme, SERVER_NAME)
            s2 = answer(digest, SERVER_KEY, self._random_bytes(SIZE - DIGEST_SIZE))
        self._out = bytes((VERSION,)) + s1 + s2


def _check_version(version: int) -> None:
    if version in (6, 8, 9):
        raise ProtocolViolation("encrypted", "RTMPE is not supported; use RTMPS")
    if version != VERSION:
        raise ProtocolViolation("not_rtmp", f"the first byte is 0x{version:02x}, RTMP begins with 0x03")
