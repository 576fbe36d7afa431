"""The behaviour of every event log, tested on Redis Streams and on a real Kafka with three brokers."""

import asyncio
import json
import time

import pytest

from airnode.errors import StartupError, TooLarge, Unavailable
from airnode.store.eventlog.log import Delivered, Partition, Rebalancing, Record
from tests.support.eventlog import LogRig, expect_no_records, polling, read
from tests.support.kafka import Kafka
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("kafka")

KEYS = [f"k{number}" for number in range(20)]


async def topic_of(rig: LogRig, log, partitions: int = 3) -> str:
    topic = rig.name("topic")
    await log.ensure_topics({topic: partitions})
    return topic


def numbered(topic: str, count: int, first: int = 0) -> list[Record]:
    return [Record(topic, KEYS[n % len(KEYS)], b"%d" % n) for n in range(first, first + count)]


def next_offsets(records: list[Delivered]) -> dict[Partition, int]:
    ends: dict[Partition, int] = {}
    for record in records:
        ends[record.partition] = max(ends.get(record.partition, 0), record.next_offset)
    return ends


def values(records: list[Delivered]) -> list[int]:
    return sorted(int(record.value) for record in records)


async def test_records_are_read_unchanged_and_in_order_per_key(logs: LogRig):
    log = await logs.open(logs.registry)
    topic = await topic_of(logs, log)
    headers = (("reason", b"\x00\xff"), ("attempt", b"1"))
    special = Record(topic, "키", bytes(range(256)), headers)
    for first in range(0, 300, 100):
        await log.publish(numbered(topic, 100, first))
    await log.publish([special])
    member = await logs.join(log, [topic], logs.name("g"))
    records = await read(member, 301)
    assert len(records) == 301
    (found,) = (record for record in records if record.key == "키")
    assert (found.value, found.headers) == (special.value, headers)
    assert abs(found.stored_at - time.time()) < 60
    for key in KEYS:
        mine = [record for record in records if record.key == key]
        assert len({record.partition for record in mine}) == 1
        assert [int(record.value) for record in mine] == sorted(int(record.value) for record in mine)
        assert [record.offset for record in mine] == sorted(record.offset for record in mine)
    assert len({record.partition for record in records}) == 3
    await expect_no_records(member)
    assert logs.registry.get_sample_value("airnode_eventlog_published_total", {"topic": topic}) == 301


async def test_records_without_a_key_are_spread_over_the_partitions(logs: LogRig):
    log = await logs.open()
    topic = await topic_of(logs, log)
    await log.publish([Record(topic, "", b"%d" % n) for n in range(30)])
    records = await read(await logs.join(log, [topic], logs.name("g")), 30)
    assert values(records) == list(range(30))
    assert len({record.partition for record in records}) == 3


async def test_members_share_the_partitions_and_take_over_when_one_leaves(logs: LogRig):
    log = await logs.open()
    topic, group = await topic_of(logs, log), logs.name("g")
    first, second = await logs.join(log, [topic], group), await logs.join(await logs.open(), [topic], group)
    async with polling(first) as by_first:
        async with polling(second) as by_second:

            def divided() -> bool:
                owned = [*first.assigned, *second.assigned]
                return bool(first.assigned and second.assigned) and len(owned) == len(set(owned)) == 3

            await eventually(divided, 30, "each partition has one owner")
            await log.publish(numbered(topic, 200))
            await eventually(lambda: len(by_first) + len(by_second) >= 200, 30, "all is read")
            assert values(by_first + by_second) == list(range(200))
            await first.commit(next_offsets(by_first))
            await second.commit(next_offsets(by_second))
        await second.stop()
        await eventually(lambda: len(first.assigned) == 3, 30, "the one left owns all")
        await log.publish(numbered(topic, 100, 200))
        await eventually(lambda: values(by_first)[-100:] == list(range(200, 300)), 30, "the rest is read")
        assert not set(values(by_second)) & set(range(200, 300))


