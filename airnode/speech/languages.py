"""The languages of Whisper models."""

import re

from airnode.errors import FieldError
from airnode.speech.errors import UnknownLanguage

_CODES = (
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id "
    "is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd si "
    "sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh"
)
#: ISO 639-1 codes, and a few others where there is none.
LANGUAGES = frozenset(_CODES.split())
_TAG = re.compile(r"([a-z]{2,3})(?:[-_][A-Za-z0-9]{2,8})*\Z")
_DETECT = frozenset({"", "auto"})
#: Codes that people send for a language that Whisper calls otherwise.
_OTHER_CODES = {"jv": "jw", "iw": "he", "in": "id", "nb": "no", "fil": "tl", "cmn": "zh", "kor": "ko", "eng": "en"}


def known_language(text: str) -> str:
    """Return the code of a language as people name it (``ko``, ``ko-KR``, ``auto``); empty: it is to be detected.

    Raises:
        UnknownLanguage: (400) there is no such language.
    """
    given = text.strip().lower()
    if given in _DETECT:
        return ""
    match = _TAG.match(given)
    code = _OTHER_CODES.get(match[1], match[1]) if match is not None else ""
    if code not in LANGUAGES:
        shown = text.strip()[:20]
        raise UnknownLanguage(
            f"The language {shown!r} is not known: give an ISO 639-1 code, such as ko or en.",
            errors=[FieldError("language", "is not known")],
        )
    return code
