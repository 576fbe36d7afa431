"""What this program and its callers know of jobs: frozen values, no I/O."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

#: Any value that JSON can represent: data, progress and results of jobs.
Json: TypeAlias = Any

#: The largest priority that BullMQ sorts by.
MAX_PRIORITY = 2**21


class JobState(enum.StrEnum):
    """Where a job is."""

    WAITING = "waiting"  # a free worker takes it next; also those with a priority
    DELAYED = "delayed"  # waits until its delay is over: at first, or between two attempts
    ACTIVE = "active"  # a worker holds its lock and runs its handler
    WAITING_CHILDREN = "waiting-children"  # waits until all its children have ended
    COMPLETED = "completed"  # its handler returned a result
    FAILED = "failed"  # its last attempt failed, or an attempt failed for good
    CANCELLED = "cancelled"  # somebody cancelled it before it was completed

    @property
    def ended(self) -> bool:
        """Return whether nothing more happens to the job, unless somebody retries it."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobRef:
    """Which job: its queue, and its id in it."""

    queue: str
    id: str


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is worked.

    Attributes:
        attempts: how often it is tried before it fails.
        backoff_ms: pause after the first failed attempt; it doubles with each further one.
        priority: 0 is first, then 1 to 2**21 in rising order; equal ones in the order in which they came.
        delay_ms: the first attempt begins this much later.
        keep_completed, keep_failed: records of ended jobs that the queue keeps after this one has ended, newest first;
            0: it is removed as soon as it ends. Cancelled jobs count as failed.
        timeout_s: an attempt that takes longer is ended, and counts as failed.
    """

    attempts: int = 3
    backoff_ms: int = 2000
    priority: int = 0
    delay_ms: int = 0
    keep_completed: int = 10
    keep_failed: int = 50
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job to be enqueued.

    Attributes:
        queue: lower-case letters, digits, ``-`` and ``_``.
        name: which handler works it.
        id: without ``:``; empty: a random one. A job whose id exists already is not enqueued again.
    """

    queue: str
    name: str
    data: Mapping[str, Json] = field(default_factory=dict)
    id: str = ""
    options: JobOptions = JobOptions()


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What the queue knows of a job.

    Attributes:
        progress: 0 to 100, or what else the handler reported.
        attempts_made: attempts that have ended. attempts: how many there may be.
        enqueued_at_ms, started_at_ms, ended_at_ms: unix ms; 0: not yet. ``started`` is of the newest attempt.
        result: what the handler returned.
        failed_reason, traceback: of the newest failed attempt; the traceback is for administrators.
        parent: the job that waits for this one.
        worker: name of the worker that took it last.
    """

    id: str
    queue: str
    name: str
    data: dict[str, Json]
    state: JobState
    progress: Json = 0
    attempts_made: int = 0
    attempts: int = 1
    priority: int = 0
    enqueued_at_ms: int = 0
    started_at_ms: int = 0
    ended_at_ms: int = 0
    result: Json = None
    failed_reason: str = ""
    traceback: str = ""
    parent: JobRef | None = None
    worker: str = ""

    @property
    def ref(self) -> JobRef:
        return JobRef(self.queue, self.id)


@dataclass(frozen=True, slots=True)
class ChildResult:
    """How a child of a flow ended; ``failed_reason`` is empty if it was completed."""

    ref: JobRef
    result: Json = None
    failed_reason: str = ""


class JobEventKind(enum.StrEnum):
    """What happened to a job."""

    WAITING = "waiting"  # it waits for a worker: at first, or again
    ACTIVE = "active"  # a worker took it
    PROGRESS = "progress"  # its handler reported progress
    DELAYED = "delayed"  # an attempt failed, the next one follows; or it was enqueued with a delay
    COMPLETED = "completed"  # it has its result
    FAILED = "failed"  # it failed for good, or was cancelled
    GAP = "gap"  # events are missing here: read the records that matter again


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job. ``progress``, ``result`` and ``failed_reason`` belong to their kinds."""

    queue: str
    id: str
    kind: JobEventKind
    progress: Json = None
    result: Json = None
    failed_reason: str = ""


class WorkerState(msgspec.Struct, frozen=True):
    """A worker that is alive; the value of its lease.

    Attributes:
        id: of this run of the worker. name: of its process, for people.
        concurrency: jobs that it works at once, over all its queues. active: jobs that it works now.
        started_at_ms: unix ms.
    """

    id: str
    name: str
    queues: tuple[str, ...]
    concurrency: int
    active: int
    version: str
    started_at_ms: int
    draining: bool = False


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue now.

    Attributes:
        counts: {state: jobs}; cancelled ones are counted as failed. Ended jobs are those that are kept.
        workers: alive workers of this queue.
        ended_per_minute: {completed or failed: jobs that ended in each minute, the newest first}, of the last hours.
    """

    name: str
    counts: dict[JobState, int]
    workers: int
    ended_per_minute: dict[JobState, list[int]] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Return how many jobs a free worker could take."""
        return self.counts.get(JobState.WAITING, 0)
