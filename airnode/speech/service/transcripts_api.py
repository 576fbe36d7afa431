"""The master's HTTP API for transcripts."""

import asyncio
import time

import msgspec
from aiohttp import web

from airnode.errors import NotFound
from airnode.speech.formats import FORMATS
from airnode.speech.service.api_types import (
    CancelAnswer,
    SpeechHealth,
    SpeechQueues,
    SubmitAnswer,
    TranscriptList,
    TranscriptStatus,
    TranscriptSummary,
)
from airnode.speech.service.callers import Callers
from airnode.speech.service.intake import UploadIntake, flag
from airnode.speech.service.progress import TranscriptChanges
from airnode.speech.service.records import TranscriptRecord, Transcripts, TranscriptState
from airnode.speech.service.refusals import Language, language_of, localized
from airnode.speech.service.statuses import Statuses
from airnode.speech.service.submissions import Submissions
from airnode.speech.service.upload_files import TRANSCRIPT_ID
from airnode.speech.service.waiting import Waits, changes_of, until_ended
from airnode.web.event_stream import EventStream, event_stream
from airnode.web.inputs import json_response
from airnode.web.openapi import operation

_LIST_MAX = 200
_HEALTH_KEEP_S = 1.0
_CONTENT_TYPES = {
    "json": "application/json",
    "txt": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
}
_JOB = (("job_id", "As the answer to the upload says it."),)
_ERRORS = (401, 403, 404, 429, 503)
_UPLOAD_ERRORS = (400, 401, 403, 413, 415, 429, 500, 503, 507)
_TAKEN: dict[Language, str] = {"en": "The audio was taken and is being transcribed.", "ko": "변환을 시작했어요."}
_CANCELLED: dict[Language, str] = {"en": "The transcript was cancelled.", "ko": "변환을 취소했어요."}
_TOO_LATE: dict[Language, str] = {"en": "It had ended before.", "ko": "이미 끝난 작업이에요."}
_UPLOAD_TEXT = (
    "A form (multipart/form-data): `audio`, the file; `language`, such as `ko`, empty to detect it; `async`, `true` to "
    "get a `jobId` at once, `false` to wait for the transcript; `prompt`, words to expect; `temperature`, 0 to 1. "
    "`error` and `message` of an error are in the language of `Accept-Language` (en, ko). Too long: 413 with "
    "`duration`, `maxDuration` (minutes) and `premiumRequired`."
)


