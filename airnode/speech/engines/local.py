"""The engine on this machine: faster-whisper in a child process (docs/adr/0025-speech-engine.md)."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter

from airnode.config.sections.speech import SpeechSection
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.speech.engines.engine import EngineOptions, EngineState, OnSegment
from airnode.speech.engines.local_messages import AudioDone, EngineSetup
from airnode.speech.engines.local_process import EngineProcess, ProcessEnded
from airnode.speech.errors import EngineFailed, SpeechUnavailable
from airnode.speech.words import SpokenSegment, Transcription

log = structlog.get_logger(__name__)

#: Work of a process that ended is done again so often in a new one.
_ATTEMPTS: Final = 2
_THREADS: Final = 1
#: A killed process has ended within this time.
_KILLED_S: Final = 5.0


class LocalEngine(Service):
    """Transcribes with faster-whisper.

    ::

        no process ──a call──▶ loading ──▶ loaded ──idle_unload_s without a call──▶ no process
                                  │           │
                                  └───────────┴──the process ends──▶ no process; calls are made again in a new one

    Several calls share one process with one copy of the weights: ``concurrency`` of them run, one thread each.

    Args:
        models_dir: where models are kept.
    """

    name = "speech-engine"

    def __init__(self, section: SpeechSection, models_dir: Path, registry: CollectorRegistry) -> None:
        super().__init__()
        self._section = section
        self.concurrency = section.max_concurrent_chunks or _processors()
        self._setup = EngineSetup(
            socket_fd=-1,
            model=section.model,
            models_dir=str(models_dir),
            may_download=section.download_models,
            device=section.device,
            compute_type=section.compute_type,
            concurrency=self.concurrency,
            threads=_THREADS,
            batch_size=section.batch_size,
            beam_size=section.beam_size,
            nice=section.nice,
        )
        self._slots = asyncio.Semaphore(self.concurrency)
        self._starting = asyncio.Lock()
        self._tasks = TaskScope(self.name)
        self._process: EngineProcess | None = None
        #: Processes that were killed and may not have ended yet.
        self._killed: list[EngineProcess] = []
        self._calls = 0
        self._idle: asyncio.TimerHandle | None = None
        self._trouble = ""
        self._exits = Counter(
            "airnode_speech_engine_exits_total", "Unexpected ends of the speech engine's process.", registry=registry
        )
        self._audio = Counter(
            "airnode_speech_audio_seconds_total", "Seconds of audio that were transcribed.", registry=registry
        )
        self._failures = Counter(
            "airnode_speech_failures_total", "Audio that could not be transcribed.", ["code"], registry=registry
        )

    @property
    def trouble(self) -> str:
        """Return why the last call failed, as a sentence; empty: it did not."""
        return self._trouble

    async def stop(self) -> None:
        """End the process."""
        self._unload()
        for process in self._killed:
            await process.ended(_KILLED_S)
        await self._tasks.aclose()

    async def transcribe(
        self, pcm: bytes | Path, options: EngineOptions, on_segment: OnSegment | None = None
    ) -> Transcription:
        """See :class:`airnode.speech.engines.engine.Engine`.

        If the process ends in the middle, the audio is transcribed again in a new one; a segment that was reported
        before is not reported again.
        """
        if not options.language and not options.languages:
            options = _with_languages(options, self._section.languages)
        if not options.prompt:
            options = _with_prompt(options, self._section.prompt)
        segments: list[SpokenSegment] = []
        reported_s = -1.0

        def take(segment: SpokenSegment) -> None:
            nonlocal reported_s
            segments.append(segment)
            if on_segment is not None and segment.start_s > reported_s:
                on_segment(segment)
                reported_s = segment.start_s

        async def once(process: EngineProcess) -> AudioDone:
            segments.clear()
            return await process.transcribe(pcm, options, take)

        done = await self._call(once)
        self._audio.inc(done.duration_s)
        language = done.language if segments or options.language else ""
        return Transcription(language, done.probability if language else 0.0, done.duration_s, tuple(segments))

    async def detect_language(self, pcm: bytes | Path, languages: tuple[str, ...] = ()) -> tuple[str, float]:
        """See :class:`airnode.speech.engines.engine.Engine`."""
        wanted = languages or self._section.languages

        async def once(process: EngineProcess) -> AudioDone:
            return await process.detect(pcm, wanted)

        done = await self._call(once)
        return done.language, done.probability

    def describe(self) -> EngineState:
        """See :class:`airnode.speech.engines.engine.Engine`."""
        process = self._process if self._process is not None and self._process.is_running else None
        return EngineState(
            name="local",
            model=self._section.model,
            device=process.loaded.device if process else "",
            compute_type=process.loaded.compute_type if process else "",
            is_loaded=process is not None,
            concurrency=self.concurrency,
            memory_bytes=process.memory_bytes() if process else 0,
            versions=process.loaded.versions if process else {},
        )

    async def _call(self, work: Callable[[EngineProcess], Awaitable[AudioDone]]) -> AudioDone:
        async with self._slots:
            self._calls += 1
            try:
                done = await self._attempted(work)
            except SpeechUnavailable as error:
                self._trouble = error.detail or error.title
                self._failures.labels(error.code).inc()
                raise
            else:
                self._trouble = ""
                return done
            finally:
                self._calls -= 1
                self._wait_idle()

    async def _attempted(self, work: Callable[[EngineProcess], Awaitable[AudioDone]]) -> AudioDone:
        for _ in range(_ATTEMPTS):
            process = await self._running()
            try:
                async with asyncio.timeout(self._section.piece_timeout_s):
                    return await work(process)
            except ProcessEnded:
                self._forget(process)
            except TimeoutError:
                self._kill(process)
                self._forget(process)
                raise EngineFailed(
                    f"The engine did not answer within {self._section.piece_timeout_s:g} s (speech.piece_timeout_s); "
                    "its process was killed."
                ) from None
        raise EngineFailed("The engine's process ended twice in the middle of this audio, perhaps for want of memory.")

    async def _running(self) -> EngineProcess:
        async with self._starting:
            if self._idle is not None:
                self._idle.cancel()
            if self._process is None or not self._process.is_running:
                self._process = await EngineProcess.launch(self._setup, self._tasks, self._section.load_timeout_s)
                loaded = self._process.loaded
                log.info(
                    "speech_model_loaded",
                    model=self._section.model,
                    device=loaded.device,
                    compute_type=loaded.compute_type,
                    concurrency=self.concurrency,
                )
            return self._process

    def _forget(self, process: EngineProcess) -> None:
        """Take a process that ended out of use; the first call that notices counts it."""
        if self._process is process:
            self._process = None
            self._exits.inc()
            log.warning("speech_engine_ended", pid=process.pid, hint="A new process is started with the next work.")

    def _wait_idle(self) -> None:
        if self._calls == 0 and self._process is not None:
            if self._idle is not None:
                self._idle.cancel()
            self._idle = asyncio.get_running_loop().call_later(self._section.idle_unload_s, self._unload_if_idle)

    def _unload_if_idle(self) -> None:
        if self._calls == 0:
            log.info("speech_model_unloaded", idle_s=self._section.idle_unload_s)
            self._unload()

    def _unload(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._process is not None:
            self._kill(self._process)
            self._process = None

    def _kill(self, process: EngineProcess) -> None:
        process.kill()
        self._killed = [*(each for each in self._killed if not each.has_ended), process]


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _with_languages(options: EngineOptions, languages: tuple[str, ...]) -> EngineOptions:
    return msgspec.structs.replace(options, languages=languages) if languages else options


def _with_prompt(options: EngineOptions, prompt: str) -> EngineOptions:
    return msgspec.structs.replace(options, prompt=prompt) if prompt else options