async def test_only_uncommitted_records_are_delivered_again(logs: LogRig):
    log = await logs.open()
    topic, group = await topic_of(logs, log), logs.name("g")
    await log.publish(numbered(topic, 200))
    before = await logs.join(log, [topic], group)
    records = await read(before, 200)
    done = [record for record in records if int(record.value) < 120]
    await before.commit(next_offsets(done))
    await before.stop()
    after = await logs.join(await logs.open(), [topic], group)
    again = await read(after, 80)
    assert values(again) == list(range(120, 200))
    await after.commit(next_offsets(again))
    await expect_no_records(after)
    assert values(await read(await logs.join(log, [topic], logs.name("other")), 200)) == list(range(200))


async def test_the_records_of_a_killed_member_are_delivered_to_another_one(logs: LogRig):
    log = await logs.open()
    topic, group = await topic_of(logs, log), logs.name("g")
    await log.publish(numbered(topic, 100))
    victim = await logs.start_member_process([topic], group)
    delivered = [json.loads(await asyncio.wait_for(victim.stdout.readline(), 30)) for _ in range(100)]
    survivor = await logs.join(log, [topic], group)
    victim.kill()
    await victim.wait()
    records = await read(survivor, 100)
    assert {(*record.partition, record.offset) for record in records} == {tuple(each) for each in delivered}
    assert len(survivor.assigned) == 3
    await survivor.commit(next_offsets(records))
    lag = await log.lag(group, [topic])
    assert sum(each.records for each in lag.values()) == 0


async def test_a_member_can_commit_while_partitions_are_revoked(logs: LogRig):
    log = await logs.open()
    topic, group = await topic_of(logs, log), logs.name("g")
    held: list[Delivered] = []
    calls: list[tuple[str, frozenset[Partition]]] = []

    async def assigned(partitions) -> None:
        calls.append(("assigned", frozenset(partitions)))

    async def revoked(partitions) -> None:
        calls.append(("revoked", frozenset(partitions)))
        await first.commit({p: end for p, end in next_offsets(held).items() if p in partitions})

    await log.publish(numbered(topic, 90))
    first = await logs.join(log, [topic], group, Rebalancing(assigned, revoked))
    held += await read(first, 90)
    async with polling(first):
        second = await logs.join(await logs.open(), [topic], group)
        async with polling(second) as by_second:
            await eventually(lambda: second.assigned and not first.assigned & second.assigned, 30, "it has moved")
            moved = second.assigned
            assert calls[0][0] == "assigned"
            assert any(what == "revoked" and moved <= parts for what, parts in calls)
            await log.publish(numbered(topic, 60, 90))
            await eventually(lambda: any(int(each.value) >= 90 for each in by_second), 30, "new ones come")
            assert all(int(record.value) >= 90 for record in by_second)


async def test_only_the_paused_partition_is_not_read(logs: LogRig):
    log = await logs.open()
    topic = await topic_of(logs, log)
    member = await logs.join(log, [topic], logs.name("g"))
    async with asyncio.timeout(30):
        while len(member.assigned) < 3:
            await member.poll(max_records=10, wait_s=0.1)
    paused = Partition(topic, 1)
    member.pause([paused])
    await log.publish([Record(topic, "", b"%d" % n) for n in range(30)])
    others = await read(member, 20)
    await expect_no_records(member)
    assert {record.partition for record in others} == {Partition(topic, 0), Partition(topic, 2)}
    member.resume([paused])
    assert {record.partition for record in await read(member, 10)} == {paused}


