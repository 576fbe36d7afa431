"""A bus on a real Valkey, with two types of messages."""

import asyncio

import msgspec
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.redis import RedisSection


class Note(msgspec.Struct, frozen=True):
    text: str


class Other(msgspec.Struct, frozen=True):
    n: int


class BusRig:
    """A bus with its registry."""

    def __init__(self, url: str, **section: object) -> None:
        self.registry = CollectorRegistry()
        self.bus = Bus(RedisSection(url=url, **section), BusMetrics(self.registry))

    def dropped(self, reason: str) -> float:
        return self.registry.get_sample_value("airnode_bus_dropped_total", {"reason": reason}) or 0.0


async def until(check) -> None:
    async with asyncio.timeout(20):
        while not await check():
            await asyncio.sleep(0.01)
