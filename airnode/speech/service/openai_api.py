"""OpenAI's API for audio, good enough for its official clients (platform.openai.com/docs/api-reference/audio)."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import msgspec
from aiohttp import web

from airnode.errors import AirnodeError, FieldError, InvalidInput, NotFound
from airnode.speech.engines.engine import Task
from airnode.speech.service.callers import Callers
from airnode.speech.service.intake import UploadIntake, flag
from airnode.speech.service.openai_formats import CONTENT_TYPES, body_of
from airnode.speech.service.progress import PieceProgress, TranscriptChanges
from airnode.speech.service.records import TranscriptRecord, Transcripts, TranscriptState
from airnode.speech.service.refusals import TEXTS, TranscriptionFailed, language_of, told
from airnode.speech.service.statuses import Statuses
from airnode.speech.service.uploads import Upload
from airnode.speech.service.waiting import Waits, changes_of, until_ended
from airnode.speech.words import Transcription
from airnode.web.event_stream import EventStream, event_stream
from airnode.web.inputs import json_response
from airnode.web.openapi import operation

_GRANULARITIES = frozenset({"word", "segment"})
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_ERRORS = (400, 401, 403, 413, 415, 429, 500, 503, 507)
_TEXT = (
    "As OpenAI's endpoint of the same path: `file`, `model` (any), `language`, `prompt`, `temperature`, "
    "`response_format` (json, text, srt, vtt, verbose_json), `timestamp_granularities[]` (word, segment), `stream`. "
    "Errors have OpenAI's form: `{error: {message, type, param, code}}`."
)
Method = Callable[[Any, web.Request], Awaitable[web.StreamResponse]]


def _with_openai_errors(handler: Method) -> Method:
    """Return a handler whose errors have the form that OpenAI's clients read."""

    @wraps(handler)
    async def handle(self: Any, request: web.Request) -> web.StreamResponse:
        try:
            return await handler(self, request)
        except AirnodeError as error:
            response = json_response({"error": _error_body(error, request)}, status=error.status)
            if error.retry_after_s is not None:
                response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
            return response

    return handle


def _error_body(error: AirnodeError, request: web.Request) -> dict[str, object]:
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    param = error.errors[0].path if error.errors else None
    return {
        "message": told(error, language_of(request))[1],
        "type": _TYPES.get(error.status, kind),
        "param": param,
        "code": error.code,
    }


