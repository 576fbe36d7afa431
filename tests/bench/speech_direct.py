"""faster-whisper alone, in a process of its own: ``python -m tests.bench.speech_direct FILE MODEL HOW LANGUAGE``.

HOW: ``whole`` is one call as its README shows it, with the silence left out; ``batched`` is one call of its batched
mode; ``parallel`` is the batched mode on the file's parts between silences, two at once with one thread each: what we
do, without anything around it. The time includes reading the file, but not loading the model. Prints JSON.
"""

import itertools
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel, decode_audio
from faster_whisper.vad import VadOptions, get_speech_timestamps

from tests.bench.meters import peak_rss_bytes

RATE = 16_000
WORKERS = 2


def main(path: str, model_dir: str, how: str, language: str) -> None:
    workers = WORKERS if how == "parallel" else 1
    threads = 1 if how == "parallel" else WORKERS
    model = WhisperModel(model_dir, device="cpu", compute_type="int8", cpu_threads=threads, num_workers=workers)
    list(transcribed(model, "batched", decode_audio(path)[: 5 * RATE], language))  # the first call is slower
    began_s, cpu_s = time.monotonic(), time.process_time()
    audio = decode_audio(path)
    if how == "parallel":
        with ThreadPoolExecutor(workers) as pool:
            texts = list(pool.map(lambda part: list(transcribed(model, "batched", part, language)), parts(audio)))
        text = " ".join(itertools.chain.from_iterable(texts))
    else:
        text = " ".join(transcribed(model, how, audio, language))
    found = {"text": text, "seconds": time.monotonic() - began_s, "cpu_s": time.process_time() - cpu_s}
    print(json.dumps({**found, "rss_bytes": peak_rss_bytes()}))


def transcribed(model: Any, how: str, audio: np.ndarray, language: str) -> Any:
    common = {"language": language, "beam_size": 5, "word_timestamps": True, "vad_filter": True}
    if how == "whole":
        found, _ = model.transcribe(audio, **common)
    else:
        found, _ = BatchedInferencePipeline(model).transcribe(audio, batch_size=8, **common)
    return (segment.text for segment in found)


def parts(audio: np.ndarray) -> list[np.ndarray]:
    """Cut at the longest silence after 90 to 120 s."""
    speech = get_speech_timestamps(audio, VadOptions(min_silence_duration_ms=160, speech_pad_ms=0))
    gaps = [(one["end"], other["start"]) for one, other in itertools.pairwise(speech)]
    cuts = [0]
    while len(audio) - cuts[-1] > 120 * RATE:
        here = [gap for gap in gaps if cuts[-1] + 90 * RATE <= sum(gap) // 2 <= cuts[-1] + 120 * RATE]
        best = max(here, key=lambda gap: gap[1] - gap[0], default=None)
        cuts.append(sum(best) // 2 if best else cuts[-1] + 120 * RATE)
    return [audio[begin:end] for begin, end in itertools.pairwise([*cuts, len(audio)])]


if __name__ == "__main__":
    main(*sys.argv[1:])
