"""The pipeline on three Kafka brokers, and one of them killed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.chaos.pipelines import frail, opened
from tests.support.kafka import Kafka
from tests.support.outage import FrailServers
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually

__all__ = ["frail"]

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("kafka")]


@pytest.fixture
async def pipeline(tmp_path: Path, frail: FrailServers, kafka: Kafka) -> AsyncIterator[Pipeline]:
    async with opened(frail, tmp_path, kafka.bootstrap) as made:
        yield made


async def test_a_kafka_broker_of_three_is_killed_and_comes_back(kafka: Kafka, pipeline: Pipeline):
    """The one that leads a partition of the orders; later tests find three again."""
    await pipeline.start(2)
    victim = (await orders_partitions(kafka))[0]["leader"]
    async with pipeline.producing():
        await pipeline.more_landed(500)
        kafka.kill_broker(victim)
        try:
            await pipeline.more_landed(1000, 60)
        finally:
            kafka.start_broker(victim)
            await asyncio.to_thread(kafka.wait_for_broker, victim)
        await eventually(lambda: in_sync_everywhere(kafka), 60, "every copy is in sync again")
        await pipeline.more_landed(300)
    await pipeline.balance()


async def orders_partitions(kafka: Kafka) -> list[dict]:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(kafka.bootstrap))
    await admin.start()
    try:
        [topic] = await admin.describe_topics(["orders"])
    finally:
        await admin.close()
    return sorted(topic["partitions"], key=lambda each: each["partition"])


async def in_sync_everywhere(kafka: Kafka) -> bool:
    return all(len(each["isr"]) == 3 for each in await orders_partitions(kafka))
