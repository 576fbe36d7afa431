"""Measures the lag of groups and detects stuck partitions."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from airnode.errors import AirnodeError, Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble
from airnode.pipeline.metrics import ConsumerMetrics
from airnode.store.eventlog.log import EventLog, Lag, Partition

log = structlog.get_logger(__name__)

CHECK_EVERY_S = 2.0


class StuckDetector:
    """Detects stuck partitions: they have lag, and their committed offset does not change. Time is passed in.

    Args:
        stuck_s: longest time for which an offset may stay the same while the partition has lag.
    """

    def __init__(self, stuck_s: float) -> None:
        self._stuck_s = stuck_s
        #: {partition: (committed offset, time since which it is unchanged while the partition has lag)}.
        self._since: dict[Partition, tuple[int, float]] = {}

    def update(self, lags: Mapping[Partition, Lag], now_s: float) -> dict[Partition, float]:
        """Process new lags; return the stuck partitions, {partition: seconds}."""
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
    """Updates the gauges of the lag and reports partitions that are stuck.

    Args:
        groups: {group: its topics}.
    """

    name = "lag-watch"

    def __init__(
        self,
        eventlog: EventLog,
        groups: Mapping[str, Sequence[str]],
        metrics: ConsumerMetrics,
        *,
        stuck_s: float,
        tasks: TaskScope,
        check_every_s: float = CHECK_EVERY_S,
    ) -> None:
        super().__init__()
        self._check_every_s = check_every_s
        self._eventlog = eventlog
        self._groups = groups
        self._metrics = metrics
        self._detectors = {group: StuckDetector(stuck_s) for group in groups}
        self._tasks = tasks
        #: {group: the reason why its lag cannot be measured}.
        self._unknown = Trouble("lag_unknown", "lag_known_again")
        #: {(group, partition): seconds for which it has been stuck}, as last measured.
        self._stuck: dict[tuple[str, Partition], float] = {}
        #: {group: {topic: records}}, as last measured; without groups that could not be measured.
        self.lag: dict[str, dict[str, int]] = {}

    async def start(self) -> None:
        self._tasks.spawn("watch", self._watch_loop())

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def check(self) -> None:
        """Raise Unavailable (503) while a partition is stuck, for ``/health``."""
        if self._stuck:
            (group, partition), for_s = max(self._stuck.items(), key=lambda item: item[1])
            raise Unavailable(
                f"{group} has not moved on in {partition.topic}/{partition.number} for {for_s:.0f} s although there "
                "is more: see the consumers' logs."
            )

    async def _watch_loop(self) -> None:
        while True:
            for group, topics in self._groups.items():
                try:
                    self._update(group, await self._eventlog.lag(group, topics))
                except AirnodeError as error:
                    self.lag.pop(group, None)
                    self._unknown.begin(error, group, group=group)
                else:
                    self._unknown.end(group, group=group)
            await asyncio.sleep(self._check_every_s)

    def _update(self, group: str, lags: Mapping[Partition, Lag]) -> None:
        lags_by_topic: Counter[str] = Counter()
        for partition, lag in lags.items():
            lags_by_topic[partition.topic] += lag.records
        for topic, records in lags_by_topic.items():
            self._metrics.lag.labels(topic, group).set(records)
        self.lag[group] = dict(lags_by_topic)
        stuck = self._detectors[group].update(lags, asyncio.get_running_loop().time())
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
