"""Where the audio of a piece comes from: this machine's disk, or over HTTP from the master that has it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import msgspec
import structlog

from airnode.errors import AirnodeError, NotFound, Unavailable
from airnode.kernel.connection_errors import connection_failure
from airnode.kernel.service import Service
from airnode.speech.audio import byte_offset
from airnode.speech.engines.engine import EngineOptions
from airnode.speech.service.upload_files import UploadFiles

log = structlog.get_logger(__name__)

_CONNECT_S = 5.0
#: Nothing comes for this long: the master, or the network, is gone.
_SILENCE_S = 15.0
_BLOCK_BYTES = 1 << 20
#: A worker tries this long to get a piece, within one attempt of its job.
MASTER_PATIENCE_S = 120.0


class PieceJob(msgspec.Struct, frozen=True):
    """The data of a job ``transcribe``.

    Attributes:
        start_s, stop_s: of the piece, in the audio. urls: base URLs of the master that has it, best first.
    """

    transcript: str
    index: int
    start_s: float
    stop_s: float
    node_id: str
    urls: tuple[str, ...]
    options: EngineOptions


def audio_path(transcript_id: str) -> str:
    """Return the path under which a master serves the samples of an upload, and its file at ``?file=1``."""
    return f"/speech/audio/{transcript_id}"


class PieceSource(Service):
    """Reads pieces, and whole uploads.

    Args:
        files: of this machine; None: this process is not a master.
        node_id: of this process; ``token``: the speech token.
        master_url: tried last, where a master's own address does not answer; empty: none.
    """

    name = "piece-source"

    def __init__(self, files: UploadFiles | None, node_id: str, token: str, master_url: str = "") -> None:
        super().__init__()
        self._files = files
        self._node_id = node_id
        self._token = token
        self._master_url = master_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
        self._session = aiohttp.ClientSession(timeout=timeout, headers={"Authorization": f"Bearer {self._token}"})

    async def stop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def read(self, piece: PieceJob) -> bytes:
        """Return the samples of a piece.

        Raises:
            NotFound: (404) the audio is gone. Unavailable: (503) no master that has it answers.
        """
        start, stop = byte_offset(piece.start_s), byte_offset(piece.stop_s)
        if self._files is not None and piece.node_id == self._node_id:
            return await asyncio.to_thread(_read_file, self._files.pcm(piece.transcript), start, stop)
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        return b"".join([block async for block in self._fetch(piece.urls, audio_path(piece.transcript), headers)])

    async def copy_upload(self, transcript_id: str, urls: Sequence[str], to: Path) -> None:
        """Write the file of an upload on another master to this disk. Raises as ``read``, and OSError."""
        file = await asyncio.to_thread(to.open, "wb")
        try:
            async for block in self._fetch(urls, f"{audio_path(transcript_id)}?file=1", {}):
                await asyncio.to_thread(file.write, block)
        finally:
            await asyncio.to_thread(file.close)

    async def _fetch(self, urls: Sequence[str], path: str, headers: dict[str, str]):  # type: ignore[no-untyped-def]
        assert self._session is not None  # noqa: S101 - the node starts it first
        failure: AirnodeError = Unavailable("No address of the master that has the audio is known.")
        for url in dict.fromkeys((*urls, self._master_url)):
            if not url:
                continue
            begun = False
            try:
                async with self._session.get(url + path, headers=headers) as response:
                    if response.status in (200, 206):
                        async for block in response.content.iter_chunked(_BLOCK_BYTES):
                            begun = True
                            yield block
                        return
                    failure = _refusal(url, response.status)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failure = Unavailable(connection_failure(url, error, "master"), debug=repr(error))
            if begun:
                break
        log.warning("audio_not_fetched", path=path.partition("?")[0], error=failure.detail)
        raise failure


def _read_file(path: Path, start: int, stop: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)
    except FileNotFoundError:
        raise NotFound("The audio of this transcript is gone.") from None


def _refusal(url: str, status: int) -> AirnodeError:
    if status in (401, 403):
        return Unavailable(f"The master {url} refuses the speech token (cluster.speech_token): give both the same.")
    if status in (404, 416):
        return NotFound("The audio of this transcript is gone.")
    return Unavailable(f"The master {url} answers {status}.")
