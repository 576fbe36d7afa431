"""What every engine does."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from airnode.speech.words import SpokenSegment, Transcription

Task = Literal["transcribe", "translate"]
OnSegment = Callable[[SpokenSegment], None]


class EngineOptions(msgspec.Struct, frozen=True):
    """How to transcribe one audio.

    Attributes:
        language: ISO 639 code; empty: the engine detects it.
        languages: where ``language`` is empty, the language is one of these; empty: any.
        prompt: words to expect, such as names and terms.
        temperature: of sampling, 0 to 1; 0: the most likely text.
        word_times: whether the segments get words.
        task: ``translate``: into English.
        beam_size: candidates that decoding follows; 0: as configured.
    """

    language: str = ""
    languages: tuple[str, ...] = ()
    prompt: str = ""
    temperature: float = 0.0
    word_times: bool = True
    task: Task = "transcribe"
    beam_size: int = 0


class EngineState(msgspec.Struct, frozen=True):
    """What an engine is, for diagnosis.

    Attributes:
        name: ``local`` or ``remote``.
        model: its name, or the directory of it.
        device, compute_type: empty where they are not known: remote, or not loaded yet.
        is_loaded: whether the model is in memory; of a remote engine true.
        concurrency: pieces at once.
        memory_bytes: resident memory of its process; 0: there is none.
        versions: {library: version}.
    """

    name: str
    model: str
    device: str = ""
    compute_type: str = ""
    is_loaded: bool = False
    concurrency: int = 1
    memory_bytes: int = 0
    versions: dict[str, str] = {}


class Engine(Protocol):
    """Transcribes audio. Audio is s16le, 16 kHz, mono (:mod:`airnode.speech.audio`), as bytes or a file of them."""

    @property
    def trouble(self) -> str:
        """Return why the last call failed, as a sentence; empty: it did not."""
        ...

    async def transcribe(
        self, pcm: bytes | Path, options: EngineOptions, on_segment: OnSegment | None = None
    ) -> Transcription:
        """Return what is said; nobody speaks: a transcription without segments.

        At most ``EngineState.concurrency`` calls are worked on at once, further ones wait. Cancelling the call ends the
        work after the segments in hand.

        Args:
            pcm: the audio; times in the result start at its first sample.
            on_segment: called with each segment as soon as it is there, in order.

        Raises:
            InvalidInput: the engine does not know the language.
            SpeechUnavailable: the engine cannot work now; trying again may help.
        """
        ...

    async def detect_language(self, pcm: bytes | Path, languages: tuple[str, ...] = ()) -> tuple[str, float]:
        """Return the spoken language and its probability; ``("", 0.0)`` if nobody speaks.

        Args:
            languages: one of these is chosen; empty: any.
        """
        ...

    def describe(self) -> EngineState:
        """Return what this engine is, and whether it is loaded."""
        ...
