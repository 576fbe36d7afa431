"""Sends recorded bytes over HTTP: a whole file or a range, read in threads, with at most one piece in memory."""

import asyncio
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from airnode.errors import NotFound, Unavailable
from airnode.kernel.meter import Meter
from airnode.media.recording.catalog import RecordingCatalog
from airnode.store.files.disk import read_at
from airnode.web.byte_ranges import RangeNotSatisfiable, requested_range
from airnode.web.problems import problem_response

PIECE_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class FileBody:
    """A response body: ``head``, then ``size_bytes`` of a file, starting at ``offset_bytes``.

    Attributes:
        etag: with quotes; empty: the file still grows, so ranges are not offered.
    """

    head: bytes
    path: Path
    offset_bytes: int
    size_bytes: int
    content_type: str
    etag: str = ""
    disposition: str = ""
    cache: str = "private, max-age=3600, immutable"

    @property
    def total_bytes(self) -> int:
        """Return the length of the body in bytes."""
        return len(self.head) + self.size_bytes


class FileSender:
    """Sends file bodies.

    Args:
        gap_s: a client that accepts no data for this long is disconnected.
    """

    def __init__(self, catalog: RecordingCatalog, gap_s: float, sent_bytes: Meter) -> None:
        self._catalog = catalog
        self._gap_s = gap_s
        self._sent_bytes = sent_bytes

    async def send(self, request: web.Request, body: FileBody) -> web.StreamResponse:
        """Return the response that was sent: 200, 206 or 416.

        Raises:
            NotFound: (404) the file is missing. Nothing was sent yet.
            Unavailable: (503) the disk cannot be read. Nothing was sent yet.
        """
        headers = {"Content-Type": body.content_type, "Cache-Control": body.cache}
        if body.disposition:
            headers["Content-Disposition"] = body.disposition
        wanted: tuple[int, int] | None = None
        if body.etag:
            headers["ETag"], headers["Accept-Ranges"] = body.etag, "bytes"
            if request.headers.get("If-Range", body.etag) == body.etag:
                try:
                    wanted = requested_range(request.headers.get("Range", ""), body.total_bytes)
                except RangeNotSatisfiable as error:
                    return not_satisfiable(error)
        start, stop = wanted or (0, body.total_bytes)
        if wanted is not None:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{body.total_bytes}"
        response = web.StreamResponse(status=200 if wanted is None else 206, headers=headers)
        response.content_length = stop - start
        fd = await self._open(body.path)
        try:
            await response.prepare(request)
            if request.method == "GET":
                await self._write(request, response, body, fd, start, stop)
        finally:
            os.close(fd)
        return response

    async def _open(self, path: Path) -> int:
        try:
            return await self._catalog.threads.run(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound("This recording's files are gone.") from None
        except OSError as error:
            raise Unavailable("The disk with this recording cannot be read.", debug=repr(error)) from error

    async def _write(
        self, request: web.Request, response: web.StreamResponse, body: FileBody, fd: int, start: int, stop: int
    ) -> None:
        head, at = len(body.head), start
        try:
            while at < stop:
                if at < head:
                    piece = body.head[at : min(stop, at + PIECE_BYTES)]
                else:
                    size = min(stop - at, PIECE_BYTES)
                    piece = await self._catalog.threads.run(read_at, fd, body.offset_bytes + at - head, size)
                if not piece:
                    raise OSError("the file ends early")
                await self.write(response, piece)
                at += len(piece)
            await response.write_eof()
        except (OSError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()  # the client must notice that the body is shorter than its Content-Length

    async def write(self, response: web.StreamResponse, piece: bytes) -> None:
        """Send a piece.

        Raises:
            TimeoutError: the client does not accept it within ``gap_s``.
        """
        async with asyncio.timeout(self._gap_s):
            await response.write(piece)
        self._sent_bytes.add(len(piece))


def not_satisfiable(error: RangeNotSatisfiable) -> web.Response:
    """Return a 416 response with the length of the body."""
    response = problem_response(error, secrets.token_hex(6))
    response.headers["Content-Range"] = f"bytes */{error.size}"
    return response
