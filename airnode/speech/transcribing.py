"""One media file to its transcription, on this machine: decoded, cut, transcribed in parallel, merged."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from airnode.config.sections.speech import SpeechSection
from airnode.kernel.tasks import TaskScope
from airnode.speech.audio import byte_offset
from airnode.speech.engines.engine import Engine, EngineOptions
from airnode.speech.errors import EngineFailed, ModelMissing, SpeechMissing, SpeechUnavailable
from airnode.speech.media.files import decode, pieces
from airnode.speech.media.limits import MediaLimits
from airnode.speech.media.messages import Piece
from airnode.speech.merging import merged
from airnode.speech.words import SpokenSegment, Transcription

#: A language is believed at once at this probability; else further pieces are asked.
_SURE: Final = 0.5
_ASKED_PIECES: Final = 3

#: Called with the share of the audio that is transcribed, 0 to 1.
OnProgress = Callable[[float], None]


@dataclass(slots=True)
class _Progress:
    """How far each piece is; the sum is reported, and never goes back."""

    total_s: float
    report: OnProgress
    reached_s: dict[int, float]
    last: float = 0.0

    def reach(self, piece: Piece, at_s: float) -> None:
        self.reached_s[piece.index] = min(at_s, piece.stop_s - piece.start_s)
        share = sum(self.reached_s.values()) / self.total_s
        if share > self.last:
            self.last = min(share, 1.0)
            self.report(self.last)


class FileTranscriber:
    """Transcribes files with an engine. The samples of a file lie in a temporary file meanwhile.

    Args:
        work_dir: where the samples are; None: the system's directory for temporary files.
    """

    def __init__(self, section: SpeechSection, engine: Engine, work_dir: Path | None = None) -> None:
        self._section, self._engine, self._work_dir = section, engine, work_dir
        self._limits = MediaLimits.of(section)

    async def transcribe(
        self, path: Path, options: EngineOptions, on_progress: OnProgress | None = None
    ) -> Transcription:
        """Return what is said in a file. A piece that the engine cannot transcribe becomes a gap.

        Raises:
            InvalidInput, AudioTooLong: the file or the language is wrong; the classes of airnode.speech.errors.
            SpeechUnavailable: the engine cannot work, or failed for all pieces.
            OSError: the file cannot be read, or there is no space for its samples.
        """
        with tempfile.TemporaryDirectory(prefix="airnode-transcribe-", dir=self._work_dir) as folder:
            pcm = Path(folder) / "samples"
            await decode(path, pcm, self._limits)
            return await self.transcribe_samples(pcm, options, on_progress)

    async def transcribe_samples(
        self, pcm: Path, options: EngineOptions, on_progress: OnProgress | None = None
    ) -> Transcription:
        """Return what is said in a file of samples (s16le, 16 kHz, mono)."""
        found = await pieces(pcm, self._section.piece_min_s, self._section.piece_max_s, self._limits)
        progress = _Progress(found[-1].stop_s, on_progress or (lambda _: None), {})
        spoken = [piece for piece in found if piece.speech_s > 0]
        given = options.language
        if not given:
            language, probability = await self.language_of(pcm, spoken, options.languages)
            options = msgspec.structs.replace(options, language=language)
        else:
            probability = 1.0
        done, failed = await self._all_pieces(pcm, found, options, progress)
        if spoken and len(failed) == len(spoken):
            raise EngineFailed(next(iter(failed.values())))
        whole = merged(found, done, failed)
        return (
            whole if given or not whole.language else msgspec.structs.replace(whole, language_probability=probability)
        )

    async def language_of(self, pcm: Path, spoken: Sequence[Piece], languages: tuple[str, ...]) -> tuple[str, float]:
        """Return the language of the first piece that is sure of it, else the likeliest; ``("", 0.0)``: no speech."""
        best = ("", 0.0)
        for piece in spoken[:_ASKED_PIECES]:
            found = await self._engine.detect_language(await read_piece(pcm, piece), languages)
            best = max(best, found, key=lambda each: each[1])
            if best[1] >= _SURE:
                break
        return best

    async def _all_pieces(
        self, pcm: Path, found: Sequence[Piece], options: EngineOptions, progress: _Progress
    ) -> tuple[dict[int, Transcription], dict[int, str]]:
        done: dict[int, Transcription] = {}
        failed: dict[int, str] = {}

        # So that not all the samples of a long file are in memory.
        ahead = asyncio.Semaphore(self._engine.describe().concurrency + 1)

        async def one(piece: Piece) -> None:
            try:
                async with ahead:
                    done[piece.index] = await self._piece(pcm, piece, options, progress)
            except (ModelMissing, SpeechMissing):
                raise
            except SpeechUnavailable as error:
                failed[piece.index] = str(error)
            progress.reach(piece, piece.stop_s)

        tasks = TaskScope("transcribe")
        try:
            await asyncio.gather(*(tasks.spawn(f"piece-{piece.index}", one(piece)) for piece in found))
        finally:
            await tasks.aclose()
        return done, failed

    async def _piece(self, pcm: Path, piece: Piece, options: EngineOptions, progress: _Progress) -> Transcription:
        if piece.speech_s <= 0:
            return Transcription("", 0.0, piece.stop_s - piece.start_s)

        def seen(segment: SpokenSegment) -> None:
            progress.reach(piece, segment.end_s)

        return await self._engine.transcribe(await read_piece(pcm, piece), options, seen)


async def read_piece(pcm: Path, piece: Piece) -> bytes:
    """Return the samples of a piece."""
    return await asyncio.to_thread(_read, pcm, byte_offset(piece.start_s), byte_offset(piece.stop_s))


def _read(pcm: Path, begin: int, end: int) -> bytes:
    with pcm.open("rb") as file:
        file.seek(begin)
        return file.read(end - begin)
