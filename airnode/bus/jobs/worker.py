"""A worker: takes jobs of some queues, runs their handlers, and ends them."""

import asyncio
import contextlib
import logging
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import msgspec
import structlog

import airnode
from airnode.bus.jobs import keys
from airnode.bus.jobs.attempt import Attempt
from airnode.bus.jobs.bull import NOT_OURS, PENDING_CHILDREN, TakenJob
from airnode.bus.jobs.changing import JobCancellation
from airnode.bus.jobs.control import Handler, JobControl
from airnode.bus.jobs.errors import REDIS_ERRORS, redis_errors, unreachable
from airnode.bus.jobs.hashes import to_json
from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.locks import HeldLock, LockKeeper
from airnode.bus.jobs.records import JobRef, Json, WorkerState
from airnode.bus.jobs.stalled import StalledJobs
from airnode.bus.jobs.steps import Complete, Fail, GiveBack, Leave, RetryLater, Step, StopReason
from airnode.bus.leases import Leases
from airnode.bus.subscription import AnyChannelSubscription
from airnode.errors import Unavailable
from airnode.kernel.backoff import Backoff, repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope, ended
from airnode.kernel.trouble import Trouble

log = structlog.get_logger(__name__)

_LEASE_S, _RENEW_LEASE_S = 10.0, 3.0
_BEAT_S = 0.5
#: An idle worker looks into its queues this often, in case that a marker was lost.
_LOOK_S = 5.0
#: Time in which the jobs of a worker that stops are given back.
_RETURN_S = 5.0
_ENDS = {Complete: "completed", RetryLater: "retried", Fail: "failed", GiveBack: "returned", Leave: "lost"}


