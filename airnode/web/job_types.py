"""The structs of ``/api/jobs``; the pages' types follow from them."""

from typing import Annotated, Any, Literal

import msgspec

from airnode.bus.jobs.records import JobRecord, JobState, QueueState, WorkerState

#: The last two hours.
_MINUTES = 120

JobStateName = Literal["waiting", "delayed", "active", "waiting-children", "completed", "failed", "cancelled"]


class QueueView(msgspec.Struct):
    """A queue.

    Attributes:
        waiting: jobs that a free worker could take. delayed: those that wait for their time, or their next attempt.
        active: those that a worker has. waiting_children: those that wait until other jobs have ended.
        completed, failed: ended jobs that are kept; cancelled ones count as failed.
        workers: live workers of this queue.
        completed_per_minute, failed_per_minute: jobs that ended in each minute of the last two hours, this one first.
    """

    name: str
    waiting: int
    delayed: int
    active: int
    waiting_children: int
    completed: int
    failed: int
    workers: int
    completed_per_minute: list[int]
    failed_per_minute: list[int]


class JobWorkerView(msgspec.Struct):
    """A live worker.

    Attributes:
        name: of its process, for people. concurrency: jobs that it works at once. active: those that it works now.
        started_at: unix seconds. draining: it takes no more jobs.
    """

    id: str
    name: str
    queues: list[str]
    concurrency: int
    active: int
    version: str
    started_at: float
    draining: bool


class JobQueues(msgspec.Struct):
    """All queues, and the live workers."""

    queues: list[QueueView]
    workers: list[JobWorkerView]


class JobView(msgspec.Struct):
    """A job.

    Attributes:
        name: what kind of work it is. progress: 0 to 100, or what else its handler reported.
        attempts_made: attempts that have ended. attempts: how many there may be.
        enqueued_at, started_at, ended_at: unix seconds; null: not yet. ``started`` is of the newest attempt.
        failed_reason: of the newest failed attempt. worker: the worker that took it last.
        parent: ``queue/id`` of the job that waits for this one.
    """

    id: str
    queue: str
    name: str
    state: JobStateName
    progress: Any
    attempts_made: int
    attempts: int
    priority: int
    enqueued_at: float
    started_at: float | None
    ended_at: float | None
    failed_reason: str
    worker: str
    parent: str


class JobList(msgspec.Struct):
    """Jobs of a queue: those that are taken next first, of ended ones the newest.

    Attributes:
        first: number of the first of them, from 0. total: how many there are in these states.
    """

    queue: str
    first: int
    total: int
    jobs: list[JobView]


class JobDetail(msgspec.Struct):
    """A job with everything that its queue knows of it.

    Attributes:
        data: what it works on. result: what its handler returned; null if there is none, or above 64 KiB.
        result_bytes: size of the result as JSON. traceback: of the newest failed attempt.
        children: the jobs that it waits for, or waited for.
    """

    job: JobView
    data: dict[str, Any]
    result: Any
    result_bytes: int
    traceback: str
    children: list[JobView]


class JobFilter(msgspec.Struct):
    """Which jobs of a queue to list.

    Attributes:
        state: empty: all. Failed and cancelled jobs are kept together, and listed together.
        first: number of the first one, from 0. count: how many at most.
    """

    state: Literal["", "waiting", "delayed", "active", "waiting-children", "completed", "failed", "cancelled"] = ""
    first: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 0
    count: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


def queue_view(queue: QueueState) -> QueueView:
    """Return a queue as the API shows it."""
    counts, ended = queue.counts, queue.ended_per_minute
    return QueueView(
        queue.name,
        waiting=counts[JobState.WAITING],
        delayed=counts[JobState.DELAYED],
        active=counts[JobState.ACTIVE],
        waiting_children=counts[JobState.WAITING_CHILDREN],
        completed=counts[JobState.COMPLETED],
        failed=counts[JobState.FAILED],
        workers=queue.workers,
        completed_per_minute=ended.get(JobState.COMPLETED, [])[:_MINUTES],
        failed_per_minute=ended.get(JobState.FAILED, [])[:_MINUTES],
    )


def worker_view(worker: WorkerState) -> JobWorkerView:
    """Return a worker as the API shows it."""
    return JobWorkerView(
        worker.id,
        worker.name,
        list(worker.queues),
        worker.concurrency,
        worker.active,
        worker.version,
        worker.started_at_ms / 1000,
        worker.draining,
    )


def job_view(job: JobRecord) -> JobView:
    """Return a job as the API shows it."""
    return JobView(
        job.id,
        job.queue,
        job.name,
        job.state.value,
        job.progress,
        job.attempts_made,
        job.attempts,
        job.priority,
        job.enqueued_at_ms / 1000,
        _seconds(job.started_at_ms),
        _seconds(job.ended_at_ms),
        job.failed_reason,
        job.worker,
        f"{job.parent.queue}/{job.parent.id}" if job.parent is not None else "",
    )


def _seconds(unix_ms: int) -> float | None:
    return unix_ms / 1000 if unix_ms else None
