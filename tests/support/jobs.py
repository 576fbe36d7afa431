"""Queues and workers on a real Redis."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.jobs.control import Handler, JobControl
from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.metrics import JobMetrics
from airnode.bus.jobs.records import JobOptions, JobRecord, JobSpec, JobState
from airnode.bus.jobs.worker import JobWorker
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.jobs import JobsSection
from airnode.config.sections.redis import RedisSection
from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
QUEUE = "q"
#: Quick enough for tests: a dead worker's job runs again within a second or two.
QUICK = {"lock_s": 2, "stalled_check_s": 0.3, "cancel_grace_s": 0.5}


class JobsRig:
    """One process: its bus, its view of the queues, and its workers."""

    def __init__(self, url: str, **section: Any) -> None:
        self.registry = CollectorRegistry()
        self.bus = Bus(RedisSection(url=url), BusMetrics(self.registry))
        self.jobs = Jobs(self.bus, JobsSection(**{**QUICK, **section}), JobMetrics(self.registry))
        self.failures: list[BaseException] = []
        self._workers: list[JobWorker] = []

    async def worker(self, handlers: Mapping[str, Handler], *queues: str, concurrency: int = 2) -> JobWorker:
        """Start a worker; it is stopped with the rig."""
        tasks = TaskScope("worker", lambda name, error: self.failures.append(error))
        worker = JobWorker(self.jobs, queues or (QUEUE,), handlers, concurrency=concurrency, tasks=tasks)
        self._workers.append(worker)
        await worker.start()
        return worker

    async def until(self, job_id: str, *states: JobState, queue: str = QUEUE, within_s: float = 15) -> JobRecord:
        """Return the job when it is in one of these states; without any: when it has ended."""

        async def there() -> JobRecord | None:
            try:
                record = await self.jobs.get(queue, job_id)
            except Unavailable:  # a test that stops Redis waits until it is back
                return None
            wanted = record is not None and (record.state in states if states else record.state.ended)
            return record if wanted else None

        return await eventually(there, within_s, f"{job_id} is {states or 'ended'}")  # type: ignore[return-value]

    async def ended(self, ids: list[str], queue: str = QUEUE, within_s: float = 30) -> list[JobRecord]:
        return [await self.until(each, queue=queue, within_s=within_s) for each in ids]

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def attempts(self, end: str, queue: str = QUEUE) -> float:
        return self.count("airnode_jobs_attempts_total", queue=queue, end=end)

    async def close(self) -> None:
        for worker in self._workers:
            await worker.stop()
        await self.jobs.stop()
        await self.bus.stop()
        assert self.failures == []


@asynccontextmanager
async def jobs_rig(url: str, **section: Any) -> AsyncIterator[JobsRig]:
    rig = JobsRig(url, **section)
    await rig.bus.start()
    try:
        yield rig
    finally:
        await rig.close()


def spec(name: str = "echo", job_id: str = "", queue: str = QUEUE, data: dict[str, Any] | None = None, **options: Any):
    """Return a job with quick retries, whose record is kept."""
    chosen = {"backoff_ms": 10, "keep_completed": 1000, "keep_failed": 1000, "timeout_s": 30, **options}
    return JobSpec(queue, name, data or {}, job_id, JobOptions(**chosen))


async def echo(job: JobRecord, control: JobControl) -> Any:
    """Return the data."""
    return job.data


class Gate:
    """A handler that waits until the test lets it go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.open = asyncio.Event()

    async def __call__(self, job: JobRecord, control: JobControl) -> Any:
        self.begun.append(job.id)
        await self.open.wait()
        self.ended.append(job.id)
        return {"by": "gate"}

    async def until_begun(self, count: int = 1) -> None:
        await eventually(lambda: len(self.begun) >= count, 15, f"{count} jobs have begun")


@asynccontextmanager
async def worker_process(url: str, **section: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yield a worker in a process of its own; see :mod:`tests.support.job_worker`."""
    command = (sys.executable, "-m", "tests.support.job_worker", url, json.dumps(section))
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, cwd=ROOT)
    try:
        await said(process, "ready")
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, line: str) -> None:
    """Wait until the process has printed this line."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while (found := await process.stdout.readline()).decode().strip() != line:
            assert found, f"the process ended before it said {line!r}"
