"""Watching how far groups are behind, and whether they move at all."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from airnode.errors import AirnodeError, Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.metrics import LandingMetrics
from airnode.store.eventlog.log import EventLog, Lag, Partition

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 2.0


class Movement:
    """Finds partitions that have lag and stand still. Time is passed in, in seconds of any clock.

    Args:
        stuck_s: how long a position may stand still while there is lag.
    """

    def __init__(self, stuck_s: float) -> None:
        self._stuck_s = stuck_s
        #: {partition: (position, since when it has been there with lag)}.
        self._since: dict[Partition, tuple[int, float]] = {}

    def look(self, lags: Mapping[Partition, Lag], now_s: float) -> dict[Partition, float]:
        """Take a look; returns the partitions that are stuck, {partition: for how many seconds}."""
        stuck = {}
        for partition, lag in lags.items():
            position, since_s = self._since.get(partition, (-1, now_s))
            if lag.records <= 0:
                self._since.pop(partition, None)
            elif lag.committed != position:
                self._since[partition] = (lag.committed, now_s)
            elif now_s - since_s >= self._stuck_s:
                stuck[partition] = now_s - since_s
        return stuck


class LagWatch(Service):
    """Keeps the lag's gauges, and says when a partition is stuck.

    Args:
        groups: {group: its topics}.
    """

    name = "lag-watch"

    def __init__(
        self,
        eventlog: EventLog,
        groups: Mapping[str, Sequence[str]],
        metrics: LandingMetrics,
        *,
        stuck_s: float,
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self._eventlog = eventlog
        self._groups = groups
        self._metrics = metrics
        self._movement = {group: Movement(stuck_s) for group in groups}
        self._tasks = tasks
        #: {(group, partition): seconds}, as last seen.
        self._stuck: dict[tuple[str, Partition], float] = {}
        #: {group: {topic: records}}, as last seen; a group that cannot be asked about now is not in it.
        self.behind: dict[str, dict[str, int]] = {}

    async def start(self) -> None:
        """Begin to look."""
        self._tasks.spawn("look", self._look_for_ever())

    async def stop(self) -> None:
        """Look no more."""
        await self._tasks.aclose()

    async def check(self) -> None:
        """For ``/health``. Raises Unavailable while a partition is stuck."""
        if self._stuck:
            (group, partition), for_s = max(self._stuck.items(), key=lambda item: item[1])
            raise Unavailable(
                f"{group} has not moved on in {partition.topic}/{partition.number} for {for_s:.0f} s although there "
                "is more: see the consumers' logs."
            )

    async def _look_for_ever(self) -> None:
        while True:
            for group, topics in self._groups.items():
                try:
                    self._judge(group, await self._eventlog.lag(group, topics))
                except AirnodeError as error:
                    self.behind.pop(group, None)
                    log.info("lag_unknown", group=group, error=error.detail, debug=error.debug)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _judge(self, group: str, lags: Mapping[Partition, Lag]) -> None:
        behind: Counter[str] = Counter()
        for partition, lag in lags.items():
            behind[partition.topic] += lag.records
        for topic, records in behind.items():
            self._metrics.lag.labels(topic, group).set(records)
        self.behind[group] = dict(behind)
        stuck = self._movement[group].look(lags, asyncio.get_running_loop().time())
        known = {key: for_s for key, for_s in self._stuck.items() if key[0] != group}
        for partition, for_s in stuck.items():
            if (group, partition) not in self._stuck:
                self._metrics.stuck.labels(partition.topic).inc()
                log.error(
                    "partition_stuck",
                    group=group,
                    topic=partition.topic,
                    partition=partition.number,
                    lag=lags[partition].records,
                )
            known[group, partition] = for_s
        self._stuck = known
