"""A lane's fetching beside a database that is slower than the log."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from prometheus_client import CollectorRegistry

from airnode.config.sections.pipeline import PipelineSection
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.consume.member import ConsumerMember
from airnode.pipeline.metrics import ConsumerMetrics
from airnode.store.eventlog.log import Delivered, GroupSubscription, Partition, Rebalancing
from tests.support.waiting import eventually

_ORDERS = Partition("orders", 0)


class EndlessLog(GroupSubscription):
    """A log with one member, which always has more; remembers how long it was asked to wait while paused."""

    name = "endless"

    def __init__(self) -> None:
        super().__init__()
        self.waits_while_paused_s: list[float] = []
        self._paused: set[Partition] = set()
        self._next = 0

    def subscribe(self, topics: Sequence[str], group: str, rebalancing: Rebalancing | None = None) -> GroupSubscription:
        return self

    @property
    def assigned(self) -> frozenset[Partition]:
        return frozenset({_ORDERS})

    async def start(self) -> None:
        """Nothing to join."""

    async def stop(self) -> None:
        """Nothing to leave."""

    async def poll(self, *, max_records: int, wait_s: float) -> list[Delivered]:
        await asyncio.sleep(0)
        if self._paused:
            self.waits_while_paused_s.append(wait_s)
            await asyncio.sleep(wait_s)
            return []
        first, self._next = self._next, self._next + max_records
        return [Delivered(_ORDERS, offset, "", b"", (), 0.0) for offset in range(first, self._next)]

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """There is no other member."""

    def pause(self, partitions: Collection[Partition]) -> None:
        self._paused |= set(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        self._paused -= set(partitions)


class GatedSink:
    """Takes nothing while the gate is shut."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self.gate = asyncio.Event()
        self.done = asyncio.Event()

    async def write(self, records: Sequence[Delivered]) -> None:
        await self.gate.wait()
        await asyncio.sleep(0)
        self._left -= len(records)
        if self._left <= 0:
            self.done.set()


async def test_fetching_stops_while_nothing_is_taken_and_goes_on_as_soon_as_there_is_room():
    log, sink = EndlessLog(), GatedSink(wanted=20_000)
    registry = CollectorRegistry()
    section = PipelineSection(batch_records=100, buffer_records=1000)
    metrics, tasks = ConsumerMetrics(registry), TaskScope("test")
    lane = ConsumerMember(log, sink, section, metrics, ["orders"], "g", settle_s=1, tasks=tasks)  # type: ignore[arg-type]
    await lane.start()
    await eventually(lambda: registry.get_sample_value("airnode_pipeline_pauses_total") == 1, 30, "fetching stops")
    sink.gate.set()
    await asyncio.wait_for(sink.done.wait(), 30)
    await lane.stop()

    # A member whose partitions are all paused has nothing to wait for: waiting in it would leave the writer idle.
    assert set(log.waits_while_paused_s) == {0.0}
