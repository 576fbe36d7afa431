"""What a handler may do while it works a job."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from airnode.bus.jobs.errors import JobCancelled
from airnode.bus.jobs.hashes import to_json
from airnode.bus.jobs.records import ChildResult, JobRecord, Json
from airnode.errors import InvalidInput, Unavailable

log = structlog.get_logger(__name__)

#: Listeners get each report, so it is small.
_PROGRESS_MAX_BYTES = 16 << 10

#: Works a job, and returns its result as JSON. It raises PermanentError if another attempt would fail too. Heavy work
#: belongs into a child process: a handler that blocks the event loop delays all others.
Handler = Callable[[JobRecord, "JobControl"], Awaitable[Json]]


class JobControl:
    """The connection of one attempt to its job.

    Attributes:
        cancelled: set when the handler has to end: the job was cancelled, the attempt ran into its time limit, another
            worker has the job, or this worker stops. A handler that does not end soon after is cancelled as a task.
    """

    def __init__(
        self,
        job: JobRecord,
        report: Callable[[Json], Awaitable[None]],
        children: Callable[[], Awaitable[list[ChildResult]]],
    ) -> None:
        self.cancelled = asyncio.Event()
        self._job = job
        self._report = report
        self._children = children

    async def progress(self, value: Json) -> None:
        """Report progress: 0 to 100, or an object. It is dropped while Redis does not answer.

        Raises:
            JobCancelled: the handler has to end.
            InvalidInput: more than 16 KiB, or not JSON.
        """
        self.raise_if_cancelled()
        try:
            size = len(to_json(value))
        except ValueError as error:
            raise InvalidInput(f"The progress of a job must be JSON: {error}") from None
        if size > _PROGRESS_MAX_BYTES:
            raise InvalidInput(f"The progress of a job is at most {_PROGRESS_MAX_BYTES} bytes.")
        try:
            await self._report(value)
        except Unavailable as error:
            log.info("job_progress_dropped", queue=self._job.queue, job=self._job.id, error=str(error))

    def raise_if_cancelled(self) -> None:
        """Return if the handler may go on.

        Raises:
            JobCancelled: it has to end. The handler lets this pass.
        """
        if self.cancelled.is_set():
            raise JobCancelled

    async def children_results(self) -> list[ChildResult]:
        """Return how the children of this job ended, by their ids; failed ones too.

        Raises:
            Unavailable: Redis does not answer.
        """
        return await self._children()
