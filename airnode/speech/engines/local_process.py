"""The engine's process, as airnode sees it: one launch, orders to it, its end."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from airnode.errors import AirnodeError
from airnode.kernel.tasks import TaskScope
from airnode.processes.child import ChildProcess, LaunchSpec
from airnode.speech import errors
from airnode.speech.engines.engine import EngineOptions, OnSegment
from airnode.speech.engines.local_messages import (
    AudioDone,
    AudioFailed,
    CancelWork,
    DetectLanguage,
    EngineOrder,
    EngineReport,
    EngineSetup,
    ModelFailed,
    ModelLoaded,
    SegmentDone,
    TranscribeAudio,
    framed,
    read_report,
)

log = structlog.get_logger(__name__)

_MODULE: Final = "airnode.speech.engines.local_program"
#: What the process gets of airnode's environment: where libraries, devices, certificates and the model hub are.
_PASSED_ON: Final = ("CUDA_", "NVIDIA_", "LD_LIBRARY_PATH", "HF_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_")
_ERRORS: Final[dict[str, type[AirnodeError]]] = {
    kind.code: kind for kind in (errors.UnknownLanguage, errors.ModelMissing, errors.EngineFailed)
}

#: A killed process has ended within this time.
_KILLED_S: Final = 5.0


class ProcessEnded(Exception):
    """The engine's process ended in the middle of the work."""