class JobWorker(Service):
    """Works the jobs of some queues.

    A drain takes no new jobs and waits for the running ones. Those that have not ended at the stop are given back.

    Args:
        queues: the first of them that has a job comes next, each in its turn.
        handlers: {name of a job: what works it}. Jobs of other names fail an attempt, for another worker to try.
        concurrency: jobs at once, over all queues.
        tasks: a failure in it fails the node.
        name: of this process, for people; empty: the name of the machine.
    """

    name = "job-worker"

    def __init__(
        self,
        jobs: Jobs,
        queues: Sequence[str],
        handlers: Mapping[str, Handler],
        *,
        concurrency: int,
        tasks: TaskScope,
        name: str = "",
    ) -> None:
        super().__init__()
        for queue in queues:
            keys.check_queue(queue)
        self._jobs = jobs
        self._queues = list(queues)
        self._handlers = handlers
        self._concurrency = concurrency
        self._tasks = tasks
        self._state = WorkerState(
            id=uuid.uuid4().hex[:12],
            name=name or socket.gethostname(),
            queues=tuple(queues),
            concurrency=concurrency,
            active=0,
            version=airnode.__version__,
            started_at_ms=round(time.time() * 1000),
        )
        self._leases = Leases(jobs.bus)
        section = jobs.section
        self._locks = LockKeeper(
            lambda: jobs.bus.thread_client("airnode-job-locks"),
            lock_s=section.lock_s,
            hung_s=section.hung_s,
            on_lost=lambda ref: self._stop_attempt(ref, StopReason.LOST),
            on_cancelled=lambda ref: self._stop_attempt(ref, StopReason.CANCELLED),
        )
        self._stalled = StalledJobs(jobs, queues, self._locks)
        #: {job: its attempt}, while it runs or its end is written.
        self._attempts: dict[JobRef, Attempt] = {}
        self._free = asyncio.Semaphore(concurrency)
        self._idle = asyncio.Event()
        self._idle.set()
        self._tokens = 0
        self._draining = False
        #: The task that takes jobs may be cancelled now: it holds none.
        self._may_interrupt = False
        self._taking: asyncio.Task[None] | None = None
        self._subscriptions: list[AnyChannelSubscription] = []
        self._trouble = Trouble("job_queues_not_reached", "job_queues_reached")

    async def start(self) -> None:
        """Begin to take jobs.

        Raises:
            Unavailable: Redis does not answer, or ``bullmq`` is not installed.
        """
        _ = self._jobs.bull
        for queue in self._queues:
            self._subscriptions.append(
                await self._jobs.bus.subscribe(keys.channel(queue), JobCancellation, self._cancelled)
            )
        self._locks.start()
        await self._report()
        self._spawn_repeated("report", _RENEW_LEASE_S, self._report)
        self._tasks.spawn("beat", self._beat())
        self._spawn_repeated("stalled", self._jobs.section.stalled_check_s, self._stalled.recover)
        self._taking = self._tasks.spawn("take", self._take_jobs())
        log.info("job_worker_started", worker=self._state.id, queues=self._queues, concurrency=self._concurrency)

    async def drain(self) -> None:
        """Take no more jobs, and wait for those that run."""
        self._draining = True
        with contextlib.suppress(Unavailable):
            await self._report()
        await self._stop_taking()
        await self._idle.wait()

    async def stop(self) -> None:
        """Give the running jobs back, and end."""
        self._draining = True
        await self._stop_taking()
        for attempt in list(self._attempts.values()):
            attempt.stop(StopReason.RETURNED)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETURN_S):
                await self._idle.wait()
        if self._attempts:
            log.warning("jobs_not_given_back", jobs=[ref.id for ref in self._attempts], detail="their locks expire")
        await self._tasks.aclose()
        await self._locks.stop()
        for subscription in self._subscriptions:
            await self._jobs.bus.unsubscribe(subscription)
        self._subscriptions.clear()
        with contextlib.suppress(Unavailable):
            await self._leases.drop_lease(keys.WORKERS, self._state.id)

    def check(self) -> str:
        """Return what the worker does, for ``/health``.

        Raises:
            Unavailable: it cannot reach its queues.
        """
        self._trouble.check()
        return f"{len(self._attempts)} of {self._concurrency} jobs at work"

    # -- taking jobs --------------------------------------------------------------------------------------------------

    async def _take_jobs(self) -> None:
        backoff = Backoff(0.1, 2.0)
        while not self._draining:
            with self._interruptible():
                await self._free.acquire()
            taken: TakenJob | None = None
            try:
                taken = await self._next()
                backoff.reset()
                self._trouble.end()
            except REDIS_ERRORS as error:
                self._trouble.begin(unreachable(error))
                with self._interruptible():
                    await backoff.pause()
            finally:
                if taken is None:
                    self._free.release()
            if taken is not None:
                self._tasks.spawn(f"work-{taken.ref.queue}/{taken.ref.id}", self._work(taken))

    async def _next(self) -> TakenJob | None:
        """Return a job, which is ours from then on; None: none came, or the worker drains."""
        due_ms = []
        for queue in list(self._queues):
            if self._draining:
                return None
            self._tokens += 1
            token = f"{self._state.id}:{self._tokens}"
            lock_s, name = self._jobs.section.lock_s, f"{self._state.name}/{self._state.id}"
            taken = await self._jobs.bull.take(queue, token, lock_s=lock_s, worker=name)
            if isinstance(taken, TakenJob):
                # The other queues have their turn before this one.
                self._queues.remove(queue)
                self._queues.append(queue)
                return taken
            if taken:
                due_ms.append(taken)
        wait_s = min([_LOOK_S, *((each / 1000 - time.time()) for each in due_ms)])
        with self._interruptible():
            await self._jobs.bull.wait(self._queues, max(wait_s, 0.01))
        return None

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        if self._draining:
            raise asyncio.CancelledError
        self._may_interrupt = True
        try:
            yield
        finally:
            self._may_interrupt = False

    async def _stop_taking(self) -> None:
        taking = self._taking
        if taking is None or taking.done():
            return
        if self._may_interrupt:
            await ended(taking)
        else:
            await asyncio.wait((taking,))
        # A marker that this worker took away without looking is for another one.
        with contextlib.suppress(*REDIS_ERRORS):
            for queue in self._queues:
                await self._jobs.bull.wake(queue)

    # -- working a job ------------------------------------------------------------------------------------------------

    async def _work(self, taken: TakenJob) -> None:
        ref, metrics, began_s = taken.ref, self._jobs.metrics, time.monotonic()
        lock = HeldLock(ref, taken.token, taken.started)
        attempt = self._attempt(taken)
        self._attempts[ref] = attempt
        self._idle.clear()
        self._locks.hold(lock)
        if taken.started == "1":
            metrics.wait_s.labels(ref.queue).observe(max(0.0, time.time() - taken.record.enqueued_at_ms / 1000))
        try:
            step = await self._run(taken, attempt)
            await self._settle(taken, attempt, self._within_limits(step))
        except Exception:  # the job runner: whatever a job contains, it must not stop the others
            log.exception("job_not_ended", queue=ref.queue, job=ref.id, detail="its lock expires; then it runs again")
        finally:
            self._locks.release(lock)
            if self._attempts.get(ref) is attempt:
                del self._attempts[ref]
            self._free.release()
            metrics.attempt_s.labels(ref.queue).observe(time.monotonic() - began_s)
            if not self._attempts:
                self._idle.set()

    def _attempt(self, taken: TakenJob) -> Attempt:
        async def report(value: Json) -> None:
            with redis_errors():
                await self._jobs.bull.report_progress(taken.ref, value)

        control = JobControl(taken.record, report, lambda: self._jobs.children_results(taken.ref))
        return Attempt(
            taken.record,
            taken.options,
            control,
            grace_s=self._jobs.section.cancel_grace_s,
            tasks=self._tasks,
            metrics=self._jobs.metrics,
        )

    async def _run(self, taken: TakenJob, attempt: Attempt) -> Step:
        handler = self._handlers.get(taken.record.name)
        if "cancelled" in taken.fields:
            return Fail("cancelled", cancelled=True)
        if stalled := taken.fields.get("defa"):
            return Fail(f"{stalled} (jobs.stalled_max): its workers died, or stood still")
        if self._draining:
            return GiveBack()
        if handler is None:
            return attempt.refuse(f"This worker has no handler for jobs named {taken.record.name!r}.")
        return await attempt.run(handler)

    def _within_limits(self, step: Step) -> Step:
        """Return the step, or a failure if its result is too large, or not JSON."""
        if not isinstance(step, Complete):
            return step
        limit = self._jobs.section.result_max_bytes
        try:
            size = len(to_json(step.result))
        except ValueError as error:
            return Fail(f"The result is not JSON: {error}")
        if size > limit:
            return Fail(f"The result has {size} bytes; at most {limit} (jobs.result_max_bytes).")
        return step

    async def _settle(self, taken: TakenJob, attempt: Attempt, step: Step) -> None:
        """Write how the attempt ended, as soon as Redis answers. Another worker's job is left alone."""
        backoff, again, retaken = Backoff(0.1, 2.0), False, False
        while not isinstance(step, Leave):
            try:
                code = await self._write(taken, step)
                if code in NOT_OURS and not (again and await self._was_written(taken)):
                    if not retaken and await self._jobs.bull.retake(taken, self._jobs.section.lock_s):
                        retaken = True
                        continue
                    step = Leave()
                break
            except REDIS_ERRORS as error:
                if not again:
                    log.warning("job_end_not_written", queue=taken.ref.queue, job=taken.ref.id, error=str(error))
                again = True
                await backoff.pause()
                if attempt.stop_reason is StopReason.LOST:
                    step = Leave()
        end = "cancelled" if isinstance(step, Fail) and step.cancelled else _ENDS[type(step)]
        self._jobs.metrics.attempts.labels(taken.ref.queue, end).inc()
        level = log.warning if end in ("retried", "failed", "lost") else log.info
        level(
            "job_attempt_ended",
            queue=taken.ref.queue,
            job=taken.ref.id,
            name=taken.record.name,
            attempt=taken.record.attempts_made + 1,
            end=end,
            **({"reason": step.reason} if isinstance(step, Fail | RetryLater) else {}),
        )

    async def _write(self, taken: TakenJob, step: Step) -> int:
        bull = self._jobs.bull
        match step:
            case Complete(result):
                code = await bull.complete(taken, result)
                if code == PENDING_CHILDREN:
                    await bull.await_children(taken)
                return code
            case Fail(reason, text):
                return await bull.fail(taken, reason, text)
            case RetryLater(delay_ms, reason, text):
                return await bull.retry_later(taken, delay_ms, reason, text)
            case GiveBack():
                return await bull.give_back(taken)
            case Leave():
                return 0

    async def _was_written(self, taken: TakenJob) -> bool:
        """Return whether an earlier write was executed, although its answer was lost."""
        key = keys.of_queue(taken.ref.queue, taken.ref.id)
        made, started = await self._jobs.client.hmget(key, ["atm", "ats"])
        return bool(made == str(taken.record.attempts_made + 1) and started == taken.started)

    def _spawn_repeated(self, name: str, every_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat what fails only while Redis is away, which is reported elsewhere."""
        failed = f"job_worker_{name}_failed"
        self._tasks.spawn(name, repeat_every(every_s, work, failed=failed, level=logging.DEBUG))

    # -- looking after jobs -------------------------------------------------------------------------------------------

    def _stop_attempt(self, ref: JobRef, reason: StopReason) -> None:
        attempt = self._attempts.get(ref)
        if attempt is not None:
            if reason is StopReason.LOST and attempt.stop_reason is not StopReason.LOST:
                log.warning("job_lock_lost", queue=ref.queue, job=ref.id, detail="another worker may have the job")
            attempt.stop(reason)

    async def _cancelled(self, message: JobCancellation) -> None:
        self._stop_attempt(JobRef(message.queue, message.id), StopReason.CANCELLED)

    async def _beat(self) -> None:
        while True:
            self._locks.beat()
            await asyncio.sleep(_BEAT_S)

    async def _report(self) -> None:
        state = msgspec.structs.replace(self._state, active=len(self._attempts), draining=self._draining)
        await self._leases.put_lease(keys.WORKERS, self._state.id, state, _LEASE_S)
