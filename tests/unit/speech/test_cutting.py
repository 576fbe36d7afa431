"""Where long audio is cut, from the probability of speech."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.speech.media.cutting import pieces_of
from airnode.speech.vad import STEP_S, speaking


def steps(*parts: tuple[float, float]) -> np.ndarray:
    """Probabilities: (seconds, probability) one after the other."""
    return np.concatenate([np.full(round(length_s / STEP_S), value, dtype=np.float32) for length_s, value in parts])


def test_the_cut_is_in_the_middle_of_the_longest_silence():
    speech = steps((92, 0.9), (0.5, 0.1), (10, 0.9), (1.0, 0.1), (5, 0.9), (0.6, 0.1), (40, 0.9))
    found = pieces_of(speech, len(speech) * STEP_S, 90, 120)
    assert [piece.index for piece in found] == [0, 1]
    assert found[0].stop_s == pytest.approx(103.0, abs=0.1)
    assert found[1].speech_s == pytest.approx(45, abs=0.5)


def test_without_silence_the_cut_is_at_the_least_likely_speech():
    speech = steps((100, 0.95), (0.2, 0.6), (60, 0.95))
    found = pieces_of(speech, len(speech) * STEP_S, 90, 120)
    assert found[0].stop_s == pytest.approx(100.1, abs=0.15)


def test_short_audio_is_one_piece_and_none_is_none():
    assert [piece.stop_s for piece in pieces_of(steps((30, 0.9)), 30.0, 90, 120)] == [30.0]
    assert pieces_of(np.zeros(0, dtype=np.float32), 0.0, 90, 120) == []


def test_speech_ends_below_a_lower_probability_than_it_begins_at():
    found = speaking(np.array([0.4, 0.6, 0.4, 0.3, 0.4], dtype=np.float32))
    assert found.tolist() == [False, True, True, False, False]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=3000), st.floats(5, 20), st.floats(1, 20))
def test_pieces_cover_everything_once_and_have_the_lengths_that_were_asked_for(
    values: list[float], min_s: float, more_s: float
):
    probabilities = np.repeat(np.array(values, dtype=np.float32), 5)
    duration_s = len(probabilities) * STEP_S - 0.01
    found = pieces_of(probabilities, duration_s, min_s, min_s + more_s)
    assert found[0].start_s == 0
    assert found[-1].stop_s == pytest.approx(duration_s, abs=1e-5)
    for one, other in itertools.pairwise(found):
        assert one.stop_s == other.start_s
        assert min_s - STEP_S <= one.stop_s - one.start_s <= min_s + more_s + STEP_S
    assert all(piece.speech_s <= piece.stop_s - piece.start_s + STEP_S for piece in found)
