"""Class codes and stream keys: made to be read aloud, and made not to be guessed."""

import hashlib
import re
import secrets

#: No 0/O, 1/I/L, U/V look-alikes: 28 letters and digits.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTWXY"
_CODE_LENGTH = 6
ROOM_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")


def new_code() -> str:
    """A class code: 6 characters, 28^6 = 4.8e8 possibilities behind a rate limit."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))


def normal_code(text: str) -> str:
    """A code as people type it: any case, with blanks or dashes."""
    return re.sub(r"[\s-]", "", text).upper()


def is_code(text: str) -> bool:
    """Whether ``text`` could be a class code at all."""
    return len(text) == _CODE_LENGTH and all(letter in _ALPHABET for letter in text)


def new_stream_key() -> str:
    """A stream key: 120 bits, only characters that survive every encoder's input field."""
    return secrets.token_hex(15)


def key_digest(stream_key: str) -> str:
    """What is kept of a stream key outside PostgreSQL."""
    return hashlib.sha256(stream_key.encode()).hexdigest()


def new_room(title: str) -> str:
    """A room name from a title: its ASCII part where it has one, and something random."""
    stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40]
    return f"{stem or 'class'}-{secrets.token_hex(3)}"
