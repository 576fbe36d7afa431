"""Class codes, stream keys and room names. Codes can be read aloud; codes and keys cannot be guessed."""

import hashlib
import re
import secrets

#: No 0/O, 1/I/L, U/V look-alikes: 28 letters and digits.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTWXY"
_CODE_LENGTH = 6


def new_code() -> str:
    """Return a class code: 6 characters, 28^6 = 4.8e8 possibilities behind a rate limit."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))


def normal_code(text: str) -> str:
    """Return the code that somebody typed in any case, with spaces or dashes."""
    return re.sub(r"[\s-]", "", text).upper()


def is_code(text: str) -> bool:
    """Return whether ``text`` could be a class code at all."""
    return len(text) == _CODE_LENGTH and all(letter in _ALPHABET for letter in text)


def new_stream_key() -> str:
    """Return a stream key: 120 bits, in characters that every encoder's input field accepts."""
    return secrets.token_hex(15)


def new_teacher_key() -> str:
    """Return a teacher key: 128 bits, with a beginning that says what it is."""
    return f"tk-{secrets.token_hex(16)}"


def is_teacher_key(text: str) -> bool:
    """Return whether ``text`` could be a teacher key at all."""
    return re.fullmatch(r"tk-[0-9a-f]{32}", text) is not None


def key_digest(key: str) -> str:
    """Return the SHA-256 of a stream key or a teacher key in hex; it is used in place of the key outside PostgreSQL.

    Of a teacher key, PostgreSQL has nothing else either.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def new_room(title: str) -> str:
    """Return a room name for a title: its ASCII letters and digits, and six random ones."""
    stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40]
    return f"{stem or 'class'}-{secrets.token_hex(3)}"
