"""A member of a group on Redis Streams that drains."""

import asyncio

from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.eventlog import EventLogSection
from airnode.config.sections.redis import RedisSection
from airnode.store.eventlog.log import EventLogMetrics
from airnode.store.eventlog.stream_group import StreamSubscription
from airnode.store.eventlog.stream_layout import StreamTopics


async def test_polls_of_a_member_that_drains_let_others_run():
    registry = CollectorRegistry()
    bus = Bus(RedisSection(), BusMetrics(registry))
    subscription = StreamSubscription(
        ("orders",),
        "group",
        None,
        existing_topics=StreamTopics(bus),
        bus=bus,
        section=EventLogSection(),
        metrics=EventLogMetrics(registry),
    )
    await subscription.drain()
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    assert await subscription.poll(max_records=1, wait_s=1.0) == []
    assert ran.is_set()
