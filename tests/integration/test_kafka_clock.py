"""Producers with a wrong clock: topics use the time of the broker."""

import time

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from airnode.errors import Unavailable
from airnode.store.eventlog.log import Record
from tests.support.eventlog import LogRig, read
from tests.support.kafka import Kafka

pytestmark = pytest.mark.xdist_group("kafka")

_DAY_S = 86400


async def test_a_topic_accepts_any_time_and_stores_its_own(kafka: Kafka):
    async with LogRig(bootstrap=kafka.bootstrap) as logs:
        log, topic = await logs.open(), logs.name("orders")
        await log.ensure_topics({topic: 1})
        producer = AIOKafkaProducer(bootstrap_servers=list(kafka.bootstrap))
        await producer.start()
        now_s = time.time()
        try:
            for wrong_s in (now_s + _DAY_S, now_s - 9000 * _DAY_S):
                await producer.send_and_wait(topic, b"order", timestamp_ms=round(wrong_s * 1000))
        finally:
            await producer.stop()
        records = await read(await logs.join(log, [topic], logs.name("group")), 2)
    assert all(abs(each.stored_at - now_s) < 600 for each in records)


async def test_a_strict_topic_that_refuses_our_time_is_a_clear_error(kafka: Kafka):
    async with LogRig(bootstrap=kafka.bootstrap) as logs:
        log, topic = await logs.open(), logs.name("orders")
        admin = AIOKafkaAdminClient(bootstrap_servers=list(kafka.bootstrap))
        await admin.start()
        try:
            strict = {"message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": "0"}
            await admin.create_topics([NewTopic(topic, 1, 3, topic_configs=strict)])
        finally:
            await admin.close()
        await log.partitions_of([topic])
        with pytest.raises(Unavailable, match="set its clock right"):
            # Of so many records the first ones are some milliseconds old when they are sent.
            await log.publish([Record(topic, "key", b"order")] * 5000)
