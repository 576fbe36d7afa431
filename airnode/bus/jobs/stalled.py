"""Puts jobs back whose worker is gone."""

import time
from collections.abc import Sequence

import structlog

from airnode.bus.jobs.errors import redis_errors
from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.locks import LockKeeper
from airnode.errors import Unavailable

log = structlog.get_logger(__name__)


class StalledJobs:
    """Looks for jobs of some queues whose lock has expired. Each worker does; of all of them one at a time.

    After Redis was away it waits until the live workers have renewed their locks, so that no work is done twice.
    """

    def __init__(self, jobs: Jobs, queues: Sequence[str], locks: LockKeeper) -> None:
        self._jobs = jobs
        self._queues = tuple(queues)
        self._locks = locks
        self._was_away = False
        #: Monotonic seconds.
        self._wait_until_s = 0.0

    async def recover(self) -> None:
        """Put stalled jobs back.

        Raises:
            Unavailable: Redis does not answer.
        """
        if self._locks.behind or time.monotonic() < self._wait_until_s:
            return
        try:
            with redis_errors():
                if self._was_away:
                    await self._jobs.client.ping()
                    self._was_away, self._wait_until_s = False, time.monotonic() + self._jobs.section.lock_s / 2
                    return
                for queue in self._queues:
                    await self._recover(queue)
        except Unavailable:
            self._was_away = True
            raise

    async def _recover(self, queue: str) -> None:
        section = self._jobs.section
        found = await self._jobs.bull.recover_stalled(
            queue, stalled_max=section.stalled_max, every_s=section.stalled_check_s
        )
        if found:
            self._jobs.metrics.stalled.labels(queue).inc(len(found))
            log.warning("jobs_stalled", queue=queue, jobs=found[:20], count=len(found))
