"""Durable jobs: enqueuing them, looking at them, cancelling and retrying them."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace

import structlog
from redis import asyncio as aioredis

from airnode.bus.client import Bus
from airnode.bus.jobs import keys
from airnode.bus.jobs.bull import Bull, NewJob
from airnode.bus.jobs.changing import JobCancellation, cancel_waiting, pending_descendants, retry_ended
from airnode.bus.jobs.errors import JobNotFound, QueueFull, redis_errors
from airnode.bus.jobs.events import EventReader, JobEvents
from airnode.bus.jobs.hashes import check_options, to_json
from airnode.bus.jobs.metrics import JobMetrics
from airnode.bus.jobs.reading import (
    PAGE_MAX,
    count_waiting,
    read_children,
    read_page,
    read_queues,
    read_record,
    read_records,
)
from airnode.bus.jobs.records import (
    ChildResult,
    JobRecord,
    JobRef,
    JobSpec,
    JobState,
    QueueState,
    WorkerState,
)
from airnode.bus.leases import Leases
from airnode.config.sections.jobs import JobsSection
from airnode.errors import Conflict, InvalidInput, TooLarge
from airnode.kernel.tasks import TaskScope, ended

log = structlog.get_logger(__name__)

#: Commands that block (workers, listeners) hold a connection each.
_CONNECTIONS = 32
_RETRY_FULL_S = 30.0


class Jobs:
    """The queues on the bus' Redis. One a process; it connects when it is first used.

    All methods raise ``Unavailable`` (503) if Redis does not answer, and ``JobsNotInstalled`` (503) if the package
    ``bullmq`` is not installed.
    """

    def __init__(self, bus: Bus, section: JobsSection, metrics: JobMetrics) -> None:
        self.bus = bus
        self.section = section
        self.metrics = metrics
        self._leases = Leases(bus)
        self._tasks = TaskScope("jobs")
        self._client: aioredis.Redis | None = None
        self._bull: Bull | None = None
        #: {queue: (its reader, the reader's task)}, while somebody listens.
        self._readers: dict[str, tuple[EventReader, asyncio.Task[None]]] = {}

    async def stop(self) -> None:
        """Close the connections."""
        await self._tasks.aclose()
        self._readers.clear()
        client, self._client, self._bull = self._client, None, None
        if client is not None:
            await client.aclose()

    @property
    def client(self) -> aioredis.Redis:
        """Return the client of the queues; its replies are text."""
        if self._client is None:
            self._client = self.bus.separate_client("airnode-jobs", connections=_CONNECTIONS)
        return self._client

    @property
    def bull(self) -> Bull:
        """Return BullMQ's scripts."""
        if self._bull is None:
            self._bull = Bull(self.client)
        return self._bull

    # -- enqueuing ----------------------------------------------------------------------------------------------------

    async def enqueue(self, spec: JobSpec) -> JobRecord:
        """Add a job; return its record. If its id exists already, nothing is added, and that job is returned.

        Raises:
            InvalidInput: a bad name, id or option. HTTP 400.
            TooLarge: the data is above ``jobs.data_max_bytes``. HTTP 413.
            QueueFull: the queue has ``jobs.max_waiting`` waiting jobs. HTTP 503.
        """
        return await self._add([NewJob(self._checked(spec))])

    async def enqueue_flow(self, parent: JobSpec, children: Sequence[JobSpec]) -> JobRecord:
        """Add a job that waits until all ``children`` have ended, with them, all or none; return its record.

        It also runs if children fail; its handler reads which ones did (``JobControl.children_results``).

        Raises:
            InvalidInput: as for :meth:`enqueue`, or two children have one id. TooLarge, QueueFull: likewise.
        """
        checked = self._checked(parent)
        ref = JobRef(checked.queue, checked.id)
        jobs = [NewJob(self._checked(each), parent=ref) for each in children]
        refs = {ref, *(JobRef(each.spec.queue, each.spec.id) for each in jobs)}
        if len(refs) != len(jobs) + 1:
            raise InvalidInput("Two jobs of the flow have the same id.")
        return await self._add([NewJob(checked, has_children=bool(jobs)), *jobs])

    async def _add(self, jobs: Sequence[NewJob]) -> JobRecord:
        bull, first = self.bull, jobs[0].spec
        with redis_errors():
            await self._make_room(jobs)
            await bull.add(jobs)
            record = await read_record(self.client, JobRef(first.queue, first.id))
        for job in jobs:
            self.metrics.enqueued.labels(job.spec.queue).inc()
        # A worker may have ended it already, and nothing is kept of it.
        return record or JobRecord(first.id, first.queue, first.name, dict(first.data), JobState.WAITING)

    async def _make_room(self, jobs: Sequence[NewJob]) -> None:
        """Refuse jobs for which there is no room, and make their queues known."""
        for queue in {job.spec.queue for job in jobs}:
            added = sum(job.spec.queue == queue and not job.has_children for job in jobs)
            waiting = await count_waiting(self.client, queue)
            if waiting + added > self.section.max_waiting:
                self.metrics.refused.labels(queue, "queue_full").inc()
                raise QueueFull(
                    f"The queue {queue} has {waiting} waiting jobs; it takes {self.section.max_waiting} "
                    "(jobs.max_waiting). Try again later, or start more workers.",
                    retry_after_s=_RETRY_FULL_S,
                )

    def _checked(self, spec: JobSpec) -> JobSpec:
        spec = spec if spec.id else replace(spec, id=uuid.uuid4().hex)
        keys.check_job(spec.queue, spec.id)
        keys.check_name(spec.name)
        check_options(spec.options)
        try:
            size = len(to_json(dict(spec.data)))
        except ValueError as error:
            raise InvalidInput(f"The data of a job must be JSON: {error}") from None
        if size > self.section.data_max_bytes:
            self.metrics.refused.labels(spec.queue, "data_too_large").inc()
            raise TooLarge(
                f"The data of a job has {size} bytes; at most {self.section.data_max_bytes} (jobs.data_max_bytes)."
            )
        return spec

    # -- looking ------------------------------------------------------------------------------------------------------

    async def get(self, queue: str, job_id: str) -> JobRecord | None:
        """Return a job; None if there is none, or if it has ended and is not kept any more.

        Raises:
            InvalidInput: a bad name or id. HTTP 400.
        """
        keys.check_job(queue, job_id)
        with redis_errors():
            return await read_record(self.client, JobRef(queue, job_id))

    async def children(self, queue: str, job_id: str) -> list[JobRecord]:
        """Return the children of a job by their ids.

        Of a child that is not kept any more, the record has its id, its state, and its result or the reason.
        """
        keys.check_job(queue, job_id)
        with redis_errors():
            pending, ended_children = await read_children(self.client, JobRef(queue, job_id))
            ends = {child.ref: child for child in ended_children}
            refs = sorted((*pending, *ends), key=lambda ref: (ref.queue, ref.id))
            found = await read_records(self.client, refs)
        records = (record or _of_child(ends.get(ref)) for ref, record in zip(refs, found, strict=True))
        return [record for record in records if record is not None]

    async def children_results(self, ref: JobRef) -> list[ChildResult]:
        """Return how those children of a job ended that have ended, by their ids."""
        with redis_errors():
            return (await read_children(self.client, ref))[1]

    async def jobs(
        self, queue: str, states: Collection[JobState] = tuple(JobState), first: int = 0, last: int = 99
    ) -> list[JobRecord]:
        """Return the jobs number ``first`` to ``last`` in these states: active, waiting, delayed, failed, completed.

        Those that are taken next come first, of ended ones the newest. Failed and cancelled jobs are kept together.

        Raises:
            InvalidInput: a bad name, or more than 500 at once. HTTP 400.
        """
        keys.check_queue(queue)
        if not 0 <= first <= last + 1 or last - first >= PAGE_MAX:
            raise InvalidInput(f"Ask for jobs from 0 upwards, at most {PAGE_MAX} at once.")
        with redis_errors():
            return await read_page(self.client, queue, states, first, last)

    async def queues(self) -> list[QueueState]:
        """Return all queues by name."""
        workers = await self.workers()
        names = {queue for worker in workers for queue in worker.queues}
        counts = {name: sum(name in worker.queues for worker in workers) for name in names}
        with redis_errors():
            return await read_queues(self.client, counts)

    async def workers(self, queue: str | None = None) -> list[WorkerState]:
        """Return the live workers of a queue, or all, by name."""
        found = (await self._leases.read_leases(keys.WORKERS, WorkerState)).values()
        chosen = [worker for worker in found if queue is None or queue in worker.queues]
        return sorted(chosen, key=lambda worker: (worker.name, worker.id))

    @contextlib.asynccontextmanager
    async def events(self, queue: str) -> AsyncIterator[JobEvents]:
        """Yield what happens in a queue from now on: ``async with jobs.events("q") as events: async for event in …``.

        Read the records that matter inside of it, before the events, and again at each gap.

        Raises:
            InvalidInput: a bad name. HTTP 400.
            Unavailable: Redis does not answer.
        """
        keys.check_queue(queue)
        listener = JobEvents(queue)
        if queue not in self._readers:
            reader = EventReader(self.client, queue)
            self._readers[queue] = reader, self._tasks.spawn(f"events-{queue}", reader.run())
        reader, task = self._readers[queue]
        reader.listeners.add(listener)
        try:
            with redis_errors():
                async with asyncio.timeout(self.bus.connect_timeout_s):
                    await reader.ready.wait()
            yield listener
        finally:
            reader.listeners.discard(listener)
            if not reader.listeners and self._readers.get(queue, (None,))[0] is reader:
                del self._readers[queue]
                await ended(task)

    # -- changing -----------------------------------------------------------------------------------------------------

    async def cancel(self, queue: str, job_id: str) -> JobRecord:
        """Cancel a job and its children that have not ended; return its record.

        A waiting job ends at once. The worker of an active one is told, and ends it soon after. Nothing happens to a
        job that has ended.

        Raises:
            InvalidInput: a bad name or id. HTTP 400.
            JobNotFound: HTTP 404.
        """
        ref, bull = (await self._existing(queue, job_id)).ref, self.bull
        with redis_errors():
            refs = [ref, *await pending_descendants(self.client, ref)]
            running = [each for each in refs if await cancel_waiting(self.client, bull, each)]
        for each in running:
            await self.bus.publish(keys.channel(each.queue), JobCancellation(each.queue, each.id))
        log.info("job_cancelled", queue=queue, job=job_id, with_children=len(refs) - 1, running=len(running))
        record = await self.get(queue, job_id)
        return record or JobRecord(job_id, queue, "", {}, JobState.CANCELLED)

    async def retry(self, queue: str, job_id: str) -> JobRecord:
        """Put an ended job back into its queue, with all its attempts; return its record.

        If children of it failed, they are worked again, and it waits for them.

        Raises:
            InvalidInput: a bad name or id. HTTP 400.
            JobNotFound: HTTP 404.
            Conflict: it has not ended. HTTP 409.
        """
        record, bull = await self._existing(queue, job_id), self.bull
        if not record.state.ended:
            raise Conflict(f"The job {job_id} is {record.state}; only a job that has ended can be retried.")
        with redis_errors():
            await retry_ended(self.client, bull, record)
        log.info("job_retried", queue=queue, job=job_id)
        return await self._existing(queue, job_id)

    async def _existing(self, queue: str, job_id: str) -> JobRecord:
        record = await self.get(queue, job_id)
        if record is None:
            raise JobNotFound(f"The queue {queue} has no job {job_id}.")
        return record


def _of_child(child: ChildResult | None) -> JobRecord | None:
    """Return what is left of a child whose record is not kept."""
    if child is None:
        return None
    state = JobState.FAILED if child.failed_reason else JobState.COMPLETED
    return JobRecord(
        child.ref.id, child.ref.queue, "", {}, state, result=child.result, failed_reason=child.failed_reason
    )
