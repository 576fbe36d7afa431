"""Cuts long audio where nobody speaks. Runs in a media child: it takes seconds of processor time."""

from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from airnode.speech.audio import SAMPLE_RATE
from airnode.speech.media.messages import Cuts, Piece
from airnode.speech.vad import STEP_S, STEP_SAMPLES, SpeechDetector, speaking

#: Samples that are read at once: one minute.
_BLOCK_SAMPLES: Final = 1875 * STEP_SAMPLES
#: Where there is no silence, the cut is at the least likely speech over so many steps.
_SMOOTHED_STEPS: Final = 5


def cuts(source: BinaryIO, detector: SpeechDetector, min_s: float, max_s: float) -> Cuts:
    """Return the pieces of audio (s16le, 16 kHz, mono), of ``min_s`` to ``max_s``, the last perhaps shorter."""
    found, samples = [np.zeros(0, dtype=np.float32)], 0
    while block := source.read(_BLOCK_SAMPLES * 2):
        part = np.frombuffer(block[: len(block) // 2 * 2], dtype="<i2")
        samples += len(part)
        padded = np.pad(part, (0, -len(part) % STEP_SAMPLES))
        found.append(detector.probabilities(padded))
    return Cuts(tuple(pieces_of(np.concatenate(found), samples / SAMPLE_RATE, min_s, max_s)))


def pieces_of(probabilities: NDArray[np.float32], duration_s: float, min_s: float, max_s: float) -> list[Piece]:
    """Return the pieces, from the probability of speech in each step."""
    if not duration_s:
        return []
    speech = speaking(probabilities)
    starts_s = [0.0]
    while duration_s - starts_s[-1] > max_s:
        starts_s.append(_cut_s(probabilities, speech, starts_s[-1] + min_s, starts_s[-1] + max_s))
    result = []
    for index, (start_s, stop_s) in enumerate(zip(starts_s, [*starts_s[1:], duration_s], strict=True)):
        steps = speech[round(start_s / STEP_S) : round(stop_s / STEP_S)]
        speech_s = round(float(np.count_nonzero(steps)) * STEP_S, 3)
        result.append(Piece(index, round(start_s, 6), round(stop_s, 6), speech_s))
    return result


def _cut_s(probabilities: NDArray[np.float32], speech: NDArray[np.bool_], earliest_s: float, latest_s: float) -> float:
    """Return the middle of the longest silence between two times; without one, the least likely speech."""
    first, last = round(earliest_s / STEP_S), int(latest_s / STEP_S)
    silent = np.concatenate([[False], ~speech[first:last], [False]])
    edges = np.flatnonzero(silent[1:] != silent[:-1])
    begins, ends = edges[::2], edges[1::2]
    if len(begins):
        longest = int(np.argmax(ends - begins))
        middle = (int(begins[longest]) + int(ends[longest])) / 2
        return round(first + middle) * STEP_S
    weights = np.full(_SMOOTHED_STEPS, 1 / _SMOOTHED_STEPS)
    smoothed = np.convolve(probabilities[first:last], weights, mode="valid")
    return (first + int(np.argmin(smoothed)) + _SMOOTHED_STEPS // 2) * STEP_S
