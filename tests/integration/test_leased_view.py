"""A view of leased records against a real Valkey."""

import asyncio
import math
from collections.abc import AsyncIterator

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.leased_records import LeasedRecords, RecordChange, RecordRules
from airnode.bus.leased_view import LeasedView
from airnode.bus.leases import Leases
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.embedded import EmbeddedSection
from airnode.config.sections.redis import RedisSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.valkey import EmbeddedValkey
from airnode.kernel.tasks import TaskScope

GROUP = "desks"


class Desk(msgspec.Struct, frozen=True):
    name: str
    note: str = ""


class Reader:
    """A view on a bus of its own, with the changes that it reported."""

    def __init__(self, url: str, **rules) -> None:
        self.bus = Bus(RedisSection(url=url), BusMetrics(CollectorRegistry()))
        self.changes: asyncio.Queue[RecordChange[Desk]] = asyncio.Queue()
        self.syncs = 0
        self.view: LeasedView[Desk] = LeasedView(
            self.bus,
            LeasedRecords(RecordRules(key=lambda desk: desk.name, **rules)),
            TaskScope("reader"),
            group=GROUP,
            kind=Desk,
            failed="desks_not_synced",
            on_change=self.changes.put_nowait,
            after_sync=self.count_sync,
        )

    async def count_sync(self) -> None:
        self.syncs += 1

    async def start(self) -> None:
        await self.bus.start()
        await self.view.start()

    async def stop(self) -> None:
        await self.view.stop()
        await self.bus.stop()

    async def next(self) -> RecordChange[Desk]:
        async with asyncio.timeout(20):
            return await self.changes.get()


@pytest.fixture
async def writer(valkey_url: str) -> AsyncIterator[Bus]:
    bus = Bus(RedisSection(url=valkey_url), BusMetrics(CollectorRegistry()))
    await bus.start()
    yield bus
    await bus.stop()


async def test_leases_are_read_at_the_start_and_reports_follow(valkey_url: str, writer: Bus):
    await Leases(writer).put_lease(GROUP, "a", Desk("a"), 60)
    reader = Reader(valkey_url)
    await reader.start()
    try:
        assert list(reader.view.records) == [Desk("a")]
        assert reader.syncs == 1
        assert await reader.next() == RecordChange("a", None, Desk("a"))
        await writer.publish(GROUP, Desk("a", "new"))
        assert await reader.next() == RecordChange("a", Desk("a"), Desk("a", "new"))
    finally:
        await reader.stop()


async def test_a_lease_that_was_not_reported_is_found_and_one_that_runs_out_is_dropped(valkey_url: str, writer: Bus):
    reader = Reader(valkey_url)
    await reader.start()
    try:
        await Leases(writer).put_lease(GROUP, "a", Desk("a"), 4)
        assert await reader.next() == RecordChange("a", None, Desk("a"))
        assert await reader.next() == RecordChange("a", Desk("a"), None)
    finally:
        await reader.stop()


async def test_records_outlive_a_server_that_lost_its_memory(tmp_path):
    server = EmbeddedValkey(tmp_path, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()))
    await server.start()
    reader = Reader(server.url, settle_s=3.0)
    try:
        await reader.start()
        await reader.bus.publish(GROUP, Desk("a"))
        assert (await reader.next()).after == Desk("a")
        assert server.pid is not None
        server.kill()
        async with asyncio.timeout(30):
            while not math.isfinite(reader.view.records.complete_since_s):
                await asyncio.sleep(0.01)
        assert reader.view.records.get("a") == Desk("a"), "its owner needs time to write the lease again"
        assert await reader.next() == RecordChange("a", Desk("a"), None)
    finally:
        await reader.stop()
        await server.stop()
