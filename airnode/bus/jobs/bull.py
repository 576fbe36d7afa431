"""BullMQ for Python: the only file that imports it. Its scripts on one client, without its worker.

BullMQ's own ``Worker`` starts tasks that nobody owns, and loses a finished result if Redis is away at that moment. Its
scripts are the contract that its versions in all languages share, so ours is a worker as they describe one:
https://docs.bullmq.io/patterns/manually-fetching-jobs
"""

import importlib.util
import json
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from redis import asyncio as aioredis

from airnode.bus.jobs import keys
from airnode.bus.jobs.errors import JobsNotInstalled
from airnode.bus.jobs.hashes import METRICS_MINUTES, options_of, to_bullmq, to_json, to_record
from airnode.bus.jobs.records import JobOptions, JobRecord, JobRef, JobSpec, Json
from airnode.bus.jobs.scripts import RENEW

#: What scripts answer if the job is not ours (any more); see ``bullmq.error_code``.
NOT_OURS = frozenset({-1, -2, -3, -6})
#: A parent has children that have not ended.
PENDING_CHILDREN = -4


@dataclass(frozen=True, slots=True)
class NewJob:
    """A checked job to be added."""

    spec: JobSpec
    parent: JobRef | None = None
    has_children: bool = False


@dataclass(frozen=True, slots=True)
class TakenJob:
    """A job that this worker has taken.

    Attributes:
        token: with which its lock is held. started: number of times that it was taken, this one included.
        fields: its hash.
    """

    record: JobRecord
    options: JobOptions
    token: str
    started: str
    fields: Mapping[str, str]

    @property
    def ref(self) -> JobRef:
        return self.record.ref


@dataclass(slots=True)
class _BullJob:
    """What BullMQ's scripts read of a job that ends."""

    id: str
    queue: "_BullQueue"
    opts: dict[str, Any]
    attempts: int
    attemptsMade: int  # noqa: N815 - BullMQ's name


@dataclass(slots=True)
class _BullQueue:
    """What BullMQ's classes read of a queue."""

    backend: Any
    qualifiedName: str  # noqa: N815 - BullMQ's name
    opts: dict[str, Any] = field(default_factory=lambda: {"metrics": {"maxDataPoints": METRICS_MINUTES}})


def is_installed() -> bool:
    """Return whether the package that durable jobs need is installed, without importing it."""
    return importlib.util.find_spec("bullmq") is not None


