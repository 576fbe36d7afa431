"""Which segments are believed, and how they become sentences."""

import msgspec
import pytest

from airnode.speech.engines.guards import Verdict, believable, compression_ratio, in_order, sentences, verdict
from airnode.speech.words import SpokenSegment, Word


def segment(text: str, length_s: float = 5.0, **measures: float) -> SpokenSegment:
    measures.setdefault("compression_ratio", compression_ratio(text))
    return SpokenSegment(text, 0.0, length_s, **measures)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (segment("Good morning, everybody."), Verdict.KEEP),
        (segment("안녕하세요, 여러분."), Verdict.KEEP),
        (segment("Thank you.", log_probability=-1.3, no_speech_probability=0.9), Verdict.DROP),
        (segment("Thank you.", log_probability=-0.4, no_speech_probability=0.9), Verdict.KEEP),
        (segment("Thank you.", log_probability=-1.3), Verdict.DOUBT),
        (segment(" ... "), Verdict.DROP),
        (segment("♪"), Verdict.DROP),
        (segment("ask what you can do " * 12, 30.0), Verdict.DOUBT),
        (segment("가나다라마바사 " * 20, 30.0), Verdict.DOUBT),
        (segment("This is far too much for half a second.", 0.5), Verdict.DOUBT),
    ],
)
def test_a_segment_is_kept_dropped_or_tried_again(given: SpokenSegment, expected: Verdict):
    assert verdict(given) is expected


def test_a_second_try_may_be_unsure_but_not_repeat_itself():
    assert believable(segment("Thank you.", log_probability=-1.3))
    assert not believable(segment("ask what you can do " * 12, 30.0))
    assert not believable(segment("Thank you.", log_probability=-1.3, no_speech_probability=0.9))


def test_somebody_who_repeats_a_sentence_is_believed_and_a_loop_is_not():
    said = spoken(*[" repeat", " after", " me."] * 15)
    said = msgspec.structs.replace(said, compression_ratio=compression_ratio(said.text))
    assert said.compression_ratio > 2.4
    assert verdict(said) is Verdict.KEEP
    words = tuple(Word(word.text, 3.0, 3.0) if place > 5 else word for place, word in enumerate(said.words))
    assert verdict(msgspec.structs.replace(said, words=words)) is Verdict.DOUBT


def spoken(*texts: str, pause_before: dict[int, float] | None = None) -> SpokenSegment:
    words, at_s = [], 0.0
    for number, text in enumerate(texts):
        at_s += (pause_before or {}).get(number, 0.0)
        words.append(Word(text, at_s, at_s + 0.3))
        at_s += 0.35
    return SpokenSegment("".join(texts).strip(), 0.0, at_s, tuple(words))


def texts(whole: SpokenSegment) -> list[str]:
    return [sentence.text for sentence in sentences(whole)]


def test_sentences_end_at_full_stops_and_pauses_but_not_within_numbers():
    assert texts(spoken(" It", " costs", " 3", ".5", " won.", " Really?", " Yes")) == [
        "It costs 3.5 won.",
        "Really?",
        "Yes",
    ]
    assert texts(spoken(" one", " two", " three", pause_before={2: 1.0})) == ["one two", "three"]
    assert texts(spoken(" 그렇습니다.", " 네")) == ["그렇습니다.", "네"]
    assert texts(segment("no words")) == ["no words"]


def test_sentences_without_an_end_are_cut_and_nothing_is_lost():
    whole = spoken(*(f" word{number}" for number in range(200)))
    found = list(sentences(whole))
    assert len(found) > 3
    assert " ".join(each.text for each in found) == whole.text
    assert [word for each in found for word in each.words] == list(whole.words)
    assert all(each.end_s - each.start_s <= 16 for each in found)


def test_segments_do_not_overlap():
    found = in_order([SpokenSegment("a", 0.0, 1.02), SpokenSegment("b", 1.0, 1.01), SpokenSegment("c", 2.0, 3.0)])
    assert [(each.start_s, each.end_s) for each in found] == [(0.0, 1.02), (1.02, 1.02), (2.0, 3.0)]
