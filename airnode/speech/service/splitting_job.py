"""The job ``split``, worked on masters: from an upload to pieces of audio, each a job of its own."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from airnode.bus.jobs.control import JobControl
from airnode.bus.jobs.errors import PermanentError
from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.records import JobOptions, JobRecord, JobSpec
from airnode.config.sections.speech import SpeechSection
from airnode.errors import AirnodeError, InvalidInput, NotFound, TooLarge, Unavailable
from airnode.speech.audio import duration_s
from airnode.speech.media.files import decode, pieces
from airnode.speech.media.limits import MediaLimits
from airnode.speech.media.messages import Piece
from airnode.speech.service.fairness import Turns
from airnode.speech.service.merging_job import MergeData
from airnode.speech.service.piece_source import MASTER_PATIENCE_S, PieceJob, PieceSource
from airnode.speech.service.progress import ProgressBoard
from airnode.speech.service.queue_names import MASTER_ATTEMPTS, SPLITS, merge_id
from airnode.speech.service.records import TranscriptRecord, Transcripts, TranscriptState
from airnode.speech.service.refusals import UploadStoreFull
from airnode.speech.service.submissions import Submissions
from airnode.speech.service.upload_files import UploadFiles
from airnode.store.files.disk import is_full

log = structlog.get_logger(__name__)

#: A worker that fetches a piece needs this long at most besides the engine.
_FETCH_S = MASTER_PATIENCE_S + 60.0


class SplittingJob:
    """The handler.

    Args:
        urls: returns the base URLs of this master, for workers on other machines.
        source: fetches uploads of other masters.
    """

    def __init__(
        self,
        *,
        transcripts: Transcripts,
        submissions: Submissions,
        files: UploadFiles,
        source: PieceSource,
        jobs: Jobs,
        turns: Turns,
        board: ProgressBoard,
        section: SpeechSection,
        node_id: str,
        urls: Callable[[], Sequence[str]],
    ) -> None:
        self._transcripts = transcripts
        self._submissions = submissions
        self._files = files
        self._source = source
        self._jobs = jobs
        self._turns = turns
        self._board = board
        self._section = section
        self._node_id = node_id
        self._urls = urls

    async def __call__(self, job: JobRecord, control: JobControl) -> Any:
        """Cut an upload. Attempts may repeat it: what is there already is not made again."""
        transcript_id = str(job.data["transcript"])
        await self._turns.begin(SPLITS, job.priority)
        record = await self._transcripts.get(transcript_id)
        if record is None or record.state.is_final or await self._has_pieces(transcript_id):
            return {"pieces": 0}
        try:
            return {"pieces": await self._split(record, tuple(job.data.get("urls", ())), control)}
        except (InvalidInput, TooLarge, NotFound) as error:
            await self._fail(transcript_id, error)
            raise PermanentError(error.detail or error.title, debug=error.debug) from error
        except (AirnodeError, OSError) as error:
            if job.attempts_made + 1 >= job.attempts:
                await self._fail(transcript_id, error if isinstance(error, AirnodeError) else _disk_error(error))
            raise

    async def _split(self, record: TranscriptRecord, urls: Sequence[str], control: JobControl) -> int:
        transcript_id = record.transcript_id
        limits = MediaLimits.of(self._section)
        pcm = self._files.pcm(transcript_id)
        await asyncio.to_thread(self._files.require_space)
        await decode(await self._upload(record, urls), pcm, limits)
        await control.progress(50)
        control.raise_if_cancelled()
        found = await pieces(pcm, self._section.piece_min_s, self._section.piece_max_s, limits)
        size_bytes = (await asyncio.to_thread(pcm.stat)).st_size
        if not await self._transcripts.cut(transcript_id, len(found), duration_s(size_bytes)):
            await asyncio.to_thread(self._files.discard, transcript_id)
            return 0
        await self._enqueue(record, found)
        await self._board.announce(transcript_id)
        return len(found)

    async def _upload(self, record: TranscriptRecord, urls: Sequence[str]) -> Path:
        """Return the file of an upload; that of another master is fetched."""
        path = self._files.upload(record.transcript_id)
        if await asyncio.to_thread(path.is_file):
            return path
        if record.node_id == self._node_id:
            raise NotFound("The upload of this transcript is gone.")
        partial = await asyncio.to_thread(self._files.begin_copy, record.transcript_id)
        await self._source.copy_upload(record.transcript_id, urls, partial)
        return await asyncio.to_thread(partial.rename, path)

    async def _enqueue(self, record: TranscriptRecord, found: Sequence[Piece]) -> None:
        spoken = [piece for piece in found if piece.speech_s > 0]
        turns = await self._submissions.turns(record.queue, record.owner, len(spoken))
        children = [
            JobSpec(
                record.queue,
                "transcribe",
                msgspec.to_builtins(self._piece(record, piece)),
                f"{record.transcript_id}-{piece.index}",
                JobOptions(priority=turn, timeout_s=self._section.piece_timeout_s + _FETCH_S),
            )
            for piece, turn in zip(spoken, turns, strict=True)
        ]
        data = msgspec.to_builtins(MergeData(record.transcript_id, tuple(found)))
        options = JobOptions(attempts=MASTER_ATTEMPTS, timeout_s=300)
        parent = JobSpec(SPLITS, "merge", data, merge_id(record.transcript_id), options)
        await self._jobs.enqueue_flow(parent, children)

    def _piece(self, record: TranscriptRecord, piece: Piece) -> PieceJob:
        return PieceJob(
            record.transcript_id,
            piece.index,
            piece.start_s,
            piece.stop_s,
            self._node_id,
            tuple(self._urls()),
            record.options,
        )

    async def _has_pieces(self, transcript_id: str) -> bool:
        return await self._jobs.get(SPLITS, merge_id(transcript_id)) is not None

    async def _fail(self, transcript_id: str, error: AirnodeError) -> None:
        log.warning("transcript_failed", transcript=transcript_id, code=error.code, error=error.detail)
        if await self._transcripts.end(transcript_id, TranscriptState.FAILED, error.code):
            await self._submissions.ended(transcript_id, TranscriptState.FAILED)


def _disk_error(error: OSError) -> AirnodeError:
    if is_full(error):
        return UploadStoreFull(f"The disk for uploads is full: {error}.")
    return Unavailable("The disk for uploads cannot be used.", debug=repr(error))
