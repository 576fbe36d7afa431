"""Transcriptions as files, pieces merged to one, and cues that can be read."""

import itertools
import json
import re

from airnode.speech.cues import LINE_COLUMNS, columns, cues_of
from airnode.speech.formats import clock, to_json, to_srt, to_txt, to_verbose_json, to_vtt
from airnode.speech.media.messages import Piece
from airnode.speech.merging import merged
from airnode.speech.words import SpeechGap, SpokenSegment, Transcription, Word

HELLO = SpokenSegment(
    "Hello <b>you</b> & me.", 0.5, 2.0, (Word(" Hello", 0.5, 1.0), Word(" <b>you</b> & me.", 1.0, 2.0))
)
FOUND = Transcription("en", 0.9, 3725.5, (HELLO,), (SpeechGap(3600.0, 3720.25, "the engine failed"),))


def test_a_clock_counts_hours_and_rounds_up_to_the_next_minute():
    assert clock(3725.5, ",") == "01:02:05,500"
    assert clock(59.9996, ".") == "00:01:00.000"


def test_each_format_has_the_text_the_times_and_the_gap():
    assert to_txt(FOUND) == "Hello <b>you</b> & me.\n[01:00:00 - 01:02:00: not transcribed]\n"
    assert to_srt(FOUND).startswith("1\n00:00:00,500 --> 00:00:02,000\nHello <b>you</b> & me.\n\n2\n01:00:00,000 --> ")
    assert to_vtt(FOUND).startswith(
        "WEBVTT\n\n00:00:00.500 --> 00:00:02.000\nHello &lt;b&gt;you&lt;/b&gt; &amp; me.\n\n"
    )
    body = json.loads(to_json(FOUND))
    assert body["text"] == HELLO.text
    assert body["segments"][0]["words"][1] == {
        "text": " <b>you</b> & me.",
        "start_s": 1.0,
        "end_s": 2.0,
        "probability": 1.0,
    }
    assert body["gaps"][0]["reason"] == "the engine failed"


def test_verbose_json_is_that_of_openai():
    body = json.loads(to_verbose_json(FOUND, words=True))
    assert (body["task"], body["language"], body["duration"]) == ("transcribe", "english", 3725.5)
    assert body["words"][0] == {"word": "Hello", "start": 0.5, "end": 1.0}
    assert {"id", "start", "end", "text", "avg_logprob", "no_speech_prob"} <= body["segments"][0].keys()
    assert "segments" not in json.loads(to_verbose_json(FOUND, segments=False))


def test_no_speech_is_an_empty_file():
    nothing = Transcription("", 0.0, 5.0)
    assert (to_txt(nothing), to_srt(nothing), to_vtt(nothing)) == ("", "", "WEBVTT\n")
    assert json.loads(to_verbose_json(nothing))["segments"] == []


def test_a_cue_cannot_end_the_file_or_begin_another():
    evil = SpokenSegment("a --> b\n\n00:00:01.000 --> 00:00:02.000\nfake", 0.0, 1.0)
    body = to_vtt(Transcription("en", 1.0, 1.0, (evil,)))
    assert body.count("\n\n") == 1
    assert len(re.findall(r"^\d\d:\d\d:\d\d\.\d{3} --> ", body, re.M)) == 1
    assert to_srt(Transcription("en", 1.0, 1.0, (evil,))).count("\n\n") == 0


def long_segment(word: str, count: int) -> SpokenSegment:
    words = tuple(Word(f" {word}", number * 0.3, number * 0.3 + 0.25) for number in range(count))
    return SpokenSegment("".join(each.text for each in words).strip(), 0.0, words[-1].end_s, words)


def test_cues_are_short_enough_to_read_and_lose_nothing():
    for word in ("unbelievable", "안녕하세요", "x" * 100):
        segment = long_segment(word, 60)
        cues = cues_of([segment])
        assert all(len(cue.lines) <= 2 for cue in cues) or len(word) == 100
        assert all(columns(line) <= LINE_COLUMNS for cue in cues for line in cue.lines)
        assert all(cue.end_s - cue.start_s <= 7.0 for cue in cues)
        assert all(one.end_s <= other.start_s for one, other in itertools.pairwise(cues))
        assert "".join("".join(cue.lines) for cue in cues).replace(" ", "") == segment.text.replace(" ", "")


def test_pieces_are_merged_with_times_from_the_start_of_the_whole():
    pieces = [Piece(0, 0.0, 100.0, 80.0), Piece(1, 100.0, 210.0, 90.0), Piece(2, 210.0, 300.0, 50.0)]
    part = Transcription("ko", 0.8, 100.0, (SpokenSegment("가", 1.0, 2.0, (Word("가", 1.0, 2.0),)),))
    late = Transcription("en", 0.6, 90.0, (SpokenSegment("b", 89.0, 90.02, (Word("b", 89.0, 90.02),)),))
    whole = merged(pieces[::-1], {2: late, 0: part}, {1: "no memory"})
    assert [(each.text, each.start_s, each.end_s) for each in whole.segments] == [("가", 1.0, 2.0), ("b", 299.0, 300.0)]
    assert whole.segments[1].words[0].start_s == 299.0
    assert whole.gaps == (SpeechGap(100.0, 210.0, "no memory"),)
    assert (whole.language, whole.language_probability, whole.duration_s) == ("ko", 0.8, 300.0)
    assert merged([], {}) == Transcription("", 0.0, 0.0)
