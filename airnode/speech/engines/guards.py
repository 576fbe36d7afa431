"""Guards against text that nobody said, and segments as sentences. Pure functions on what a model gave.

Whisper invents text on silence, noise and music, and may repeat itself. Its own measures of that are kept with each
segment (section 4.5 of "Robust Speech Recognition via Large-Scale Weak Supervision", 2022); the limits are Whisper's.
"""

import enum
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from airnode.speech.words import SpokenSegment, Word

#: zlib makes text that is not repeated at most so many times smaller.
MAX_COMPRESSION: Final = 2.4
MIN_LOG_PROBABILITY: Final = -1.0
MAX_NO_SPEECH: Final = 0.6
#: Nobody says more characters a second than this; Korean and English stay below 20 when they are quick.
_MAX_CHARACTERS_PER_S: Final = 40.0
_MIN_COUNTED_CHARACTERS: Final = 20
#: Most words of real speech last between these.
_SHORTEST_WORD_S: Final = 0.06
_LONGEST_WORD_S: Final = 3.0
_TIMED_SHARE: Final = 0.85
#: A sentence ends with one of these, or before a pause.
_SENTENCE_END: Final = (".", "?", "!", "。", "？", "！", "…")
_PAUSE_S: Final = 0.8
_CLAUSE_END: Final = (",", ";", ":", "、", "，", "；")
#: A longer segment is cut at the end of a clause, or anywhere.
_LONG_CHARACTERS: Final = 120
_LONGEST_CHARACTERS: Final = 200
_LONGEST_S: Final = 15.0


class Verdict(enum.Enum):
    """What to do with a segment."""

    #: Somebody said that.
    KEEP = "keep"
    #: Nobody speaks here.
    DROP = "drop"
    #: The model was not sure, or repeats itself: try again in another way.
    DOUBT = "doubt"


def verdict(segment: SpokenSegment) -> Verdict:
    """Return what to do with a segment of a first try."""
    if not segment.text.strip() or not any(character.isalnum() for character in segment.text):
        return Verdict.DROP
    if segment.no_speech_probability > MAX_NO_SPEECH and segment.log_probability < MIN_LOG_PROBABILITY:
        return Verdict.DROP
    if repeats(segment) or segment.log_probability < MIN_LOG_PROBABILITY or _too_quick(segment):
        return Verdict.DOUBT
    return Verdict.KEEP


def believable(segment: SpokenSegment) -> bool:
    """Return whether a segment of the second try is kept: this one may be unsure, but not impossible."""
    return verdict(segment) is not Verdict.DROP and not repeats(segment) and not _too_quick(segment)


def repeats(segment: SpokenSegment) -> bool:
    """Return whether the text repeats itself without anybody doing so.

    Somebody who says a sentence ten times says each word at its time. A model that is caught in a loop gives many words
    for little sound: most of them get no time.
    """
    return segment.compression_ratio > MAX_COMPRESSION and not _is_timed_as_speech(segment.words)


def _is_timed_as_speech(words: Sequence[Word]) -> bool:
    timed = sum(_SHORTEST_WORD_S <= word.end_s - word.start_s <= _LONGEST_WORD_S for word in words)
    return bool(words) and timed >= _TIMED_SHARE * len(words)


def compression_ratio(text: str) -> float:
    """Return the size of a text divided by its size after zlib."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 1.0


def _too_quick(segment: SpokenSegment) -> bool:
    length_s = segment.end_s - segment.start_s
    count = len(segment.text)
    return count >= _MIN_COUNTED_CHARACTERS and count > length_s * _MAX_CHARACTERS_PER_S


def in_order(found: Iterable[SpokenSegment]) -> Iterator[SpokenSegment]:
    """Yield the segments, none beginning before the end of the one before: Whisper's times overlap by some 20 ms."""
    end_s = 0.0
    for segment in found:
        if segment.start_s < end_s:
            segment = msgspec.structs.replace(segment, start_s=end_s, end_s=max(end_s, segment.end_s))
        end_s = segment.end_s
        yield segment


def sentences(segment: SpokenSegment) -> Iterator[SpokenSegment]:
    """Yield the sentences of a segment with words, with the measures of the whole."""
    if not segment.words:
        yield segment
        return
    words: list[Word] = []
    for position, word in enumerate(segment.words):
        words.append(word)
        following = segment.words[position + 1] if position + 1 < len(segment.words) else None
        if following is None or _ends(words, following):
            yield _sentence(segment, words)
            words = []


def _ends(words: Sequence[Word], following: Word) -> bool:
    """Return whether a sentence ends before ``following``. It does not within a number such as ``3.5``."""
    last = words[-1].text.rstrip()
    begins_anew = following.text[:1].isspace() or following.start_s - words[-1].end_s > _PAUSE_S
    if not begins_anew:
        return False
    if last.endswith(_SENTENCE_END) or following.start_s - words[-1].end_s > _PAUSE_S:
        return True
    count = sum(len(word.text) for word in words)
    is_long = words[-1].end_s - words[0].start_s > _LONGEST_S or count > _LONGEST_CHARACTERS
    return is_long or (count > _LONG_CHARACTERS and last.endswith(_CLAUSE_END))


def _sentence(segment: SpokenSegment, words: Sequence[Word]) -> SpokenSegment:
    return SpokenSegment(
        "".join(word.text for word in words).strip(),
        words[0].start_s,
        words[-1].end_s,
        tuple(words),
        segment.log_probability,
        segment.no_speech_probability,
        segment.compression_ratio,
        segment.temperature,
    )