class EngineProcess:
    """A process with a loaded model. Made by :meth:`launch`."""

    def __init__(self, child: ChildProcess, writer: asyncio.StreamWriter, loaded: ModelLoaded) -> None:
        self.loaded = loaded
        self._child = child
        self._writer = writer
        self._ids = itertools.count(1)
        #: {id of work: its end}, and what to do with its segments. Owned by `request`; `_read` fulfils them.
        self._waiting: dict[int, asyncio.Future[AudioDone]] = {}
        self._on_segment: dict[int, OnSegment] = {}
        self._ended = False

    @classmethod
    async def launch(cls, setup: EngineSetup, tasks: TaskScope, load_timeout_s: float) -> "EngineProcess":
        """Start a process and return it once its model is loaded.

        Raises:
            ModelMissing, SpeechMissing, EngineFailed: it cannot be loaded.
        """
        ours, its = socket.socketpair()
        try:
            setup = msgspec.structs.replace(setup, socket_fd=its.fileno())
            folder = Path(tempfile.mkdtemp(prefix="airnode-speech-"))
            child = await ChildProcess.launch("speech-engine", _spec(setup, folder, its.fileno()), tasks)
        except BaseException:
            ours.close()
            raise
        finally:
            its.close()
        tasks.spawn("speech-engine-folder", _remove_after(child, folder))
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            async with asyncio.timeout(load_timeout_s):
                loaded = await _first_report(reader, child)
        except BaseException as error:
            writer.close()
            child.kill_group()
            await child.wait(_KILLED_S)
            if isinstance(error, TimeoutError):
                text = f"The model was not loaded within {load_timeout_s:g} s (speech.load_timeout_s)."
                raise errors.EngineFailed(text) from None
            raise
        process = cls(child, writer, loaded)
        tasks.spawn("speech-engine-reports", process._read(reader))
        return process

    @property
    def is_running(self) -> bool:
        """Return whether it can take orders."""
        return not self._ended

    @property
    def has_ended(self) -> bool:
        """Return whether the process is gone."""
        return self._child.returncode is not None

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._child.pid

    def memory_bytes(self) -> int:
        """Return its resident memory; 0 where the system does not say."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def transcribe(self, pcm: bytes | Path, options: EngineOptions, on_segment: OnSegment) -> AudioDone:
        """Transcribe audio. Raises ProcessEnded, UnknownLanguage, EngineFailed."""

        def order(number: int, size: int, path: str) -> EngineOrder:
            return TranscribeAudio(number, options, size, path)

        return await self._request(order, pcm, on_segment)

    async def detect(self, pcm: bytes | Path, languages: tuple[str, ...]) -> AudioDone:
        """Detect the language. Raises ProcessEnded, EngineFailed."""

        def order(number: int, size: int, path: str) -> EngineOrder:
            return DetectLanguage(number, languages, size, path)

        return await self._request(order, pcm, lambda _: None)

    def kill(self) -> None:
        """End it at once; work that is in it fails with ProcessEnded."""
        self._child.kill_group()
        self._end()

    async def ended(self, timeout_s: float) -> bool:
        """Wait for its end, at most ``timeout_s``. Return whether it has ended."""
        return await self._child.wait(timeout_s)

    async def _request(
        self, order: Callable[[int, int, str], EngineOrder], pcm: bytes | Path, on_segment: OnSegment
    ) -> AudioDone:
        number = next(self._ids)
        data, path = (pcm, "") if isinstance(pcm, bytes) else (b"", str(pcm))
        done: asyncio.Future[AudioDone] = asyncio.get_running_loop().create_future()
        self._waiting[number], self._on_segment[number] = done, on_segment
        try:
            if self._ended:
                raise ProcessEnded
            self._writer.write(framed(order(number, len(data), path)))
            self._writer.write(data)
            with contextlib.suppress(ConnectionError):  # then the reports end as well
                await self._writer.drain()
            return await done
        finally:
            if not self._ended and (not done.done() or done.cancelled()):
                self._writer.write(framed(CancelWork(number)))
            del self._waiting[number], self._on_segment[number]

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                self._take(await read_report(reader))
        except (EOFError, ConnectionError):
            pass
        except msgspec.DecodeError as error:
            log.warning("speech_engine_report_refused", error=str(error))
            self._child.kill_group()
        finally:
            self._end()

    def _take(self, report: EngineReport) -> None:
        if isinstance(report, ModelLoaded | ModelFailed):
            return
        done = self._waiting.get(report.id)
        if done is None or done.done():
            return
        match report:
            case SegmentDone(id=number, segment=segment):
                self._on_segment[number](segment)
            case AudioDone():
                done.set_result(report)
            case AudioFailed(code=code, detail=detail):
                done.set_exception(_ERRORS.get(code, errors.EngineFailed)(detail))

    def _end(self) -> None:
        self._ended = True
        self._writer.close()
        for done in self._waiting.values():
            if not done.done():
                done.set_exception(ProcessEnded())


def _spec(setup: EngineSetup, folder: Path, socket_fd: int) -> LaunchSpec:
    env = {name: value for name, value in os.environ.items() if name.upper().startswith(_PASSED_ON)}
    env |= {
        "HOME": str(folder),
        "OMP_NUM_THREADS": str(setup.threads),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    argv = [sys.executable, "-I", "-m", _MODULE, msgspec.json.encode(setup).decode()]
    return LaunchSpec(argv, folder, folder / "lock", death_signal=signal.SIGKILL, env=env, inherit=[socket_fd])


async def _first_report(reader: asyncio.StreamReader, child: ChildProcess) -> ModelLoaded:
    try:
        report = await read_report(reader)
    except (EOFError, ConnectionError, msgspec.DecodeError):
        await child.wait(1.0)
        tail = await child.tail()
        if "ModuleNotFoundError" in tail:
            raise errors.SpeechMissing("Speech needs the extra stt: pip install 'airnode[stt]'.", debug=tail) from None
        raise errors.EngineFailed("The engine's process ended while it loaded the model.", debug=tail) from None
    if isinstance(report, ModelFailed):
        raise _ERRORS.get(report.code, errors.EngineFailed)(report.detail)
    if not isinstance(report, ModelLoaded):
        raise errors.EngineFailed("The engine's process began with another message than it should.")
    return report


async def _remove_after(child: ChildProcess, folder: Path) -> None:
    try:
        await asyncio.wait([child.exited])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
