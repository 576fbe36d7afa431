"""Takes uploads as transcripts, and sees to it that each gets its jobs, whatever ended in between.

The row in PostgreSQL decides. An upload without a row is removed; a row that has not ended and has no job gets one
again. So nothing is lost when this process ends between two steps, or when Redis lost its queues.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Counter

from airnode.bus.jobs.errors import JobNotFound
from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.records import JobOptions, JobSpec, JobState
from airnode.config.sections.speech import SpeechSection
from airnode.errors import AirnodeError, Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.speech.engines.engine import EngineOptions
from airnode.speech.service.callers import Caller, Callers
from airnode.speech.service.fairness import Turns
from airnode.speech.service.progress import ProgressBoard
from airnode.speech.service.queue_names import LONG, MASTER_ATTEMPTS, SHORT, SPLITS, merge_id
from airnode.speech.service.records import TranscriptRecord, Transcripts, TranscriptState
from airnode.speech.service.refusals import TooManyTranscripts, UploadTooLong
from airnode.speech.service.upload_files import UploadFiles
from airnode.speech.service.uploads import Upload

log = structlog.get_logger(__name__)

_REVIEW_EVERY_S = 15.0


class SubmissionMetrics:
    """Counters of transcripts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.taken = Counter("airnode_speech_transcripts_taken_total", "Uploads taken", registry=registry)
        self.audio_s = Counter("airnode_speech_upload_audio_seconds_total", "Audio in uploads taken", registry=registry)
        self.ended = Counter(
            "airnode_speech_transcripts_ended_total", "Transcripts that ended", ["state"], registry=registry
        )
        self.repaired = Counter(
            "airnode_speech_jobs_repaired_total", "Transcripts whose job was missing", registry=registry
        )


