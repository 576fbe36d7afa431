"""Names that people give themselves: which are accepted, and which are refused because they pretend to be the teacher.

No I/O. That two of one name are told apart is decided in Redis (:mod:`airnode.bus.class_names`).
"""

import re
import unicodedata
from collections.abc import Iterable

from airnode.errors import FieldError, InvalidInput
from airnode.web.lookalikes import skeleton, words

#: Categories of characters that show nothing, change the direction of writing, or mean nothing.
_REFUSED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: Letters and symbols that show nothing: fillers of Korean letters, the empty Braille pattern.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5\u034f")
_MAX_MARKS = 2
_NUMBERED = re.compile(r"(.*\S)\s*\(\d{1,9}\)")


class NameReserved(InvalidInput):
    """The name looks like that of the teacher or of the staff."""

    code, title = "name_reserved", "This name is reserved"


def accepted_name(text: str, max_chars: int) -> str:
    """Return ``text`` as it is shown: NFKC, with single spaces.

    Raises:
        InvalidInput: (400) it is empty, too long, or has characters that nobody can see.
    """
    if len(text) > 4 * max_chars or any(map(_is_unseen, text)):
        raise _wrong(text, max_chars)
    name = " ".join(unicodedata.normalize("NFKC", text).split())
    if not 1 <= len(name) <= max_chars or any(map(_is_unseen, name)) or not _can_be_seen(name):
        raise _wrong(name, max_chars)
    return name


def base_name(name: str) -> str:
    """Return ``Mina`` for ``Mina (2)``: the number is given by the server, nobody can choose it."""
    while found := _NUMBERED.fullmatch(name):
        name = found[1]
    return name


def numbered(name: str, number: int) -> str:
    """Return the name of the ``number``-th person with this name in a class."""
    return name if number <= 1 else f"{name} ({number})"


def require_unreserved(name: str, reserved: Iterable[str]) -> None:
    """Raise NameReserved (400) if a word of ``name`` looks like a reserved one, or the name begins or ends with one."""
    whole, single = skeleton(name), set(words(name))
    for word in map(skeleton, reserved):
        if word and (word in single or whole.startswith(word) or whole.endswith(word)):
            raise reserved_name()


def reserved_name() -> NameReserved:
    """Return the error for a name that looks like the teacher's."""
    message = "This name looks like the teacher's; choose another one."
    return NameReserved(message, errors=[FieldError("name", message)])


def _wrong(text: str, max_chars: int) -> InvalidInput:
    what = (
        f"must be 1 to {max_chars} characters"
        if not 1 <= len(text) <= max_chars
        else "has characters that cannot be seen"
    )
    message = f"The name {what}."
    return InvalidInput(message, errors=[FieldError("name", message)])


def _is_unseen(char: str) -> bool:
    return char in _BLANK or unicodedata.category(char) in _REFUSED


def _can_be_seen(name: str) -> bool:
    """Return whether there is a letter, digit or symbol, and no pile of marks that covers other lines."""
    run = 0
    for char in unicodedata.normalize("NFD", name):
        run = run + 1 if unicodedata.category(char)[0] == "M" else 0
        if run > _MAX_MARKS:
            return False
    return any(unicodedata.category(char)[0] in "LN" or unicodedata.category(char) == "So" for char in name)
