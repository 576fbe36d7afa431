"""The job ``merge``, worked on masters: from the pieces' results to the transcript, once."""

from typing import Any

import asyncpg
import msgspec
import structlog

from airnode.bus.jobs.control import JobControl
from airnode.bus.jobs.records import ChildResult, JobRecord
from airnode.errors import Unavailable
from airnode.speech.media.messages import Piece
from airnode.speech.merging import merged
from airnode.speech.service.records import Transcripts, TranscriptState
from airnode.speech.service.submissions import Submissions
from airnode.speech.words import Transcription

log = structlog.get_logger(__name__)


class MergeData(msgspec.Struct, frozen=True):
    """The data of a job ``merge``."""

    transcript: str
    pieces: tuple[Piece, ...]


class MergingJob:
    """The handler."""

    def __init__(self, transcripts: Transcripts, submissions: Submissions) -> None:
        self._transcripts = transcripts
        self._submissions = submissions

    async def __call__(self, job: JobRecord, control: JobControl) -> Any:
        """Merge the pieces of a transcript; those that failed become gaps. Repeating it changes nothing.

        Raises:
            Unavailable: the database does not answer; another attempt may work.
        """
        data = msgspec.convert(job.data, MergeData)
        done, failed = sorted_out(await control.children_results())
        done |= {each.index: _silence(each) for each in data.pieces if each.speech_s == 0}
        result = merged(data.pieces, done, failed)
        missing = len(data.pieces) - len(done)
        state = TranscriptState.COMPLETED
        if not done:
            state = TranscriptState.FAILED
            stored = await self._transcripts.end(data.transcript, state, "transcription_failed")
        else:
            stored = await self._stored(data.transcript, result, missing)
        if stored:
            if missing:
                log.warning("transcript_has_gaps", transcript=data.transcript, pieces=missing, reasons=failed)
            await self._submissions.ended(data.transcript, state)
        return {"segments": len(result.segments), "failed": missing}

    async def _stored(self, transcript_id: str, result: Transcription, missing: int) -> bool:
        try:
            return await self._transcripts.complete(transcript_id, result, missing)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Unavailable("The transcript cannot be stored now.", debug=repr(error)) from error


def _silence(piece: Piece) -> Transcription:
    """Return the result of a piece in which nobody speaks: no worker has seen it."""
    return Transcription("", 0.0, piece.stop_s - piece.start_s)


def sorted_out(children: list[ChildResult]) -> tuple[dict[int, Transcription], dict[int, str]]:
    """Return what was heard and why not, {index of the piece: …}; ids of the jobs end with the index."""
    done: dict[int, Transcription] = {}
    failed: dict[int, str] = {}
    for child in children:
        index = int(child.ref.id.rpartition("-")[2])
        if child.failed_reason:
            failed[index] = child.failed_reason
        else:
            done[index] = msgspec.convert(child.result, Transcription)
    return done, failed
