"""The job ``transcribe``, worked on stt-workers: from a piece of audio to what is said in it."""

import asyncio
import time
from typing import Any

import msgspec
import structlog

from airnode.bus.jobs.control import JobControl
from airnode.bus.jobs.errors import JobCancelled, PermanentError
from airnode.bus.jobs.records import JobRecord
from airnode.errors import AirnodeError, InvalidInput, NotFound, Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.tasks import TaskScope
from airnode.speech.engines.engine import Engine, EngineOptions, OnSegment
from airnode.speech.service.fairness import Turns
from airnode.speech.service.piece_source import MASTER_PATIENCE_S, PieceJob, PieceSource
from airnode.speech.service.progress import FoundLanguage, PieceProgress, ProgressBoard
from airnode.speech.service.speed import SpeedBook
from airnode.speech.words import SpokenSegment, Transcription

log = structlog.get_logger(__name__)

#: A language with this probability is taken for the whole upload.
_SURE = 0.5
#: Shortest time between two reports of progress of a piece.
_REPORT_S = 0.5


class TranscribingJob:
    """The handler."""

    def __init__(
        self,
        engine: Engine,
        source: PieceSource,
        board: ProgressBoard,
        turns: Turns,
        speed: SpeedBook,
    ) -> None:
        self._engine = engine
        self._source = source
        self._board = board
        self._turns = turns
        self._speed = speed

    async def __call__(self, job: JobRecord, control: JobControl) -> Any:
        """Return a :class:`Transcription` as JSON; its times are from the start of the piece."""
        piece = msgspec.convert(job.data, PieceJob)
        try:
            await self._turns.begin(job.queue, job.priority)
            found = await self._transcribed(piece, control)
        except (JobCancelled, asyncio.CancelledError):
            raise
        except AirnodeError as error:
            is_last = isinstance(error, InvalidInput | NotFound) or job.attempts_made + 1 >= job.attempts
            await self._say(piece, PieceProgress("failed" if is_last else "active"))
            if isinstance(error, InvalidInput | NotFound):
                raise PermanentError(error.detail or error.title, debug=error.debug) from error
            raise
        await self._say(piece, PieceProgress("done", 1.0, found.text))
        return msgspec.to_builtins(found)

    async def _transcribed(self, piece: PieceJob, control: JobControl) -> Transcription:
        pcm = await self._read(piece, control)
        await self._say(piece, PieceProgress("active"))
        language = await self._language(piece, pcm)
        options = msgspec.structs.replace(piece.options, language=language.code)
        report = _Report(self, piece, control)
        begun_s = time.monotonic()
        reports = TaskScope("piece-progress")
        try:
            reports.spawn("tell", report.run())
            work = reports.spawn("work", self._heard(pcm, options, report.add))
            cancelled = reports.spawn("cancelled", control.cancelled.wait())
            await asyncio.wait([work, cancelled], return_when=asyncio.FIRST_COMPLETED)
            control.raise_if_cancelled()
            found = await work
        finally:
            await reports.aclose()
        if isinstance(found, AirnodeError):
            raise found
        audio_s = piece.stop_s - piece.start_s
        if found.has_speech:  # silence costs nothing, and teaches nothing
            await self._speed.add(audio_s, time.monotonic() - begun_s)
        return msgspec.structs.replace(
            found, language_probability=min(found.language_probability, language.probability)
        )

    async def _read(self, piece: PieceJob, control: JobControl) -> bytes:
        """Return the samples of a piece; a master that is restarted is waited for."""
        backoff, until_s = Backoff(0.2, 5.0), time.monotonic() + MASTER_PATIENCE_S
        while True:
            control.raise_if_cancelled()
            try:
                return await self._source.read(piece)
            except Unavailable:
                if time.monotonic() > until_s:
                    raise
            await backoff.pause()

    async def _language(self, piece: PieceJob, pcm: bytes) -> FoundLanguage:
        """Return the language of the whole upload: what was asked for, or what the first piece detected.

        The code is empty if no piece is sure yet; then the engine decides about this one alone.
        """
        if piece.options.language:
            return FoundLanguage(piece.options.language, 1.0)
        known = await self._board.language(piece.transcript)
        if known is not None:
            return known
        code, probability = await self._engine.detect_language(pcm, piece.options.languages)
        if not code or probability < _SURE:
            return FoundLanguage("", 1.0)
        return await self._board.settle_language(piece.transcript, FoundLanguage(code, probability))

    async def _heard(self, pcm: bytes, options: EngineOptions, add: OnSegment) -> Transcription | AirnodeError:
        """Return what the engine hears, or its error: a task that fails would be logged as a bug."""
        try:
            return await self._engine.transcribe(pcm, options, add)
        except AirnodeError as error:
            return error

    async def _say(self, piece: PieceJob, progress: PieceProgress) -> None:
        try:
            await self._board.write(piece.transcript, piece.index, progress)
        except Unavailable as error:  # only for showing; the job's own record fails or not by itself
            log.debug("piece_progress_not_written", error=error.detail)

    async def tell(self, piece: PieceJob, control: JobControl, progress: PieceProgress) -> None:
        """Write the progress of a piece, for people and in its job."""
        await self._say(piece, progress)
        await control.progress(round(progress.fraction * 100))


class _Report:
    """What has been heard of a piece, told now and then."""

    def __init__(self, job: TranscribingJob, piece: PieceJob, control: JobControl) -> None:
        self._job = job
        self._piece = piece
        self._control = control
        self._segments: list[SpokenSegment] = []
        self._new = asyncio.Event()

    def add(self, segment: SpokenSegment) -> None:
        """Take a segment from the engine."""
        self._segments.append(segment)
        self._new.set()

    async def run(self) -> None:
        """Tell what is new, until cancelled."""
        length_s = max(0.001, self._piece.stop_s - self._piece.start_s)
        while True:
            await self._new.wait()
            self._new.clear()
            fraction = min(1.0, self._segments[-1].end_s / length_s)
            text = " ".join(segment.text for segment in self._segments)
            try:
                await self._job.tell(self._piece, self._control, PieceProgress("active", fraction, text))
            except JobCancelled:
                return
            except AirnodeError as error:
                log.debug("piece_progress_not_told", error=error.detail)
            await asyncio.sleep(_REPORT_S)
