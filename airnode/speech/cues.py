"""Cues: segments cut so that each is readable as a subtitle."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from airnode.speech.words import SpokenSegment, Word

#: Columns of a line; a Korean, Chinese or Japanese letter takes two.
LINE_COLUMNS: Final = 42
LINES: Final = 2
_LONGEST_S: Final = 7.0
#: A cue lasts at least this long where the next one leaves room.
_SHORTEST_S: Final = 1.0


class SubtitleCue(msgspec.Struct, frozen=True):
    """A subtitle: its lines, and when it is shown."""

    lines: tuple[str, ...]
    start_s: float
    end_s: float


def cues_of(segments: Sequence[SpokenSegment]) -> list[SubtitleCue]:
    """Return cues of at most two lines and seven seconds; segments without words become one cue each, whatever size."""
    found = [cue for segment in segments for cue in _cues(segment)]
    result = []
    for position, cue in enumerate(found):
        start_s = round(cue.start_s, 3)
        next_s = round(found[position + 1].start_s, 3) if position + 1 < len(found) else float("inf")
        end_s = min(max(cue.end_s, start_s + _SHORTEST_S), max(next_s, start_s + 0.001))
        result.append(SubtitleCue(cue.lines, start_s, round(end_s, 3)))
    return result


def _cues(segment: SpokenSegment) -> Iterator[SubtitleCue]:
    if not segment.words:
        yield SubtitleCue(tuple(_wrapped(segment.text.split())), segment.start_s, segment.end_s)
        return
    taken: list[Word] = []
    for unit in _units(segment.words):
        both = [*taken, *unit]
        if taken and (len(_lines(both)) > LINES or both[-1].end_s - both[0].start_s > _LONGEST_S):
            yield _cue(taken)
            both = unit
        taken = both
    yield _cue(taken)


def _units(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Yield the words, those that are written without a space between them together."""
    unit: list[Word] = []
    for word in words:
        if unit and word.text[:1].isspace():
            yield unit
            unit = []
        unit.append(word)
    if unit:
        yield unit


def _cue(words: Sequence[Word]) -> SubtitleCue:
    return SubtitleCue(tuple(_lines(words)), words[0].start_s, words[-1].end_s)


def _lines(words: Sequence[Word]) -> list[str]:
    return _wrapped("".join(word.text for word in words).split())


def _wrapped(texts: Sequence[str]) -> list[str]:
    """Return lines of at most ``LINE_COLUMNS``; a longer word is cut."""
    lines: list[str] = []
    for text in texts:
        for part in _cut(text):
            if lines and columns(lines[-1]) + 1 + columns(part) <= LINE_COLUMNS:
                lines[-1] += f" {part}"
            else:
                lines.append(part)
    return lines


def _cut(text: str) -> Iterator[str]:
    part, used = "", 0
    for character in text:
        width = columns(character)
        if used + width > LINE_COLUMNS:
            yield part
            part, used = "", 0
        part, used = part + character, used + width
    if part:
        yield part


def columns(text: str) -> int:
    """Return how wide a text is, in columns of a Latin letter."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )
