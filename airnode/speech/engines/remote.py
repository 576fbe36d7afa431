"""An engine elsewhere: an API that speaks OpenAI's ``POST /audio/transcriptions`` and ``/translations``."""

import asyncio
import io
import wave
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from airnode.config.sections.speech import SpeechSection
from airnode.kernel.service import Service
from airnode.speech.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, duration_s
from airnode.speech.engines.engine import EngineOptions, EngineState, OnSegment
from airnode.speech.engines.guards import Verdict, compression_ratio, verdict
from airnode.speech.errors import EngineFailed, SpeechUnavailable, UnknownLanguage
from airnode.speech.formats import LANGUAGE_NAMES
from airnode.speech.words import SpokenSegment, Transcription, Word

_MAX_ANSWER_BYTES: Final = 32 << 20
_CONCURRENCY: Final = 4
#: OpenAI's limit of a file: 25 MB, which are 13 minutes of our samples.
_DETECTED_BYTES: Final = 30 * SAMPLE_RATE * BYTES_PER_SAMPLE
_CODES: Final = {name: code for code, name in LANGUAGE_NAMES.items()}


class RemoteSegment(msgspec.Struct):
    """A segment of ``verbose_json``; times in seconds."""

    start: float
    end: float
    text: str
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0
    compression_ratio: float = 1.0
    temperature: float = 0.0


class RemoteWord(msgspec.Struct):
    """A word of ``verbose_json``; times in seconds. Its text has no punctuation."""

    word: str
    start: float
    end: float


class RemoteAnswer(msgspec.Struct):
    """``verbose_json``. An API that only knows ``json`` answers with the text alone."""

    text: str
    language: str = ""
    duration: float = 0.0
    segments: list[RemoteSegment] | None = None
    words: list[RemoteWord] | None = None


class RemoteEngine(Service):
    """Sends audio as WAV to ``speech.remote_url`` and reads ``verbose_json``."""

    name = "speech-remote"

    def __init__(self, section: SpeechSection) -> None:
        super().__init__()
        self._section = section
        self.concurrency = section.max_concurrent_chunks or _CONCURRENCY
        self._slots = asyncio.Semaphore(self.concurrency)
        self._session: aiohttp.ClientSession | None = None
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Return why the last call failed, as a sentence; empty: it did not."""
        return self._trouble

    async def stop(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def transcribe(
        self, pcm: bytes | Path, options: EngineOptions, on_segment: OnSegment | None = None
    ) -> Transcription:
        """See :class:`airnode.speech.engines.engine.Engine`."""
        data = pcm if isinstance(pcm, bytes) else await asyncio.to_thread(pcm.read_bytes)
        async with self._slots:
            try:
                answer = await self._asked(data, options)
            except SpeechUnavailable as error:
                self._trouble = str(error)
                raise
            self._trouble = ""
        segments = tuple(_segments(answer, duration_s(len(data)), options.word_times))
        if on_segment is not None:
            for segment in segments:
                on_segment(segment)
        language = options.language or _CODES.get(answer.language.lower(), answer.language.lower())
        found = language if segments else options.language
        return Transcription(found, 1.0 if found else 0.0, duration_s(len(data)), segments)

    async def detect_language(self, pcm: bytes | Path, languages: tuple[str, ...] = ()) -> tuple[str, float]:
        """See :class:`airnode.speech.engines.engine.Engine`. The first 30 s are transcribed: there is no other way."""
        data = pcm if isinstance(pcm, bytes) else await asyncio.to_thread(_first_bytes, pcm)
        found = await self.transcribe(data[:_DETECTED_BYTES], EngineOptions(languages=languages, word_times=False))
        return found.language, found.language_probability

    def describe(self) -> EngineState:
        """See :class:`airnode.speech.engines.engine.Engine`."""
        return EngineState("remote", self._section.remote_model, is_loaded=True, concurrency=self.concurrency)

    async def _asked(self, data: bytes, options: EngineOptions) -> RemoteAnswer:
        action = "translations" if options.task == "translate" else "transcriptions"
        url = f"{self._section.remote_url.rstrip('/')}/audio/{action}"
        try:
            async with self._opened().post(url, data=self._form(data, options), headers=self._headers()) as response:
                body = await response.content.read(_MAX_ANSWER_BYTES)
                if response.status != 200:
                    raise _refused(response.status, body, options)
                return msgspec.json.decode(body, type=RemoteAnswer)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineFailed("The remote speech engine does not answer.", debug=repr(error)) from error
        except msgspec.DecodeError as error:
            raise EngineFailed("The remote speech engine answered something else.", debug=repr(error)) from error

    def _form(self, data: bytes, options: EngineOptions) -> aiohttp.FormData:
        form = aiohttp.FormData()
        form.add_field("file", _wav(data), filename="audio.wav", content_type="audio/wav")
        form.add_field("model", self._section.remote_model)
        form.add_field("response_format", "verbose_json")
        form.add_field("temperature", f"{options.temperature:g}")
        prompt = options.prompt or self._section.prompt
        if prompt:
            form.add_field("prompt", prompt)
        if options.task == "transcribe":
            if options.language:
                form.add_field("language", options.language)
            form.add_field("timestamp_granularities[]", "segment")
            if options.word_times:
                form.add_field("timestamp_granularities[]", "word")
        return form

    def _headers(self) -> dict[str, str]:
        key = self._section.openai_api_key.get_secret_value()
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._section.remote_timeout_s)
            self._session = aiohttp.ClientSession(timeout=timeout)
        return self._session


def _refused(status: int, body: bytes, options: EngineOptions) -> EngineFailed | UnknownLanguage:
    text = body[:500].decode(errors="replace")
    if status == 400 and "language" in text.lower() and options.language:
        return UnknownLanguage(f"The remote engine does not know the language {options.language!r}.", debug=text)
    hint = "; check speech.openai_api_key" if status in (401, 403) else ""
    return EngineFailed(f"The remote speech engine answered {status}{hint}.", debug=text)


def _segments(answer: RemoteAnswer, length_s: float, word_times: bool) -> list[SpokenSegment]:
    """Return the segments that somebody said, with their words."""
    if answer.segments is None:
        text = answer.text.strip()
        whole = SpokenSegment(text, 0.0, length_s, compression_ratio=compression_ratio(text))
        return [whole] if verdict(whole) is not Verdict.DROP else []
    words = list(answer.words or ()) if word_times else []
    result = []
    for found in answer.segments:
        mine = [word for word in words if found.start <= (word.start + word.end) / 2 < found.end]
        segment = SpokenSegment(
            found.text.strip(),
            round(found.start, 3),
            round(found.end, 3),
            tuple(_spelled(found.text, mine)),
            found.avg_logprob,
            found.no_speech_prob,
            found.compression_ratio,
            found.temperature,
        )
        if verdict(segment) is not Verdict.DROP:
            result.append(segment)
    return result


def _spelled(text: str, words: list[RemoteWord]) -> list[Word]:
    """Return the words with the punctuation and the spaces of the text; nothing if the two do not fit."""
    starts, at = [], 0
    for word in words:
        at = text.find(word.word.strip(), at)
        if at < 0:
            return []
        starts.append(at)
        at += len(word.word.strip())
    # Punctuation and the space before the next word: the space begins the next word.
    cuts = [0, *(start - 1 if text[start - 1 : start].isspace() else start for start in starts[1:]), len(text)]
    return [
        Word(text[begin:end], round(word.start, 3), round(word.end, 3))
        for word, begin, end in zip(words, cuts, cuts[1:], strict=False)
    ]


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_DETECTED_BYTES)


def _wav(data: bytes) -> bytes:
    out: Any = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(BYTES_PER_SAMPLE)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(data)
    return bytes(out.getvalue())
