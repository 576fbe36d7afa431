"""What people are told, in their language; languages, options and progress."""

import string

import pytest
from aiohttp.test_utils import make_mocked_request

from airnode.errors import AirnodeError, InvalidInput
from airnode.speech import errors as speech_errors
from airnode.speech.errors import UnknownLanguage
from airnode.speech.languages import known_language
from airnode.speech.service.intake import flag, options_of
from airnode.speech.service.openai_api import heard_so_far
from airnode.speech.service.progress import PieceProgress
from airnode.speech.service.refusals import TEXTS, UploadTooLong, language_of, told
from airnode.speech.service.speed import LearnedSpeed
from airnode.speech.service.uploads import Upload


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ko", "ko"),
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("en;q=0.1, ko;q=0.2", "ko"),
        ("fr, ko;q=0.5", "ko"),
        ("fr", "en"),
        ("ko;q=x", "en"),
        ("ko;q=0", "en"),
        ("*", "en"),
        (",;=" * 1000, "en"),
    ],
)
def test_the_language_of_a_client(header: str, language: str):
    assert language_of(make_mocked_request("GET", "/", headers={"Accept-Language": header})) == language


def test_every_text_is_in_both_languages_with_the_same_fields():
    for code, texts in TEXTS.items():
        assert set(texts) == {"en", "ko"}, code
        fields = {
            language: {field for _, field, _, _ in string.Formatter().parse(" ".join(text)) if field}
            for language, text in texts.items()
        }
        assert fields["ko"] >= fields["en"] - {"detail"}, code


def test_errors_of_speech_have_texts():
    kinds = [each for each in vars(speech_errors).values() if isinstance(each, type) and issubclass(each, AirnodeError)]
    refusing = {each.code for each in kinds if issubclass(each, InvalidInput)} - {"invalid_input"}
    assert refusing <= set(TEXTS)


def test_too_long_is_told_in_minutes():
    error = UploadTooLong(5400, 1800)
    assert error.fields == {"duration": 90.0, "maxDuration": 30.0, "premiumRequired": True}
    assert told(error, "en")[1] == "The audio is 90 minutes long; at most 30 are allowed."
    assert "90분" in told(error, "ko")[1]
    assert told(InvalidInput("The field x is wrong."), "en") == ("Invalid input", "The field x is wrong.")


def test_languages():
    for text, code in {"": "", "auto": "", " KO ": "ko", "ko-KR": "ko", "en_US": "en", "zh-Hant-TW": "zh"}.items():
        assert known_language(text) == code
    for text in ("xx", "klingon", "k", "ko ko", "한국어", "../en", "x" * 5000):
        with pytest.raises(UnknownLanguage):
            known_language(text)


def upload(**fields: str) -> Upload:
    from pathlib import Path

    return Upload("t", Path("x"), "x", 1, {name: (value,) for name, value in fields.items()})


def test_options_of_a_form():
    options = options_of(upload(language="ko", prompt=" 함수 ", temperature="0.5"), "translate")
    assert (options.language, options.prompt, options.temperature, options.task) == ("ko", "함수", 0.5, "translate")
    for fields in ({"temperature": "nan"}, {"temperature": "-1"}, {"temperature": "x"}, {"prompt": "x" * 1001}):
        with pytest.raises(InvalidInput):
            options_of(upload(**fields), "transcribe")
    assert flag(upload(stream="TRUE"), "stream", False)
    assert not flag(upload(), "stream", False)
    with pytest.raises(InvalidInput):
        flag(upload(stream="maybe"), "stream", False)


def test_a_stream_ends_where_the_first_piece_is_not_done():
    done, active, failed = (PieceProgress(state, 0.5, state) for state in ("done", "active", "failed"))
    assert heard_so_far({}) == ""
    assert heard_so_far({1: done}) == ""
    assert heard_so_far({0: active, 1: done}) == "active"
    assert heard_so_far({0: done, 2: done}) == "done"
    assert heard_so_far({0: done, 1: failed, 2: done}) == "done failed done"


def test_how_long_it_takes():
    speed = LearnedSpeed(0.1)
    assert speed.wait_s(600, 0, 1, 120) == pytest.approx(60)
    assert speed.wait_s(600, 600, 4, 120) == pytest.approx(30)
    assert speed.wait_s(600, 0, 100, 120) == pytest.approx(12)  # the longest piece has one slot
    assert speed.wait_s(60, 0, 0, 120) == pytest.approx(6)  # as with one worker, which may come