class TranscriptsApi:
    """The handlers. Teachers, admins and programs with an API key may call them."""

    def __init__(
        self,
        *,
        callers: Callers,
        intake: UploadIntake,
        submissions: Submissions,
        transcripts: Transcripts,
        statuses: Statuses,
        changes: TranscriptChanges,
        waits: Waits,
    ) -> None:
        self._callers = callers
        self._intake = intake
        self._submissions = submissions
        self._transcripts = transcripts
        self._statuses = statuses
        self._changes = changes
        self._waits = waits
        self._asking = asyncio.Lock()
        #: The last answer about health, and when it was made: anybody may ask, however often.
        self._health: tuple[float, SpeechHealth] | None = None

    def add_routes(self, app: web.Application) -> None:
        for path in ("/api/transcribe", "/upload"):
            app.router.add_post(path, self.submit)
        for path in ("/api/status/{job_id}", "/status/{job_id}"):
            app.router.add_get(path, self.status)
        app.router.add_get("/api/status/{job_id}/events", self.events)
        app.router.add_get("/api/transcripts", self.list)
        app.router.add_get("/api/transcripts/{job_id}.{format}", self.file)
        app.router.add_delete("/api/jobs/{job_id}", self.cancel)
        app.router.add_get("/api/queue-status", self.queues)
        app.router.add_get("/api/health", self.health)

    @operation(
        summary="Transcribe a file",
        tag="transcripts",
        description=_UPLOAD_TEXT,
        returns=SubmitAnswer,
        errors=_UPLOAD_ERRORS,
        auth="teacher",
    )
    @localized
    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Return the job's id, or the transcript (a :class:`TranscriptStatus`) when it is there."""
        taken = await self._intake.take(request, check=lambda upload: flag(upload, "async", True))
        language, record = language_of(request), taken.record
        if flag(taken.upload, "async", True):
            minutes = round(await self._statuses.wait_s(record) / 60, 2)
            return json_response(SubmitAnswer(True, record.transcript_id, _TAKEN[language], minutes))
        record = await until_ended(record.transcript_id, self._transcripts, self._changes, self._waits.answer_s)
        status = {TranscriptState.COMPLETED: 200, TranscriptState.FAILED: 500, TranscriptState.CANCELLED: 409}
        return json_response(await self._statuses.status(record, language), status=status.get(record.state, 202))

    @operation(
        summary="How far a transcript is",
        tag="transcripts",
        returns=TranscriptStatus,
        errors=_ERRORS,
        auth="teacher",
        path_params=_JOB,
    )
    @localized
    async def status(self, request: web.Request) -> web.StreamResponse:
        """Return the status, with the transcript when it is done."""
        record = await self._record(request)
        return json_response(await self._statuses.status(record, language_of(request)))

    @operation(
        summary="Follow a transcript",
        tag="transcripts",
        description="Server-sent events `status`, each with the status as JSON, until the transcript has ended.",
        returns="text/event-stream",
        errors=_ERRORS,
        auth="teacher",
        path_params=_JOB,
    )
    @localized
    async def events(self, request: web.Request) -> web.StreamResponse:
        """Stream the status at each change."""
        record, language = await self._record(request), language_of(request)
        async with event_stream(request, write_timeout_s=self._waits.write_s) as stream:
            await self._stream(stream, record.transcript_id, language)
        return stream.response

    @operation(
        summary="List transcripts",
        tag="transcripts",
        returns=TranscriptList,
        errors=(401, 403, 429, 503),
        auth="teacher",
    )
    @localized
    async def list(self, request: web.Request) -> web.StreamResponse:
        """Return the newest transcripts that the sender may see."""
        caller = await self._callers.identify(request)
        found = await self._transcripts.newest(None if caller.sees_all else caller.owner, _LIST_MAX)
        return json_response(TranscriptList([_summary(record) for record in found]))

    @operation(
        summary="Download a transcript",
        tag="transcripts",
        description="`json` (with the times of words), `txt`, `srt` or `vtt`.",
        returns="text/plain",
        errors=(*_ERRORS, 409),
        auth="teacher",
        path_params=(*_JOB, ("format", "`json`, `txt`, `srt` or `vtt`.")),
    )
    @localized
    async def file(self, request: web.Request) -> web.StreamResponse:
        """Return a finished transcript as a file."""
        record = await self._record(request)
        name = request.match_info["format"]
        if name not in FORMATS or record.state is not TranscriptState.COMPLETED:
            raise NotFound("There is no such file of this transcript; it is there when the transcript is completed.")
        result = await self._transcripts.transcription(record)
        body = await asyncio.to_thread(FORMATS[name], result)
        return web.Response(
            body=body.encode(),
            content_type=_CONTENT_TYPES[name],
            charset="utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{record.transcript_id}.{name}"',
                "Cache-Control": "no-store",
            },
        )

    @operation(
        summary="Cancel a transcript",
        tag="transcripts",
        returns=CancelAnswer,
        errors=_ERRORS,
        auth="teacher",
        path_params=_JOB,
    )
    @localized
    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Cancel it; pieces that are worked on end soon."""
        record, language = await self._record(request), language_of(request)
        done = await self._submissions.cancel(record)
        current = await self._transcripts.get(record.transcript_id) or record
        message = _CANCELLED[language] if done else _TOO_LATE[language]
        return json_response(CancelAnswer(done, record.transcript_id, current.state.value, message))

    @operation(
        summary="Queues and workers of transcripts",
        tag="transcripts",
        returns=SpeechQueues,
        errors=(401, 403, 429, 503),
        auth="teacher",
    )
    @localized
    async def queues(self, request: web.Request) -> web.StreamResponse:
        """Return what waits, and who works on it."""
        await self._callers.identify(request)
        return json_response(await self._statuses.queues())

    @operation(summary="Whether uploads are transcribed", tag="transcripts", returns=SpeechHealth, errors=(503,))
    @localized
    async def health(self, request: web.Request) -> web.StreamResponse:
        """Return whether there are workers; for everybody, so it names none."""
        async with self._asking:
            if self._health is None or time.monotonic() - self._health[0] > _HEALTH_KEEP_S:
                found = await self._statuses.queues()
                waiting = sum(queue.waiting for queue in found.queues)
                status = "ok" if found.workers else "degraded"
                self._health = time.monotonic(), SpeechHealth(status, len(found.workers), waiting)
            return json_response(self._health[1])

    async def _record(self, request: web.Request) -> TranscriptRecord:
        caller = await self._callers.identify(request)
        transcript_id = request.match_info["job_id"]
        found = await self._transcripts.get(transcript_id) if TRANSCRIPT_ID.match(transcript_id) else None
        return caller.require(found)

    async def _stream(self, stream: EventStream, transcript_id: str, language: Language) -> None:
        written = b""
        async for record in changes_of(transcript_id, self._transcripts, self._changes, self._waits.answer_s):
            data = msgspec.json.encode(await self._statuses.status(record, language))
            text = b"event: status\ndata: " + data + b"\n\n" if data != written else b": still here\n\n"
            await stream.write(text)
            written = data


def _summary(record: TranscriptRecord) -> TranscriptSummary:
    return TranscriptSummary(
        record.transcript_id,
        record.file_name,
        record.state.value,
        round(record.duration_s, 3),
        record.language or record.options.language,
        record.created_at.timestamp() if record.created_at is not None else 0.0,
        record.ended_at.timestamp() if record.ended_at is not None else 0.0,
    )