async def test_lag_counts_uncommitted_records(logs: LogRig):
    log = await logs.open()
    topic, group = await topic_of(logs, log), logs.name("g")

    async def behind() -> int:
        return sum(each.records for each in (await log.lag(group, [topic])).values())

    assert await behind() == 0
    await log.publish(numbered(topic, 50))
    assert await behind() == 50
    member = await logs.join(log, [topic], group)
    records = await read(member, 50)
    assert await behind() == 50
    await member.commit(next_offsets(records[:25]))
    part_done = {partition: each.committed for partition, each in (await log.lag(group, [topic])).items()}
    assert 0 < await behind() <= 50
    await member.commit(next_offsets(records))
    assert await behind() == 0
    after = await log.lag(group, [topic])
    assert set(after) == {Partition(topic, number) for number in range(3)}
    assert all(after[partition].committed >= position for partition, position in part_done.items())


async def test_commits_of_partitions_of_others_are_skipped(logs: LogRig):
    log = await logs.open(registry := logs.registry)
    topic, group = await topic_of(logs, log), logs.name("g")
    await log.publish(numbered(topic, 30))
    member = await logs.join(log, [topic], group)
    records = await read(member, 30)
    await member.commit({Partition(topic, 7): 5, **next_offsets(records)})
    assert registry.get_sample_value("airnode_eventlog_commits_skipped_total") == 1
    assert sum(each.records for each in (await log.lag(group, [topic])).values()) == 0


async def test_a_record_that_is_too_large_is_refused_with_the_whole_call(logs: LogRig):
    log = await logs.open(max_record_bytes=2000)
    topic = await topic_of(logs, log)
    with pytest.raises(TooLarge, match="max_record_bytes"):
        await log.publish([Record(topic, "a", b"small"), Record(topic, "b", bytes(2001))])
    await log.publish([Record(topic, "a", bytes(2000))])
    (record,) = await read(await logs.join(log, [topic], logs.name("g")), 1)
    assert len(record.value) == 2000


async def test_topics_are_created_once_and_only_grow(logs: LogRig):
    log = await logs.open()
    topic = logs.name("topic")
    assert await log.ensure_topics({topic: 2}) == [topic]
    assert await log.ensure_topics({topic: 2}) == []
    assert await log.ensure_topics({topic: 1}) == []
    with pytest.raises(StartupError, match=r"has 2 partitions, and 4 are wanted .*airnode pipeline init --grow"):
        await log.ensure_topics({topic: 4})
    await log.grow_topics({topic: 4})

    async def grown() -> bool:
        return len(await log.partitions_of([topic])) == 4

    await eventually(grown, 20, "it has four partitions")
    assert await log.ensure_topics({topic: 4}) == []


async def test_the_error_for_a_missing_topic_names_the_command(logs: LogRig):
    log = await logs.open()
    with pytest.raises(StartupError, match="airnode pipeline init"):
        await log.subscribe([logs.name("none")], logs.name("g")).start()
    with pytest.raises(StartupError, match="airnode pipeline init"):
        await log.publish([Record(logs.name("none"), "a", b"1")])


async def test_publishing_continues_after_a_record_that_kafka_refused(kafka: Kafka):
    """The producer numbers its batches per partition. A refused batch leaves a gap, after which Kafka refuses all."""
    async with LogRig(bootstrap=kafka.bootstrap) as logs:
        log = await logs.open(max_record_bytes=4 << 20)  # the brokers' own limit is 1 MiB
        topic = await topic_of(logs, log, 1)
        for number in range(3):
            await log.publish([Record(topic, "a", b"%d" % number)])
            with pytest.raises(TooLarge, match=r"max\.message\.bytes"):
                await log.publish([Record(topic, "a", bytes(3 << 20))])
        await asyncio.gather(*(log.publish([Record(topic, "a", b"%d" % number)]) for number in range(3, 6)))
        records = await read(await logs.join(log, [topic], logs.name("g")), 6)
        assert values(records) == list(range(6))
        # A call that was waiting when the batch of another call failed gets an error, and retries with a new producer.
        batches = log._batches
        await batches.stop()
        with pytest.raises(Unavailable):
            await batches.publish([Record(topic, "a", b"6")])
