"""faster-whisper, as the engine's process uses it. Blocking; several threads may use one :class:`Whisper`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from airnode.speech.audio import SAMPLE_RATE
from airnode.speech.engines.engine import EngineOptions
from airnode.speech.engines.guards import MAX_COMPRESSION, Verdict, believable, in_order, sentences, verdict
from airnode.speech.engines.local_messages import EngineSetup
from airnode.speech.errors import UnknownLanguage
from airnode.speech.words import SpokenSegment, Word, moved_segment

#: A language is detected in the first so many seconds of speech.
_DETECTED_S: Final = 30
#: What is tried again gets so much sound around it.
_MARGIN_S: Final = 0.3
#: Where the first try has no words for so long, and somebody speaks for so long, it is tried again.
_LOST_S: Final = 1.0
_SURE_LOG_PROBABILITY: Final = -0.7
#: How Whisper tries again where it is not sure: more and more at random.
_FALLBACK: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

Samples = NDArray[np.float32]


class Whisper:
    """A loaded model.

    Args:
        directory: of the model.

    Attributes:
        device, compute_type: chosen by what is there, unless they were given.
    """

    def __init__(self, directory: str, setup: EngineSetup) -> None:
        import ctranslate2
        from faster_whisper import WhisperModel

        self.device = setup.device
        if setup.device == "auto":
            self.device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        self.compute_type = setup.compute_type
        if setup.compute_type == "auto":
            fast = "float16" if self.device == "cuda" else "int8"
            possible = ctranslate2.get_supported_compute_types(self.device)
            self.compute_type = fast if fast in possible else "float32"
        self._beam_size, self._batch_size = setup.beam_size, setup.batch_size
        self._model: Any = WhisperModel(
            directory,
            device=self.device,
            compute_type=self.compute_type,
            cpu_threads=setup.threads,
            num_workers=setup.concurrency,
            local_files_only=True,
        )

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the codes of the languages that the model knows."""
        return tuple(self._model.supported_languages)

    def checked(self, language: str) -> str:
        """Return the language. Raises UnknownLanguage: the model does not know it."""
        if language and language not in self.languages:
            raise UnknownLanguage(f"The model does not know the language {language!r}.")
        return language

    def detect(self, audio: Samples, languages: Sequence[str]) -> tuple[str, float]:
        """Return the most likely language, of these if any are given, and its probability; ``("", 0.0)``: no speech."""
        known = self.languages
        speech = _speech(audio, _DETECTED_S)
        if not speech.size:
            return "", 0.0
        if len(known) == 1:
            return known[0], 1.0
        _, _, found = self._model.detect_language(audio=speech)
        wanted = [language for language in languages if language in known]
        best = max(((name, p) for name, p in found if not wanted or name in wanted), key=lambda each: each[1])
        return best[0], float(best[1])

    def transcribe(
        self, audio: Samples, options: EngineOptions, language: str, is_cancelled: Callable[[], bool]
    ) -> Iterator[SpokenSegment]:
        """Yield what is said, sentence by sentence. It ends early once ``is_cancelled``.

        Args:
            language: one that the model knows.
        """
        for sentence in in_order(self._spoken(audio, options, language, is_cancelled)):
            yield sentence if options.word_times else msgspec.structs.replace(sentence, words=())

    def _spoken(
        self, audio: Samples, options: EngineOptions, language: str, is_cancelled: Callable[[], bool]
    ) -> Iterator[SpokenSegment]:
        reached_s = 0.0
        for segment in self._first_try(audio, options, language):
            if is_cancelled():
                return
            judged = verdict(segment)
            for sentence in self._sentences(segment, judged, audio, options, language):
                yield from self._lost(reached_s, sentence.start_s, audio, options, language)
                yield sentence
                reached_s = max(reached_s, sentence.end_s)
            if judged is not Verdict.KEEP:
                reached_s = max(reached_s, segment.end_s)  # there is nothing more to get
        if not is_cancelled():
            yield from self._lost(reached_s, len(audio) / SAMPLE_RATE, audio, options, language)

    def _sentences(
        self, segment: SpokenSegment, judged: Verdict, audio: Samples, options: EngineOptions, language: str
    ) -> Iterator[SpokenSegment]:
        match judged:
            case Verdict.KEEP:
                yield from sentences(segment)
            case Verdict.DOUBT:
                for again in self._second_try(segment.start_s, segment.end_s, audio, options, language):
                    yield from sentences(again)

    def _lost(
        self, from_s: float, to_s: float, audio: Samples, options: EngineOptions, language: str
    ) -> Iterator[SpokenSegment]:
        """Yield what is said between two times where the first try has no words; mostly nobody speaks there.

        The batched mode leaves out what resembles the text before, such as a sentence that is said twice.
        """
        if to_s - from_s < _LOST_S:
            return
        part = audio[int(from_s * SAMPLE_RATE) : int(to_s * SAMPLE_RATE)]
        if _speech(part, _LOST_S).size < _LOST_S * SAMPLE_RATE:
            return
        for found in self._second_try(from_s, to_s, audio, options, language, is_lost=True):
            if found.log_probability > _SURE_LOG_PROBABILITY:
                yield from sentences(found)

    def _first_try(self, audio: Samples, options: EngineOptions, language: str) -> Iterator[SpokenSegment]:
        """Yield segments of up to 30 s: several go through the model together, without the silence between them."""
        from faster_whisper import BatchedInferencePipeline

        found, _ = BatchedInferencePipeline(self._model).transcribe(
            audio,
            language=language,
            task=options.task,
            beam_size=options.beam_size or self._beam_size,
            batch_size=self._batch_size,
            temperature=options.temperature,
            initial_prompt=options.prompt or None,
            word_timestamps=True,
            vad_filter=True,
        )
        return map(_segment, found)

    def _second_try(
        self,
        begin_s: float,
        end_s: float,
        audio: Samples,
        options: EngineOptions,
        language: str,
        *,
        is_lost: bool = False,
    ) -> Iterator[SpokenSegment]:
        """Yield what is said there when each window is tried alone, without the prompt.

        Args:
            is_lost: the first try has nothing here: once, and repetitions are right. Else at rising temperatures.
        """
        margin_s = 0.0 if is_lost else _MARGIN_S
        from_s = max(0.0, begin_s - margin_s)
        part = audio[int(from_s * SAMPLE_RATE) : int((end_s + margin_s) * SAMPLE_RATE)]
        found, _ = self._model.transcribe(
            part,
            language=language,
            task=options.task,
            beam_size=options.beam_size or self._beam_size,
            temperature=[0.0] if is_lost else [each for each in _FALLBACK if each >= options.temperature] or [1.0],
            compression_ratio_threshold=None if is_lost else MAX_COMPRESSION,
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=True,
        )
        for again in map(_segment, found):
            if believable(again):
                yield moved_segment(again, from_s)


def _speech(audio: Samples, at_most_s: float) -> Samples:
    """Return the first seconds in which somebody speaks, without the silence between them."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    most, found, size = int(at_most_s * SAMPLE_RATE), [], 0
    block = most * 4
    for begin in range(0, len(audio), block):
        part = audio[begin : begin + block]
        for stretch in get_speech_timestamps(part, VadOptions(min_silence_duration_ms=500)):
            found.append(part[stretch["start"] : stretch["end"]])
            size += len(found[-1])
        if size >= most:
            break
    return np.concatenate(found)[:most] if found else np.zeros(0, dtype=np.float32)


def _segment(found: Any) -> SpokenSegment:
    words = tuple(
        Word(word.word, round(float(word.start), 3), round(float(word.end), 3), round(float(word.probability), 4))
        for word in found.words or ()
    )
    return SpokenSegment(
        found.text.strip(),
        words[0].start_s if words else float(found.start),
        words[-1].end_s if words else float(found.end),
        words,
        round(float(found.avg_logprob), 4),
        round(float(found.no_speech_prob), 4),
        round(float(found.compression_ratio), 3),
        float(found.temperature or 0.0),
    )
