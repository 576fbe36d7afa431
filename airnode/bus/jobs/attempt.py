"""One attempt at a job: the handler, its time limit, and what ends it early."""

import asyncio
import traceback

import structlog

from airnode.bus.jobs.control import Handler, JobControl
from airnode.bus.jobs.metrics import JobMetrics
from airnode.bus.jobs.records import JobOptions, JobRecord
from airnode.bus.jobs.steps import HandlerEnd, Step, StopReason, next_step
from airnode.kernel.tasks import TaskScope

log = structlog.get_logger(__name__)

#: A handler that still runs so long after it was cancelled as a task is left to itself.
_HUNG_S = 5.0
_CANCEL_AGAIN_S = 0.5
_METRIC = {StopReason.CANCELLED: "cancelled", StopReason.TIMED_OUT: "timed_out"}


class Attempt:
    """Runs the handler of a job until it returns, or until it has to end.

    Args:
        grace_s: a handler whose job was cancelled, or that ran into its time limit, has this long to end by itself.
    """

    def __init__(
        self,
        job: JobRecord,
        options: JobOptions,
        control: JobControl,
        *,
        grace_s: float,
        tasks: TaskScope,
        metrics: JobMetrics,
    ) -> None:
        self._job = job
        self._options = options
        self._control = control
        self._grace_s = grace_s
        self._tasks = tasks
        self._metrics = metrics
        self._stopped = asyncio.Event()
        #: The first reason for which the attempt has to end.
        self.stop_reason: StopReason | None = None

    def stop(self, reason: StopReason) -> None:
        """Tell the handler to end. Only the first reason counts, except that a lost lock replaces all others."""
        if self.stop_reason is None or reason is StopReason.LOST:
            self.stop_reason = reason
        self._stopped.set()
        self._control.cancelled.set()

    def refuse(self, reason: str) -> Step:
        """Return what to do with a job that this worker cannot work."""
        return self._next(HandlerEnd(error=LookupError(reason)))

    async def run(self, handler: Handler) -> Step:
        """Return what to do with the job. The handler has ended then, unless it ignores that it was cancelled."""
        end = HandlerEnd(unfinished=True)

        async def work() -> None:
            nonlocal end
            end = await _call(handler, self._job, self._control)

        task = self._tasks.spawn(f"{self._job.queue}/{self._job.id}", work())
        try:
            await self._until_ended(task)
        except asyncio.CancelledError:
            task.cancel()
            raise
        return self._next(end)

    def _next(self, end: HandlerEnd) -> Step:
        return next_step(
            end,
            self.stop_reason,
            attempt=self._job.attempts_made + 1,
            attempts=self._options.attempts,
            backoff_ms=self._options.backoff_ms,
            timeout_s=self._options.timeout_s,
        )

    async def _until_ended(self, task: asyncio.Task[None]) -> None:
        stopped = self._tasks.spawn("stop-of-attempt", self._stopped.wait())
        try:
            await asyncio.wait((task, stopped), timeout=self._options.timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if task.done():
            return
        if self.stop_reason is None:
            self.stop(StopReason.TIMED_OUT)
        reason = self.stop_reason
        if reason in _METRIC:
            self._metrics.stopped.labels(self._job.queue, _METRIC[reason]).inc()
            await asyncio.wait((task,), timeout=self._grace_s)
        await self._cancel(task)

    async def _cancel(self, task: asyncio.Task[None]) -> None:
        """Cancel the handler's task until it ends, for some seconds."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _HUNG_S
        while not task.done() and loop.time() < deadline_s:
            task.cancel()
            await asyncio.wait((task,), timeout=_CANCEL_AGAIN_S)
        if not task.done():
            self._metrics.stopped.labels(self._job.queue, "hung").inc()
            log.error(
                "job_handler_hung",
                queue=self._job.queue,
                job=self._job.id,
                name=self._job.name,
                detail="it ignores that it was cancelled; it is left to itself, restart this worker",
            )


async def _call(handler: Handler, job: JobRecord, control: JobControl) -> HandlerEnd:
    try:
        return HandlerEnd(await handler(job, control))
    except Exception as error:  # noqa: BLE001 - the job runner: any error of a handler is the job's
        return HandlerEnd(error=error, traceback="".join(traceback.format_exception(error)))