class OpenAiApi:
    """The handlers.

    Args:
        model: name of the model that workers have, ``speech.model``.
    """

    def __init__(
        self,
        *,
        callers: Callers,
        intake: UploadIntake,
        transcripts: Transcripts,
        statuses: Statuses,
        changes: TranscriptChanges,
        model: str,
        waits: Waits,
    ) -> None:
        self._callers = callers
        self._intake = intake
        self._transcripts = transcripts
        self._statuses = statuses
        self._changes = changes
        self._models = tuple(dict.fromkeys(("whisper-1", model)))
        self._waits = waits

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/audio/transcriptions", self.transcriptions)
        app.router.add_post("/v1/audio/translations", self.translations)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/v1/models/{model:.+}", self.model)

    @operation(summary="Transcribe (OpenAI)", tag="openai", description=_TEXT, errors=_ERRORS, auth="teacher")
    @_with_openai_errors
    async def transcriptions(self, request: web.Request) -> web.StreamResponse:
        """Return the transcript."""
        return await self._answer(request, "transcribe")

    @operation(
        summary="Translate into English (OpenAI)", tag="openai", description=_TEXT, errors=_ERRORS, auth="teacher"
    )
    @_with_openai_errors
    async def translations(self, request: web.Request) -> web.StreamResponse:
        """Return what is said, in English."""
        return await self._answer(request, "translate")

    @operation(summary="List models (OpenAI)", tag="openai", errors=(401, 403, 429), auth="teacher")
    @_with_openai_errors
    async def models(self, request: web.Request) -> web.StreamResponse:
        """Return the names that `model` may have; all mean the same."""
        await self._callers.identify(request)
        return json_response({"object": "list", "data": [_model(name) for name in self._models]})

    @operation(
        summary="A model (OpenAI)",
        tag="openai",
        errors=(401, 403, 404, 429),
        auth="teacher",
        path_params=(("model", "Its name."),),
    )
    @_with_openai_errors
    async def model(self, request: web.Request) -> web.StreamResponse:
        """Return a model."""
        await self._callers.identify(request)
        name = request.match_info["model"]
        if name not in self._models:
            raise NotFound(f"The models are {', '.join(self._models)}.")
        return json_response(_model(name))

    async def _answer(self, request: web.Request, task: Task) -> web.StreamResponse:
        taken = await self._intake.take(request, task, check=_check, fields=("file",))
        upload, record = taken.upload, taken.record
        if flag(upload, "stream", False):
            return await self._stream(request, record)
        record = await until_ended(record.transcript_id, self._transcripts, self._changes, self._waits.answer_s)
        result = await self._result(record)
        name = upload.field("response_format", "json") or "json"
        granularities = upload.fields.get("timestamp_granularities", ("segment",))
        body = await asyncio.to_thread(body_of, result, name, task, granularities)
        return web.Response(
            body=body, content_type=CONTENT_TYPES[name], charset="utf-8", headers={"Cache-Control": "no-store"}
        )

    async def _result(self, record: TranscriptRecord) -> Transcription:
        if record.state is not TranscriptState.COMPLETED:
            known = TEXTS.get(record.error_code, TEXTS["transcription_failed"])["en"]
            raise TranscriptionFailed(f"{known[0]}.", debug=f"{record.state} {record.error_code}")
        return await self._transcripts.transcription(record)

    async def _stream(self, request: web.Request, record: TranscriptRecord) -> web.StreamResponse:
        async with event_stream(request, write_timeout_s=self._waits.write_s) as stream:
            await self._stream_text(request, stream, record)
        return stream.response

    async def _stream_text(self, request: web.Request, stream: EventStream, record: TranscriptRecord) -> None:
        said = ""
        try:
            async for current in changes_of(
                record.transcript_id, self._transcripts, self._changes, self._waits.answer_s
            ):
                record = current
                text = heard_so_far(await self._statuses.pieces(record))
                if text.startswith(said) and text != said:
                    await stream.write(_event({"type": "transcript.text.delta", "delta": text[len(said) :]}))
                    said = text
            text = (await self._result(record)).text
        except AirnodeError as error:
            await stream.write(_event({"error": _error_body(error, request)}))
            return
        if text.startswith(said) and text != said:
            await stream.write(_event({"type": "transcript.text.delta", "delta": text[len(said) :]}))
        await stream.write(_event({"type": "transcript.text.done", "text": text}))


def _event(event: dict[str, object]) -> bytes:
    return b"data: " + msgspec.json.encode(event) + b"\n\n"


def heard_so_far(pieces: Any) -> str:
    """Return the text from the beginning to where the first piece is not done, {index: :class:`PieceProgress`}."""
    texts = []
    for index in range(len(pieces)):
        piece: PieceProgress | None = pieces.get(index)
        if piece is None:
            break
        if piece.text:
            texts.append(piece.text)
        if piece.state == "active":
            break
    return " ".join(texts)


def _check(upload: Upload) -> None:
    """Raise InvalidInput (400) for fields that are wrong."""
    name = upload.field("response_format", "json") or "json"
    if name not in CONTENT_TYPES:
        raise _wrong("response_format", f"is one of {', '.join(CONTENT_TYPES)}")
    if not upload.field("model"):
        raise _wrong("model", "is missing: name one, such as whisper-1")
    if not set(upload.fields.get("timestamp_granularities", ())) <= _GRANULARITIES:
        raise _wrong("timestamp_granularities[]", "is word or segment")
    flag(upload, "stream", False)


def _wrong(name: str, what: str) -> InvalidInput:
    return InvalidInput(f"The field {name} {what}.", errors=[FieldError(name, what)])


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "airnode"}