class Submissions(Service):
    """Takes uploads, cancels transcripts, and repairs what a crash left behind.

    Args:
        measure: returns the duration of a media file in seconds; raises what is wrong with it.
        node_id: of this master, whose disk has the uploads. urls: returns its base URLs, for other machines.
    """

    name = "transcript-submissions"

    def __init__(
        self,
        *,
        transcripts: Transcripts,
        files: UploadFiles,
        jobs: Jobs,
        turns: Turns,
        board: ProgressBoard,
        callers: Callers,
        measure: Callable[[Path], Awaitable[float]],
        section: SpeechSection,
        node_id: str,
        urls: Callable[[], Sequence[str]],
        metrics: SubmissionMetrics,
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self._transcripts = transcripts
        self._files = files
        self._jobs = jobs
        self._turns = turns
        self._board = board
        self._callers = callers
        self._measure = measure
        self._section = section
        self._node_id = node_id
        self._urls = urls
        self._metrics = metrics
        self._tasks = tasks
        #: Transcripts whose files are here, and whose row or job may not be there yet.
        self._arriving: set[str] = set()

    async def start(self) -> None:
        """Remove uploads that belong to nothing, and go on with those that a crash interrupted."""
        await asyncio.to_thread(self._files.remove_incoming)
        try:
            await self.review()
        except Unavailable as error:
            log.warning("transcripts_not_reviewed", error=error.detail, detail="it is tried again")
        self._tasks.spawn("review", repeat_every(_REVIEW_EVERY_S, self.review, failed="transcripts_not_reviewed"))

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def submit(self, upload: Upload, caller: Caller, options: EngineOptions) -> TranscriptRecord:
        """Take an upload; it is removed if it is refused.

        Raises:
            UploadTooLong: (413) InvalidInput: (400, 415) it is no audio that can be read.
            TooManyTranscripts, DailyMinutesUsed: (429) Unavailable: (503)
        """
        self._arriving.add(upload.transcript_id)
        try:
            try:
                record = await self._taken(upload, caller, options)
            except BaseException:
                await asyncio.shield(asyncio.to_thread(self._files.discard, upload.transcript_id))
                raise
            self._metrics.taken.inc()
            self._metrics.audio_s.inc(record.duration_s)
            await self._enqueue_soon(record)
        finally:
            self._arriving.discard(upload.transcript_id)
        return record

    async def cancel(self, record: TranscriptRecord) -> bool:
        """Cancel a transcript and its jobs; return False if it has ended already. Raises Unavailable."""
        if not await self._transcripts.end(record.transcript_id, TranscriptState.CANCELLED):
            return False
        for job_id in (record.transcript_id, merge_id(record.transcript_id)):
            try:
                await self._jobs.cancel(SPLITS, job_id)
            except JobNotFound:
                continue
        await self.ended(record.transcript_id, TranscriptState.CANCELLED)
        return True

    async def ended(self, transcript_id: str, state: TranscriptState) -> None:
        """Remove the files and the progress of a transcript that has just ended, and tell those who wait for it."""
        self._metrics.ended.labels(state.value).inc()
        await asyncio.to_thread(self._files.discard, transcript_id)
        await self._board.forget(transcript_id)

    async def turns(self, queue: str, owner: str, count: int) -> list[int]:
        """Return the priorities of an owner's next jobs in a queue. Raises Unavailable."""
        waiting = await self._jobs.jobs(queue, (JobState.WAITING, JobState.ACTIVE, JobState.DELAYED), 0, 0)
        return await self._turns.take(queue, owner, count, is_empty=not waiting)

    async def review(self) -> None:
        """Enqueue missing jobs, note failed ones, and remove files of what has ended. Raises Unavailable."""
        for record in await self._transcripts.open_of_node(self._node_id):
            if record.transcript_id not in self._arriving:
                await self._repair(record)
        here = await asyncio.to_thread(self._files.kept) - self._arriving
        for transcript_id in here - await self._transcripts.existing(here):
            await asyncio.to_thread(self._files.discard, transcript_id)

    async def _taken(self, upload: Upload, caller: Caller, options: EngineOptions) -> TranscriptRecord:
        duration_s = await self._measure(upload.path)
        if duration_s > self._section.max_duration_s:
            raise UploadTooLong(duration_s, self._section.max_duration_s)
        if await self._transcripts.open_count(caller.owner) >= self._section.max_open:
            raise TooManyTranscripts("As many transcripts as speech.max_open are not done yet.", retry_after_s=60)
        await self._callers.charge(caller, duration_s)
        try:
            await asyncio.to_thread(self._files.keep, upload.transcript_id)
            record = TranscriptRecord(
                transcript_id=upload.transcript_id,
                owner=caller.owner,
                node_id=self._node_id,
                file_name=upload.name,
                size_bytes=upload.size_bytes,
                duration_s=duration_s,
                options=options,
                queue=SHORT if duration_s < self._section.short_file_s else LONG,
            )
            await self._transcripts.insert(record)
        except (AirnodeError, OSError):
            await self._callers.refund(caller, duration_s)
            raise
        return record

    async def _enqueue_soon(self, record: TranscriptRecord) -> None:
        """Enqueue it, or leave that to the next review."""
        try:
            await self._enqueue(record)
        except Unavailable as error:
            log.warning("transcript_not_enqueued", transcript=record.transcript_id, error=error.detail, detail="later")

    async def _enqueue(self, record: TranscriptRecord) -> None:
        (turn,) = await self.turns(SPLITS, record.owner, 1)
        timeout_s = self._section.decode_timeout_s * 2 + 60
        options = JobOptions(attempts=MASTER_ATTEMPTS, priority=turn, keep_completed=0, timeout_s=timeout_s)
        data = {"transcript": record.transcript_id, "urls": list(self._urls())}
        await self._jobs.enqueue(JobSpec(SPLITS, "split", data, record.transcript_id, options))

    async def _repair(self, record: TranscriptRecord) -> None:
        ids = record.transcript_id, merge_id(record.transcript_id)
        jobs = [await self._jobs.get(SPLITS, job_id) for job_id in ids]
        known = [job for job in jobs if job is not None]
        if any(not job.state.ended for job in known):
            return
        if known and known[-1].failed_reason:
            if await self._transcripts.end(record.transcript_id, TranscriptState.FAILED, "job_failed"):
                log.warning("transcript_failed", transcript=record.transcript_id, error=known[-1].failed_reason)
                await self.ended(record.transcript_id, TranscriptState.FAILED)
            return
        # Without a job: this process, or Redis, ended before it was enqueued. It may have ended just now, too.
        current = await self._transcripts.get(record.transcript_id)
        if current is not None and not current.state.is_final:
            self._metrics.repaired.inc()
            log.info("transcript_enqueued_again", transcript=record.transcript_id)
            await self._enqueue(record)
