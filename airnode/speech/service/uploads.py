"""Receives uploads: forms (multipart/form-data, RFC 7578) whose file is written to disk as it comes."""

import asyncio
import os
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.config.sections.speech import SpeechSection
from airnode.errors import AirnodeError, Unavailable
from airnode.speech.service.refusals import TooManyUploads, UploadBroken, UploadStoreFull, UploadTooLarge
from airnode.speech.service.upload_files import UploadFiles
from airnode.store.files.disk import is_full

log = structlog.get_logger(__name__)

#: What aiohttp raises for a form that is none, or that ends early.
_MALFORMED = (ValueError, AssertionError, LookupError, RuntimeError, web.RequestPayloadError, HttpProcessingError)
_PIECE_BYTES = 256 << 10
_MAX_PARTS = 64
_MAX_TEXT_BYTES = 16 << 10
#: What a form adds to its file: boundaries, headers and other fields.
_FORM_BYTES = 1 << 20
_MAX_NAME_CHARS = 255


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was received whole, and the form's other fields.

    Attributes:
        transcript_id: made for it. name: as the client calls the file.
        fields: {name: values in their order}; a name that ends with ``[]`` is without it.
    """

    transcript_id: str
    path: Path
    name: str
    size_bytes: int
    fields: Mapping[str, tuple[str, ...]]

    def field(self, name: str, default: str = "") -> str:
        """Return the last value of a field, without space around it."""
        return self.fields.get(name, (default,))[-1].strip()


class UploadMetrics:
    """Counters of uploads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received_bytes = Counter(
            "airnode_speech_upload_received_bytes_total", "Bytes of uploaded audio", registry=registry
        )
        self.refused = Counter("airnode_speech_uploads_refused_total", "Uploads refused", ["code"], registry=registry)
        self.open = Gauge("airnode_speech_open_uploads", "Uploads that are being received", registry=registry)


class UploadReceiver:
    """Receives uploads, at most ``speech.max_uploads`` at once."""

    def __init__(self, files: UploadFiles, section: SpeechSection, metrics: UploadMetrics) -> None:
        self._files = files
        self._section = section
        self._metrics = metrics
        self._open = 0

    async def receive(self, request: web.Request, file_fields: Collection[str]) -> Upload:
        """Return the upload. Nothing is left on the disk after an error.

        Args:
            file_fields: names of the field that may have the file; the first one that comes is it.

        Raises:
            UploadBroken: (400) no form with a file, or it ended early, or nothing came for ``speech.upload_gap_s``.
            UploadTooLarge: (413) UploadStoreFull: (507) TooManyUploads: (503)
        """
        try:
            return await self._receive(request, file_fields)
        except AirnodeError as error:
            self.count_refused(error)
            raise

    def count_refused(self, error: AirnodeError) -> None:
        """Count an upload that was refused."""
        self._metrics.refused.labels(error.code).inc()

    async def _receive(self, request: web.Request, file_fields: Collection[str]) -> Upload:
        if self._open >= self._section.max_uploads:
            raise TooManyUploads("This node receives speech.max_uploads files already.", retry_after_s=2)
        if request.content_type != "multipart/form-data":
            raise UploadBroken("The body must be a form with a file (multipart/form-data).")
        if (request.content_length or 0) > self._section.max_upload_bytes + _FORM_BYTES:
            raise UploadTooLarge(self._section.max_upload_bytes)
        self._open += 1
        self._metrics.open.set(self._open)
        transcript_id = f"t{secrets.token_hex(12)}"
        try:
            return await self._form(request, transcript_id, file_fields)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._files.discard, transcript_id))
            raise
        finally:
            self._open -= 1
            self._metrics.open.set(self._open)

    async def _form(self, request: web.Request, transcript_id: str, file_fields: Collection[str]) -> Upload:
        fields: dict[str, tuple[str, ...]] = {}
        found: tuple[str, int] | None = None
        try:
            reader = await request.multipart()
            for _ in range(_MAX_PARTS):
                async with asyncio.timeout(self._section.upload_gap_s):
                    part = await reader.next()
                if part is None:
                    break
                if not isinstance(part, BodyPartReader) or part.name is None:
                    raise UploadBroken("A part of the form has no name.")
                if part.name in file_fields and found is None:
                    name = (part.filename or "upload")[:_MAX_NAME_CHARS]
                    found = name, await self._write(part, transcript_id)
                else:
                    key = part.name.removesuffix("[]")
                    fields[key] = (*fields.get(key, ()), await self._text(part))
            else:
                raise UploadBroken(f"The form has more than {_MAX_PARTS} fields.")
        except TimeoutError:
            raise UploadBroken("Nothing more of the file came for speech.upload_gap_s.") from None
        except (*_MALFORMED, web.HTTPException) as error:
            raise UploadBroken("The body is not a form that can be read.", debug=repr(error)) from error
        if found is None:
            raise UploadBroken(f"The form has no file in the field {' or '.join(sorted(file_fields))}.")
        return Upload(transcript_id, self._files.incoming(transcript_id), *found, fields)

    async def _text(self, part: BodyPartReader) -> str:
        data = b""
        while True:
            async with asyncio.timeout(self._section.upload_gap_s):
                piece = await part.read_chunk(_MAX_TEXT_BYTES)
            if not piece:
                break
            data += piece
            if len(data) > _MAX_TEXT_BYTES:
                raise UploadBroken(f"The field {part.name!r} has more than {_MAX_TEXT_BYTES >> 10} KiB.")
        return data.decode(errors="replace").replace("\x00", "")

    async def _write(self, part: BodyPartReader, transcript_id: str) -> int:
        """Write the file; return its size in bytes."""
        try:
            file = await asyncio.to_thread(self._files.begin, transcript_id)
            try:
                return await self._copy(part, file)
            finally:
                await asyncio.shield(asyncio.to_thread(file.close))
        except OSError as error:
            if is_full(error):
                log.warning("upload_store_full", detail="free space, or raise speech.min_free_bytes", error=str(error))
                raise UploadStoreFull(f"The disk for uploads is full: {error}.") from error
            if isinstance(error, ConnectionError | TimeoutError):  # of the client, not of the disk
                raise
            raise Unavailable("The disk for uploads cannot be written.", debug=repr(error)) from error

    async def _copy(self, part: BodyPartReader, file: BinaryIO) -> int:
        size, waiting = 0, bytearray()
        while True:
            async with asyncio.timeout(self._section.upload_gap_s):
                piece = await part.read_chunk(_PIECE_BYTES)
            size += len(piece)
            if size > self._section.max_upload_bytes:
                raise UploadTooLarge(self._section.max_upload_bytes)
            self._metrics.received_bytes.inc(len(piece))
            waiting += piece
            if len(waiting) >= _PIECE_BYTES or not piece:
                await asyncio.to_thread(self._flush, file, bytes(waiting), done=not piece)
                waiting.clear()
            if not piece:
                return size

    def _flush(self, file: BinaryIO, data: bytes, *, done: bool) -> None:
        self._files.require_space()
        file.write(data)
        file.flush()
        if done:
            os.fsync(file.fileno())
