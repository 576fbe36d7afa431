"""The watch over the lag, with an event log that fails when the test wants it."""

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.consume.lag_watch import LagWatch
from airnode.pipeline.metrics import ConsumerMetrics
from airnode.store.eventlog.log import Lag, Partition


class FailingLog:
    """An event log that reports a lag of 3, or fails."""

    def __init__(self) -> None:
        self.fails = False
        self.calls = 0
        self.called = asyncio.Event()

    async def lag(self, group: str, topics: Sequence[str]) -> dict[Partition, Lag]:
        self.calls += 1
        self.called.set()
        if self.fails:
            raise Unavailable("The event log does not answer.")
        return {Partition(topics[0], 0): Lag(committed=4, end=7, records=3)}

    async def measured(self, times: int) -> None:
        """Wait until the lag was measured this many times more, and the last answer was used."""
        wanted = self.calls + times + 1
        async with asyncio.timeout(10):
            while self.calls < wanted:
                self.called.clear()
                await self.called.wait()


async def test_a_lag_that_cannot_be_measured_is_logged_when_that_begins_and_ends():
    log, scope = FailingLog(), TaskScope("watch")
    watch = LagWatch(
        log, {"g": ("orders",)}, ConsumerMetrics(CollectorRegistry()), stuck_s=60, tasks=scope, check_every_s=0.001
    )  # type: ignore[arg-type]
    with capture_logs() as logs:
        await watch.start()
        await log.measured(1)
        assert watch.lag == {"g": {"orders": 3}}
        log.fails = True
        await log.measured(5)
        assert watch.lag == {}
        log.fails = False
        await log.measured(5)
        assert watch.lag == {"g": {"orders": 3}}
        await watch.stop()
    assert [(entry["event"], entry["group"]) for entry in logs] == [("lag_unknown", "g"), ("lag_known_again", "g")]
