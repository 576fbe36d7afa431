"""How far a transcript is, from PostgreSQL, Redis and what workers measured."""

import math
from collections.abc import Mapping

import structlog

from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.records import JobState
from airnode.errors import Unavailable
from airnode.speech.service.api_types import (
    GapView,
    SpeechQueues,
    SpeechQueueView,
    SpeechWorkerView,
    TranscriptLinks,
    TranscriptStatus,
    segment_views,
)
from airnode.speech.service.progress import PieceProgress, ProgressBoard
from airnode.speech.service.queue_names import LONG, SHORT, SPLITS
from airnode.speech.service.records import TranscriptRecord, Transcripts, TranscriptState
from airnode.speech.service.refusals import TEXTS, Language
from airnode.speech.service.speed import SpeedBook

log = structlog.get_logger(__name__)

_QUEUES = (SPLITS, LONG, SHORT)
#: Of the whole; the rest are the pieces.
_SPLIT_SHARE = 0.05
_MESSAGES: Mapping[TranscriptState, Mapping[Language, str]] = {
    TranscriptState.QUEUED: {"en": "The audio waits to be cut.", "ko": "오디오를 나누기 위해 기다리고 있어요."},
    TranscriptState.PROCESSING: {"en": "The audio is being transcribed.", "ko": "음성을 텍스트로 변환하고 있어요."},
    TranscriptState.COMPLETED: {"en": "The transcript is done.", "ko": "변환이 끝났어요."},
    TranscriptState.FAILED: {"en": "The audio could not be transcribed.", "ko": "음성을 변환하지 못했어요."},
    TranscriptState.CANCELLED: {"en": "The transcript was cancelled.", "ko": "변환을 취소했어요."},
}
_NO_SPEECH: Mapping[Language, str] = {"en": "Nobody speaks in the audio.", "ko": "오디오에서 말소리를 찾지 못했어요."}


class Statuses:
    """Reads statuses. All methods raise Unavailable (503) when the database does not answer.

    Args:
        piece_max_s: longest piece, ``speech.piece_max_s``.
    """

    def __init__(
        self, transcripts: Transcripts, board: ProgressBoard, speed: SpeedBook, jobs: Jobs, piece_max_s: float
    ) -> None:
        self._transcripts = transcripts
        self._board = board
        self._speed = speed
        self._jobs = jobs
        self._piece_max_s = piece_max_s

    async def wait_s(self, record: TranscriptRecord, done: float = 0.0) -> float:
        """Return after how many seconds a transcript is there; ``done`` is the share (0 to 1) that is done."""
        before_s = await self._transcripts.audio_before_s(record.created_at)
        if record.created_at is None:
            before_s -= record.duration_s  # its own row is among those before now
        try:
            speed = await self._speed.read()
            workers = await self._jobs.workers(record.queue)
        except Unavailable as error:
            log.debug("speed_unknown", error=error.detail)
            return 0.0
        left_s = record.duration_s * (1 - done)
        slots = sum(worker.concurrency for worker in workers)
        return speed.wait_s(left_s, max(0.0, before_s), slots, self._piece_max_s)

    async def pieces(self, record: TranscriptRecord) -> Mapping[int, PieceProgress]:
        """Return the progress of its pieces; empty where Redis does not answer."""
        if record.state.is_final:
            return {}
        try:
            return await self._board.read(record.transcript_id)
        except Unavailable as error:
            log.debug("progress_unknown", error=error.detail)
            return {}

    async def status(
        self, record: TranscriptRecord, language: Language, *, with_result: bool = True
    ) -> TranscriptStatus:
        """Return the status, with the transcript if it is completed."""
        progress = await self.pieces(record)
        done = _share(record, progress)
        is_final = record.state.is_final
        counts = [each.state for each in progress.values()]
        failed = record.failed_pieces if is_final else counts.count("failed")
        completed = record.state is TranscriptState.COMPLETED
        found = TranscriptStatus(
            job_id=record.transcript_id,
            status=record.state.value,
            progress=100.0 if completed else round(done * 100, 1),
            total_chunks=record.pieces,
            completed_chunks=record.pieces - failed if completed else counts.count("done"),
            failed_chunks=failed,
            estimated_time_remaining=0.0 if is_final else math.ceil(await self.wait_s(record, done)),
            file_name=record.file_name,
            duration=round(record.duration_s, 3),
            language=record.language or record.options.language,
            message=_MESSAGES[record.state][language],
        )
        if record.state is TranscriptState.FAILED:
            title, sentence = TEXTS.get(record.error_code, TEXTS["transcription_failed"])[language]
            found.error, found.message = title, sentence if "{" not in sentence else found.message
        if completed and with_result:
            await self._add_result(found, record, language)
        return found

    async def queues(self) -> SpeechQueues:
        """Return the queues of transcripts and their workers. Raises Unavailable (503) without Redis, too."""
        states = {state.name: state for state in await self._jobs.queues()}
        workers = {worker.id: worker for name in (LONG, SHORT) for worker in await self._jobs.workers(name)}
        speed = await self._speed.read()

        def view(name: str) -> SpeechQueueView:
            state = states.get(name)
            counts = state.counts if state is not None else {}
            return SpeechQueueView(
                name,
                counts.get(JobState.WAITING, 0),
                counts.get(JobState.ACTIVE, 0),
                counts.get(JobState.DELAYED, 0),
                counts.get(JobState.COMPLETED, 0),
                counts.get(JobState.FAILED, 0),
                state.workers if state is not None else 0,
            )

        return SpeechQueues(
            [view(name) for name in _QUEUES],
            [
                SpeechWorkerView(each.id, each.name, list(each.queues), each.concurrency, each.active, each.version)
                for each in workers.values()
            ],
            round(speed.work_per_audio, 4),
            await self._transcripts.audio_before_s(None),
        )

    async def _add_result(self, found: TranscriptStatus, record: TranscriptRecord, language: Language) -> None:
        result = await self._transcripts.transcription(record)
        found.text = result.text
        found.segments = segment_views(result.segments)
        found.gaps = [GapView(gap.start_s, gap.end_s) for gap in result.gaps]
        path = f"/api/transcripts/{record.transcript_id}"
        found.links = TranscriptLinks(*(f"{path}.{suffix}" for suffix in ("json", "txt", "srt", "vtt")))
        if not result.has_speech and not result.gaps:
            found.message = _NO_SPEECH[language]


def _share(record: TranscriptRecord, progress: Mapping[int, PieceProgress]) -> float:
    """Return the share (0 to 1) of the work that is done."""
    if record.pieces == 0:
        return 0.0
    done = sum(1.0 if each.state in ("done", "failed") else each.fraction for each in progress.values())
    return min(0.99, _SPLIT_SHARE + (1 - _SPLIT_SHARE) * done / record.pieces)
