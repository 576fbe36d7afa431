"""What is kept of what people write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.chat.rooms.texts import cleaned, require_printable
from airnode.errors import InvalidInput


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("plain", "plain"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("안녕하세요 👩‍👩‍👧 ❤️", "안녕하세요 👩‍👩‍👧 ❤️"),
        ("می‌خواهم", "می‌خواهم"),  # a non-joiner that Persian needs
        ("นี่คือภาษาไทย", "นี่คือภาษาไทย"),
        ("txt.\u202egpj", "txt.gpj"),
        ("\u2066a\u2069\u202ab\u202c", "ab"),
        ("bell\x07, escape\x1b[31m, C1\x85", "bell, escape[31m, C1"),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("z" + "\u0301" * 500 + "!", "z" + "\u0301" * 8 + "!"),
    ],
)
def test_what_is_kept(written, kept):
    assert cleaned("content", written) == kept


@pytest.mark.parametrize("text", ["a\0b", "\0", "\u202e", "\x1b\x07"])
def test_what_is_refused(text):
    with pytest.raises(InvalidInput, match="content") as found:
        cleaned("content", text)
    assert found.value.errors[0].path == "content"


def test_a_type_is_printable():
    require_printable("type", "text")
    require_printable("client_id", "")
    with pytest.raises(InvalidInput, match="type"):
        require_printable("type", "te\0xt")


@given(st.text(st.characters(codec=None)))
def test_what_is_kept_is_unicode_that_postgresql_takes_and_stays_the_same(text):
    try:
        kept = cleaned("content", text)
    except InvalidInput:
        return
    assert "\0" not in kept
    kept.encode()
    assert cleaned("content", kept) == kept
