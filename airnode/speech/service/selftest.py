"""The self-test: two seconds of speech, transcribed by a worker as any piece is.

``selftest.ogg`` is the beginning of a sentence of Jane Austen, read by a volunteer of LibriVox (public domain).
"""

import asyncio
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from airnode.bus.jobs.control import JobControl
from airnode.bus.jobs.errors import PermanentError
from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.records import JobOptions, JobRecord, JobSpec, JobState
from airnode.errors import AirnodeError
from airnode.speech.engines.engine import Engine, EngineOptions
from airnode.speech.media.files import decode
from airnode.speech.media.limits import MediaLimits
from airnode.speech.service.queue_names import LONG, SHORT

SELFTEST = "selftest"
_HEARD = "john"
_TIMEOUT_S = 60.0
_LOOK_EVERY_S = 0.1
#: A result is shown again for this long: the test costs work.
_KEEP_S = 10.0


class SelfTestResult(msgspec.Struct, frozen=True):
    """How the self-test went.

    Attributes:
        ok: a worker heard what is said. text: what it heard. seconds: from the request to the result.
        detail: why it is not ok; empty: it is.
    """

    ok: bool
    text: str = ""
    seconds: float = 0.0
    detail: str = ""


class SelfTestJob:
    """The handler, on stt-workers."""

    def __init__(self, engine: Engine, limits: MediaLimits) -> None:
        self._engine = engine
        self._limits = limits

    async def __call__(self, job: JobRecord, control: JobControl) -> Any:
        """Return the text."""
        audio = await asyncio.to_thread(resources.files(__package__).joinpath("selftest.ogg").read_bytes)
        with tempfile.TemporaryDirectory(prefix="airnode-selftest-") as folder:
            source, pcm = Path(folder) / "selftest.ogg", Path(folder) / "selftest.pcm"
            await asyncio.to_thread(source.write_bytes, audio)
            try:
                await decode(source, pcm, self._limits)
                found = await self._engine.transcribe(pcm, EngineOptions(language="en", word_times=False))
            except AirnodeError as error:
                raise PermanentError(error.detail or error.title, debug=error.debug) from error
        return {"text": found.text}


class SelfTest:
    """Runs the self-test on any worker, at most once at a time."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._running = asyncio.Lock()
        self._result: tuple[float, SelfTestResult] | None = None

    async def run(self) -> SelfTestResult:
        """Return the result of a test that is not older than ten seconds. Raises Unavailable without Redis."""
        async with self._running:
            if self._result is None or time.monotonic() - self._result[0] > _KEEP_S:
                self._result = time.monotonic(), await self._run()
            return self._result[1]

    async def _run(self) -> SelfTestResult:
        queue = await self._queue()
        if queue is None:
            return SelfTestResult(False, detail="No worker is there: start one with airnode --role stt-worker.")
        begun_s = time.monotonic()
        options = JobOptions(attempts=1, timeout_s=_TIMEOUT_S)
        job = await self._jobs.enqueue(JobSpec(queue, SELFTEST, options=options))
        while not job.state.ended and time.monotonic() - begun_s < _TIMEOUT_S:
            await asyncio.sleep(_LOOK_EVERY_S)
            job = await self._jobs.get(queue, job.id) or job
        seconds = round(time.monotonic() - begun_s, 3)
        if job.state is not JobState.COMPLETED:
            if not job.state.ended:
                await self._jobs.cancel(queue, job.id)
            return SelfTestResult(False, seconds=seconds, detail=job.failed_reason or "No worker answered in time.")
        text = str(job.result["text"])
        ok = _HEARD in text.lower()
        return SelfTestResult(ok, text, seconds, "" if ok else "The worker heard something else.")

    async def _queue(self) -> str | None:
        for queue in (SHORT, LONG):
            if await self._jobs.workers(queue):
                return queue
        return None
