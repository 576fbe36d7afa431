"""Takes an upload of any of our forms: who sends it, the file, the options, and the transcript that it becomes."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from aiohttp import web

from airnode.errors import AirnodeError, FieldError, InvalidInput
from airnode.speech.engines.engine import EngineOptions, Task
from airnode.speech.languages import known_language
from airnode.speech.service.callers import Callers
from airnode.speech.service.records import TranscriptRecord
from airnode.speech.service.submissions import Submissions
from airnode.speech.service.upload_files import UploadFiles
from airnode.speech.service.uploads import Upload, UploadReceiver

FILE_FIELDS = frozenset({"audio", "file"})
_MAX_PROMPT_CHARS = 1000
_YES, _NO = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off", ""})


@dataclass(frozen=True, slots=True)
class TakenUpload:
    """What became of a request with a file."""

    upload: Upload
    record: TranscriptRecord


class UploadIntake:
    """From a request to a transcript.

    Args:
        is_ready: raises Unavailable while this node can take no uploads.
    """

    def __init__(
        self,
        callers: Callers,
        receiver: UploadReceiver,
        submissions: Submissions,
        files: UploadFiles,
        is_ready: Callable[[], None],
    ) -> None:
        self._callers = callers
        self._receiver = receiver
        self._submissions = submissions
        self._files = files
        self._is_ready = is_ready

    async def take(
        self,
        request: web.Request,
        task: Task = "transcribe",
        *,
        check: Callable[[Upload], object] = lambda upload: None,
        fields: Collection[str] = FILE_FIELDS,
    ) -> TakenUpload:
        """Return the transcript of a request's file.

        Args:
            check: raises InvalidInput for other fields that are wrong, before the file is looked at.

        Raises:
            Unauthenticated: (401) Forbidden: (403) RateLimited: (429) InvalidInput: (400, 415) TooLarge: (413)
            UploadStoreFull: (507) Unavailable: (503)
        """
        caller = await self._callers.identify(request)
        self._is_ready()
        upload = await self._receiver.receive(request, fields)
        try:
            check(upload)
            record = await self._submissions.submit(upload, caller, options_of(upload, task))
        except AirnodeError as error:
            await asyncio.to_thread(self._files.discard, upload.transcript_id)
            self._receiver.count_refused(error)
            raise
        return TakenUpload(upload, record)


def options_of(upload: Upload, task: Task) -> EngineOptions:
    """Return what a form asks for. Raises UnknownLanguage, InvalidInput (400)."""
    prompt = upload.field("prompt")
    if len(prompt) > _MAX_PROMPT_CHARS:
        raise _wrong("prompt", f"has at most {_MAX_PROMPT_CHARS} characters")
    return EngineOptions(
        language=known_language(upload.field("language")),
        prompt=prompt,
        temperature=_temperature(upload.field("temperature", "0") or "0"),
        task=task,
    )


def flag(upload: Upload, name: str, default: bool) -> bool:
    """Return a field that is yes or no. Raises InvalidInput (400)."""
    text = upload.field(name, "true" if default else "false").lower()
    if text not in _YES | _NO:
        raise _wrong(name, "is true or false")
    return text in _YES


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise _wrong("temperature", "is a number from 0 to 1")
    return value


def _wrong(name: str, what: str) -> InvalidInput:
    return InvalidInput(f"The field {name} {what}.", errors=[FieldError(name, what)])
