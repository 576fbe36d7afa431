"""Watches the queues from a master: their figures, and jobs that nobody works."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.records import QueueState
from airnode.errors import Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

log = structlog.get_logger(__name__)

_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class UnworkedQueue:
    """A queue with waiting jobs and no worker. ``for_s``: how long."""

    name: str
    waiting: int
    for_s: float


class UnworkedQueues:
    """Finds queues in which jobs wait and that no live worker works. No I/O.

    Args:
        after_s: they are reported when that lasts so long.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        #: {queue: when it was first seen so, monotonic seconds}.
        self._since_s: dict[str, float] = {}
        self.found: list[UnworkedQueue] = []

    def observe(self, queues: Sequence[QueueState], now_s: float) -> list[UnworkedQueue]:
        """Note the queues as they are now; return those that are reported for the first time."""
        unworked = {queue.name: queue.waiting for queue in queues if queue.waiting and not queue.workers}
        self._since_s = {name: self._since_s.get(name, now_s) for name in unworked}
        known = {each.name for each in self.found}
        ages = {name: now_s - since_s for name, since_s in self._since_s.items()}
        self.found = [
            UnworkedQueue(name, unworked[name], age_s) for name, age_s in ages.items() if age_s >= self._after_s
        ]
        return [each for each in self.found if each.name not in known]


class QueueWatch(Service):
    """Reads the queues every two seconds, for the metrics and for ``/health``."""

    name = "queue-watch"

    def __init__(self, jobs: Jobs, tasks: TaskScope) -> None:
        super().__init__()
        self._jobs = jobs
        self._tasks = tasks
        self._unworked = UnworkedQueues(jobs.section.no_worker_warn_s)
        self._queues: list[QueueState] = []

    async def start(self) -> None:
        """Begin to watch."""
        # While Redis is away the node's own check says so.
        watching = repeat_every(_EVERY_S, self._look, failed="queues_not_read", level=logging.DEBUG)
        self._tasks.spawn("watch", watching)

    async def stop(self) -> None:
        """End."""
        await self._tasks.aclose()

    async def check(self) -> str:
        """Return how many jobs there are, for ``/health``.

        Raises:
            Unavailable: jobs wait in a queue that no worker works.
        """
        if self._unworked.found:
            raise Unavailable(" ".join(_sentence(each) for each in self._unworked.found))
        waiting = sum(queue.waiting for queue in self._queues)
        return f"{waiting} waiting jobs in {len(self._queues)} queues"

    async def _look(self) -> None:
        self._queues = await self._jobs.queues()
        metrics = self._jobs.metrics
        for queue in self._queues:
            metrics.workers.labels(queue.name).set(queue.workers)
            for state, count in queue.counts.items():
                metrics.in_queue.labels(queue.name, state.value).set(count)
        for each in self._unworked.observe(self._queues, time.monotonic()):
            log.warning("job_queue_without_worker", queue=each.name, waiting=each.waiting, detail=_sentence(each))


def _sentence(queue: UnworkedQueue) -> str:
    return (
        f"The queue {queue.name} has {queue.waiting} waiting jobs, and no worker for {queue.for_s:.0f} s: "
        "start a worker that takes them."
    )
