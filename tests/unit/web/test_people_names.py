"""Which names are accepted, and which pretend to be the teacher."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.config.sections.auth import AuthSection
from airnode.errors import InvalidInput
from airnode.web.lookalikes import skeleton
from airnode.web.names import NameReserved, accepted_name, base_name, numbered, require_unreserved

RESERVED = AuthSection().reserved_names


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("민수", "민수"),
        ("  Mina   Kim ", "Mina Kim"),
        ("Ｍｉｎａ", "Mina"),
        ("\u1106\u1175\u11ab\u1109\u116e", "민수"),
        ("O'Brien-Łukasz", "O'Brien-Łukasz"),
        ("กิตติ", "กิตติ"),
        ("🙂", "🙂"),
        ("7", "7"),
    ],
)
def test_a_name_is_shown_as_people_write_it(given_: str, shown: str):
    assert accepted_name(given_, 40) == shown


HIDDEN = ["", "   ", "x" * 41, "a\u202eb", "a\u200bb", "a\u200d", "\u3164", "\u2800", "a\x00", "a\nb", "\ud800"]
PILED = ["e" + "\u0301" * 3, "...", "\ue000", "a\u2066b", "a\U000e0041", "ﷺ" * 30]
KOREAN = ["선생님", "김선생님", "선 생 님", "ㅅㅓㄴ생님", "선생님1", "선생", "관리자"]
LATIN = ["Teacher", "TEACHER", "the teacher", "teacher2", "t3ach3r", "t e a c h e r", "teachér", "Teacher Kim", "Admin"]
OTHER = ["tеасhеr", "τеаϲһеr", "Ｔｅａｃｈｅｒ", "𝕥𝕖𝕒𝕔𝕙𝕖𝕣", "ⓣⓔⓐⓒⓗⓔⓡ", "аdmin", "airnode"]


@pytest.mark.parametrize("refused", [*HIDDEN, *PILED])
def test_a_name_that_hides_something_is_refused(refused: str):
    with pytest.raises(InvalidInput) as caught:
        accepted_name(refused, 40)
    assert caught.value.errors[0].path == "name"


@pytest.mark.parametrize("pretending", [*KOREAN, *LATIN, *OTHER])
def test_a_name_that_looks_like_the_teachers_is_reserved(pretending: str):
    with pytest.raises(NameReserved):
        require_unreserved(accepted_name(pretending, 40), RESERVED)


@pytest.mark.parametrize("honest", ["민수", "강사랑", "badminton", "Tea", "Cher", "선우", "생강", "Minad", "🙂", "7"])
def test_an_honest_name_is_not_reserved(honest: str):
    require_unreserved(accepted_name(honest, 40), RESERVED)


def test_nobody_chooses_a_number():
    assert base_name("민수 (2)") == base_name("민수(2)") == base_name("민수 (2) (3)") == "민수"
    assert base_name("(2)") == "(2)"
    assert [numbered("민수", n) for n in (1, 2, 3)] == ["민수", "민수 (2)", "민수 (3)"]


@given(st.text(max_size=60))
def test_any_text_is_accepted_or_refused_and_its_look_is_stable(text: str):
    try:
        name = accepted_name(text, 40)
    except InvalidInput:
        return
    assert 1 <= len(name) <= 40
    assert accepted_name(name, 40) == name
    assert skeleton(name) == skeleton(name.swapcase()) or not name.isascii()
    assert skeleton(skeleton(name)) == skeleton(name)