class Bull:
    """BullMQ's scripts.

    All methods raise what redis-py raises.

    Args:
        client: its replies are text.

    Raises:
        JobsNotInstalled: HTTP 503.
    """

    def __init__(self, client: aioredis.Redis) -> None:
        try:
            from bullmq.backends import RedisBackend
            from bullmq.job import Job
            from bullmq.redis_connection import RedisConnection, loadScript
        except ImportError:
            raise JobsNotInstalled("Durable jobs need the package bullmq: install airnode[stt].") from None
        self._client = client
        self._job_type = Job
        # It would ask for the version of the server, which a worker's credential may not.
        connection = RedisConnection(client, skipVersionCheck=True)
        self._backend = RedisBackend("", connection, prefix=keys.PREFIX, owns_connection=False)
        self._give_back = client.register_script(loadScript("moveJobFromActiveToWait-9.lua"))
        #: {name: queue}. Grows with the names that this program uses.
        self._queues: dict[str, _BullQueue] = {}

    async def add(self, jobs: Sequence[NewJob]) -> None:
        """Add jobs in one transaction; those whose id exists already are left as they are."""
        entries = []
        for new in jobs:
            queue = self._queue(new.spec.queue)
            parent_key = self._queue(new.parent.queue).qualifiedName if new.parent is not None else ""
            options = to_bullmq(new.spec.options, new.spec.id, new.parent, parent_key)
            job = self._job_type(queue, new.spec.name, dict(new.spec.data), options)
            entries.append({"job": job, "is_parent": new.has_children})
        await self._backend.addFlow(entries)

    async def take(self, queue: str, token: str, *, lock_s: float, worker: str) -> TakenJob | int:
        """Take the next job, or return when to look again.

        Returns:
            The job; else the unix ms at which a delayed job is due, or 0: when something is added.
        """
        scripts = self._scripts(queue)
        options = {"token": token, "lockDuration": round(lock_s * 1000), "name": worker}
        answer = await scripts.commands["moveToActive"](
            keys=_keys(
                queue,
                *("wait", "active", "prioritized", "events", "stalled", "limiter", "delayed"),
                *("paused", "meta", "pc", "marker"),
            ),
            args=[keys.of_queue(queue, ""), _now_ms(), msgspec.msgpack.encode(options)],
        )
        flat, job_id, limited_ms, due_ms = answer
        if not flat:
            return max(int(due_ms or 0), _now_ms() + int(limited_ms) if limited_ms else 0)
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        record = to_record(JobRef(queue, str(job_id)), fields, "active")
        return TakenJob(record, options_of(fields), token, fields.get("ats", ""), fields)

    async def wait(self, queues: Sequence[str], timeout_s: float) -> None:
        """Wait until one of the queues may have a job."""
        await _reply(self._client.bzpopmin([keys.of_queue(each, "marker") for each in queues], timeout_s))

    async def wake(self, queue: str) -> None:
        """Let a waiting worker look at the queue."""
        await _reply(self._client.zadd(keys.of_queue(queue, "marker"), {"0": 0}))

    async def complete(self, taken: TakenJob, result: Json) -> int:
        """End a job with its result. Return 0, or a code below 0 if that is not possible."""
        job, keep = self._ending(taken), {"count": taken.options.keep_completed}
        return await self._finish(self._scripts(taken.ref.queue).moveToCompletedArgs(job, result, keep, taken.token, 0))

    async def fail(self, taken: TakenJob, reason: str, traceback: str) -> int:
        """End a job that failed for good. Return 0, or a code below 0 if that is not possible."""
        job, keep = self._ending(taken), {"count": taken.options.keep_failed}
        changes = _failure(taken.fields, reason, traceback)
        scripts = self._scripts(taken.ref.queue)
        return await self._finish(scripts.moveToFailedArgs(job, reason, keep, taken.token, 0, changes))

    async def retry_later(self, taken: TakenJob, delay_ms: int, reason: str, traceback: str) -> int:
        """Let a job that failed wait for its next attempt. Return 0, or a code below 0 if that is not possible."""
        scripts, job_id = self._scripts(taken.ref.queue), taken.ref.id
        changes = {"fieldsToUpdate": _failure(taken.fields, reason, traceback)}
        if delay_ms:
            script = "moveToDelayed"
            found = scripts.moveToDelayedArgs(job_id, _now_ms(), taken.token, delay_ms, changes)
        else:
            script, found = "retryJob", scripts.retryJobArgs(job_id, False, taken.token, changes)
        return _code(await scripts.commands[script](keys=found[0], args=found[1]))

    async def give_back(self, taken: TakenJob) -> int:
        """Put a job to the front of its queue, without counting the attempt. Return 0 or more, or a code below 0."""
        queue = taken.ref.queue
        names = ("active", "wait", "stalled", "paused", "meta", "limiter", "prioritized", "marker", "events")
        arguments = [taken.ref.id, taken.token, keys.of_queue(queue, taken.ref.id)]
        return _code(await self._give_back(keys=_keys(queue, *names), args=arguments))

    async def retake(self, taken: TakenJob, lock_s: float) -> bool:
        """Take the expired lock of a job again; return False if another worker has begun the job, or it has ended."""
        queue, job_id = taken.ref.queue, taken.ref.id
        arguments = [keys.of_queue(queue, ""), str(round(lock_s * 1000)), job_id, taken.token, taken.started]
        lost, _ = await _reply(self._client.eval(RENEW, 2, *_keys(queue, "stalled", "active"), *arguments))
        return not lost

    async def await_children(self, taken: TakenJob) -> None:
        """Let a parent wait for children that were retried while it ran."""
        scripts = self._scripts(taken.ref.queue)
        found = scripts.moveToWaitingChildrenArgs(taken.ref.id, taken.token, {})
        await scripts.commands["moveToWaitingChildren"](keys=found[0], args=found[1])

    async def recover_stalled(self, queue: str, *, stalled_max: int, every_s: float) -> list[str]:
        """Put jobs back whose lock has expired; return their ids. Of all workers one does it in ``every_s``."""
        found = await self._scripts(queue).moveStalledJobsToWait(stalled_max, round(every_s * 1000))
        return [str(each) for each in found or ()]

    async def report_progress(self, ref: JobRef, progress: Json) -> bool:
        """Store and publish progress; return False if there is no such job."""
        scripts = self._scripts(ref.queue)
        script_keys = _keys(ref.queue, ref.id, "events", "meta")
        return _code(await scripts.commands["updateProgress"](keys=script_keys, args=[ref.id, to_json(progress)])) == 0

    async def reprocess(self, ref: JobRef, place: str, pipeline: aioredis.client.Pipeline) -> None:
        """Queue in ``pipeline``: put an ended job (of the set ``place``) back to its queue, with all its attempts."""
        scripts = self._scripts(ref.queue)
        script_keys = _keys(ref.queue, ref.id, "events", place, "wait", "meta", "active", "marker", "prioritized", "pc")
        value = "failedReason" if place == "failed" else "returnvalue"
        await scripts.commands["reprocessJob"](
            keys=script_keys, args=[ref.id, "LPUSH", value, place, "1", "0"], client=pipeline
        )

    async def _finish(self, found: tuple[list[str], list[Any]]) -> int:
        return _code(await self._backend.scripts.commands["moveToFinished"](keys=found[0], args=found[1]))

    def _ending(self, taken: TakenJob) -> _BullJob:
        record, queue = taken.record, self._queue(taken.ref.queue)
        return _BullJob(record.id, queue, {}, record.attempts, record.attempts_made)

    def _scripts(self, queue: str) -> Any:
        return self._queue(queue).backend.scripts

    def _queue(self, name: str) -> _BullQueue:
        if name not in self._queues:
            backend = self._backend.forQueue(name)
            self._queues[name] = _BullQueue(backend, backend.qualifiedName)
        return self._queues[name]


def _keys(queue: str, *parts: str) -> list[str]:
    return [keys.of_queue(queue, part) for part in parts]


def _failure(fields: Mapping[str, str], reason: str, traceback: str) -> dict[str, str]:
    """Return the changes of a job's hash after a failed attempt."""
    try:
        before = json.loads(fields.get("stacktrace", "[]"))
    except ValueError:
        before = []
    tracebacks = [*(before if isinstance(before, list) else []), traceback][-3:]
    return {"failedReason": reason, "stacktrace": to_json(tracebacks)}


def _code(answer: object) -> int:
    return answer if isinstance(answer, int) else 0


async def _reply(answer: Awaitable[Any] | Any) -> Any:
    """Await an answer of redis-py, whose types also allow the synchronous client's."""
    return await cast(Awaitable[Any], answer)


def _now_ms() -> int:
    return round(time.time() * 1000)
