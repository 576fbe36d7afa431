"""What people write: without characters that only do harm. No I/O.

PostgreSQL stores no U+0000, and a reader's screen should show nothing of one text in the place of another: neither by
turning the direction of what follows, nor by hundreds of marks on one letter.
"""

import re
import unicodedata

from airnode.errors import FieldError, InvalidInput

#: Controls but tab and line breaks; embeddings, overrides and isolates of direction; annotations, byte order marks.
_DROPPED = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")
#: Half of a surrogate pair, which UTF-8 cannot have.
_HALF = re.compile("[\ud800-\udfff]")
#: More marks on one letter than any script needs.
_MAX_MARKS = 8


def cleaned(path: str, text: str) -> str:
    """Return a text as it is shown and kept: without direction controls, other controls, and piles of marks.

    Args:
        path: names the text in errors.

    Raises:
        InvalidInput: (400) it has U+0000, or nothing is left.
    """
    if text.isascii() and text.isprintable():
        return text
    if "\0" in text:
        raise _wrong(path, "must not contain U+0000.")
    found = _without_piles(_HALF.sub("\ufffd", _DROPPED.sub("", text)))
    if text and not found:
        raise _wrong(path, "has nothing that can be shown.")
    return found


def require_printable(path: str, text: str) -> None:
    """Raise InvalidInput (400) unless all characters can be printed."""
    if not text.isprintable():
        raise _wrong(path, "must be printable characters.")


def _without_piles(text: str) -> str:
    kept, marks = [], 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        if marks <= _MAX_MARKS:
            kept.append(char)
    return text if len(kept) == len(text) else "".join(kept)


def _wrong(path: str, problem: str) -> InvalidInput:
    return InvalidInput(f"{path} {problem}", errors=[FieldError(path, problem)])
