"""What only the log on Redis Streams does: deleting old records, finding records of former owners."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from redis import asyncio as aioredis
from structlog.testing import capture_logs

from airnode.errors import Conflict, NotFound, StartupError, Unavailable
from airnode.store.eventlog import reader_groups
from airnode.store.eventlog.log import Partition, Rebalancing, Record
from airnode.store.eventlog.stream_layout import stream_key, to_id, to_offset
from tests.support.eventlog import SESSION_S, LogRig, expect_no_records, polling, read
from tests.support.valkey import ExternalValkey
from tests.support.waiting import eventually


@pytest.fixture
async def streams(valkey_url: str):
    async with LogRig(redis_url=valkey_url) as rig:
        yield rig


@pytest.fixture
async def redis(valkey_url: str):
    async with aioredis.from_url(valkey_url) as client:
        yield client


def test_ids_convert_to_offsets_and_back():
    assert to_id(to_offset(b"1763784000123-4")) == "1763784000123-4"
    assert to_offset(b"1763784000123-4") < to_offset(b"1763784000123-5") < to_offset(b"1763784000124-0")


async def test_records_that_all_groups_have_committed_are_deleted(streams: LogRig, redis: aioredis.Redis):
    log = await streams.open(streams.registry)
    topic, partition = streams.name("topic"), Partition(streams.name("topic"), 0)
    await log.ensure_topics({topic: 1})
    fast, slow = await streams.join(log, [topic], "fast"), await streams.join(log, [topic], "slow")
    await log.publish([Record(topic, "a", b"%d" % n) for n in range(100)])
    by_fast, by_slow = await read(fast, 100), await read(slow, 100)
    await fast.commit({partition: by_fast[-1].next_offset})
    assert await log.trim(partition) == 100
    await slow.commit({partition: by_slow[39].next_offset})
    assert await log.trim(partition) == 60
    await slow.commit({partition: by_slow[-1].next_offset})
    assert await log.trim(partition) == 1  # the last one is kept: it is the groups' position
    assert {each.records for each in (await log.lag("slow", [topic])).values()} == {0}
    trimmed = streams.registry.get_sample_value("airnode_eventlog_trimmed_total", {"topic": topic})
    assert trimmed == 99


async def test_nothing_is_deleted_without_a_group(streams: LogRig):
    log = await streams.open()
    topic = streams.name("topic")
    await log.ensure_topics({topic: 1})
    await log.publish([Record(topic, "a", b"x") for _ in range(50)])
    assert await log.trim(Partition(topic, 0)) == 50
    assert len(await read(await streams.join(log, [topic], "late"), 50)) == 50


async def test_publishing_waits_for_slow_readers_and_loses_nothing(streams: LogRig):
    log = await streams.open(streams.registry, stream_max_records=1000)
    topic, partition = streams.name("topic"), Partition(streams.name("topic"), 0)
    await log.ensure_topics({topic: 1})
    member = await streams.join(log, [topic], "g")
    total = 3000

    async def publish_all() -> None:
        for first in range(0, total, 100):
            await log.publish([Record(topic, "a", b"%d" % n) for n in range(first, first + 100)])

    publishing = asyncio.create_task(publish_all())
    waits = {"topic": topic}
    await eventually(
        lambda: streams.registry.get_sample_value("airnode_eventlog_full_total", waits), 20, "publishing waits"
    )
    assert not publishing.done()
    found = []
    while len(found) < total:
        found += await read(member, 1)
        await member.commit({partition: found[-1].next_offset})
    await publishing
    assert [int(record.value) for record in found] == list(range(total))


async def test_an_abandoned_group_is_logged_and_can_be_deleted(streams: LogRig):
    log = await streams.open(stream_max_records=1000)
    topic, partition = streams.name("topic"), Partition(streams.name("topic"), 0)
    await log.ensure_topics({topic: 1})
    active, abandoned = streams.name("active"), streams.name("abandoned")
    former = log.subscribe([topic], abandoned)
    await former.start()
    await expect_no_records(former, 1)
    await former.stop()
    member = await streams.join(log, [topic], active)

    async def publish_all() -> None:
        for first in range(0, 2000, 100):
            await log.publish([Record(topic, "a", b"%d" % n) for n in range(first, first + 100)])

    with capture_logs() as entries:
        publishing = asyncio.create_task(publish_all())
        found = await read(member, 1000)
        await member.commit({partition: found[-1].next_offset})
        await eventually(lambda: [each for each in entries if each["event"] == "eventlog_full"], 20, "it is full")
    assert {each["waits_for"] for each in entries if each["event"] == "eventlog_full"} == {abandoned}
    known = {each.name: each for each in await reader_groups.list_groups(log, log._bus)}
    assert (known[abandoned].members, known[abandoned].unread) == (0, {topic: 1000})
    assert known[active].members == 1
    with pytest.raises(Conflict, match="stop its consumers"):
        await reader_groups.forget_group(log, log._bus, active)
    await reader_groups.forget_group(log, log._bus, abandoned)
    while len(found) < 2000:
        found += await read(member, 1)
        await member.commit({partition: found[-1].next_offset})
    await publishing
    assert [int(record.value) for record in found] == list(range(2000))
    with pytest.raises(NotFound, match="There is no group"):
        await reader_groups.forget_group(log, log._bus, abandoned)


async def test_a_full_redis_is_a_clear_error_until_there_is_room(tmp_path):
    from prometheus_client import CollectorRegistry

    from airnode.config.sections.embedded import EmbeddedSection
    from airnode.embedded.metrics import EmbeddedMetrics
    from airnode.embedded.valkey import EmbeddedValkey

    valkey = EmbeddedValkey(
        tmp_path, EmbeddedSection(redis_maxmemory_bytes=8 << 20), EmbeddedMetrics(CollectorRegistry())
    )
    await valkey.start()
    try:
        async with LogRig(redis_url=valkey.url) as rig:
            log = await rig.open()
            await log.ensure_topics({"t": 1})

            async def fill() -> None:
                for _ in range(200):
                    await log.publish([Record("t", "a", bytes(100_000))])

            with pytest.raises(Unavailable, match="full") as caught:
                await fill()
            assert caught.value.retry_after_s
            async with aioredis.from_url(valkey.url) as client:
                await client.delete(stream_key(Partition("t", 0)))

            async def publish_again() -> bool:
                with contextlib.suppress(Unavailable):  # the server frees a large value after its answer
                    await log.publish([Record("t", "a", b"again")])
                    return True
                return False

            await eventually(publish_again, 10, "there is room again")
    finally:
        await valkey.stop()


async def test_records_that_a_former_owner_read_are_delivered_again(streams: LogRig, redis: aioredis.Redis):
    log = await streams.open()
    topic, partition = streams.name("topic"), Partition(streams.name("topic"), 0)
    await log.ensure_topics({topic: 1})
    calls: list[str] = []

    async def revoked(_partitions) -> None:
        calls.append("revoked")

    member = await streams.join(log, [topic], "g", Rebalancing(revoked=revoked))
    await expect_no_records(member, 1)
    await log.publish([Record(topic, "a", b"1")])
    # A member that was stopped just before its read, and lost the partition, takes the record.
    assert await redis.xreadgroup("g", "zombie", {stream_key(partition): ">"})
    await log.publish([Record(topic, "a", b"2")])
    found = await read(member, 3, within_s=20 + 3 * SESSION_S)
    assert [record.value for record in found] == [b"2", b"1", b"2"]
    assert calls == ["revoked"]
    await member.commit({partition: found[-1].next_offset})
    assert (await log.lag("g", [topic]))[partition].records == 0


async def test_records_of_a_lost_answer_are_delivered_again(streams: LogRig, redis: aioredis.Redis):
    """The server delivers records to a member, and the connection ends before they arrive."""
    log = await streams.open()
    topic, partition = streams.name("topic"), Partition(streams.name("topic"), 0)
    await log.ensure_topics({topic: 1})
    member = await streams.join(log, [topic], "g")
    await expect_no_records(member, 1)
    (consumer,) = [each["name"].decode() for each in await redis.xinfo_consumers(stream_key(partition), "g")]
    await log.publish([Record(topic, "a", b"1")])
    assert await redis.xreadgroup("g", consumer, {stream_key(partition): ">"})
    await log.publish([Record(topic, "a", b"2")])
    (second,) = await read(member, 1)
    found = await read(member, 2, within_s=20 + 3 * SESSION_S)
    assert [record.value for record in (second, *found)] == [b"2", b"1", b"2"]
    await member.commit({partition: found[-1].next_offset})
    assert (await log.lag("g", [topic]))[partition].records == 0


async def test_giving_back_a_partition_is_retried(streams: LogRig, redis: aioredis.Redis):
    log, topic = await streams.open(), streams.name("topic")
    await log.ensure_topics({topic: 2})
    refused = asyncio.Event()

    async def revoked(_partitions) -> None:
        if not refused.is_set():
            await redis.acl_setuser("default", enabled=True, commands=["-hdel"])
            refused.set()

    first = await streams.join(log, [topic], "g", Rebalancing(revoked=revoked))
    await expect_no_records(first, 1)
    second = await streams.join(log, [topic], "g")
    async with polling(first), polling(second):
        try:
            await asyncio.wait_for(refused.wait(), 20)
            await eventually(lambda: len(first.assigned) == 1, 20, "the first one gave one up")
        finally:
            await redis.acl_setuser("default", enabled=True, commands=["+hdel"])
        await eventually(lambda: len(first.assigned) == len(second.assigned) == 1, 20, "the second one has it")


async def test_invalid_headers_are_ignored(streams: LogRig, redis: aioredis.Redis):
    log, topic = await streams.open(), streams.name("topic")
    await log.ensure_topics({topic: 1})
    await redis.xadd(stream_key(Partition(topic, 0)), {"k": "a", "v": "1", "h": b"\xc1 no headers"})
    (record,) = await read(await streams.join(log, [topic], "g"), 1)
    assert (record.value, record.headers) == (b"1", ())


async def test_a_deleted_stream_is_created_again(streams: LogRig, redis: aioredis.Redis):
    log = await streams.open()
    topic = streams.name("topic")
    await log.ensure_topics({topic: 1})
    member = await streams.join(log, [topic], "g")
    await expect_no_records(member, 1)
    await redis.delete(stream_key(Partition(topic, 0)))
    await log.publish([Record(topic, "a", b"1")])
    assert [record.value for record in await read(member, 1)] == [b"1"]


async def test_offsets_stay_valid_after_the_clock_was_set_back(streams: LogRig, redis: aioredis.Redis):
    """Redis keeps the millisecond and counts up the sequence number; records are still read, committed and counted."""
    log = await streams.open()
    topic, partition = streams.name("topic"), Partition(streams.name("topic"), 0)
    await log.ensure_topics({topic: 1})
    member = await streams.join(log, [topic], "g")
    seconds, _ = await redis.time()
    ahead_ms = (seconds + 3600) * 1000
    await redis.xadd(stream_key(partition), {"k": "a", "v": "0"}, id=f"{ahead_ms}-{2**20 - 200_000}")
    for first in range(1, 300, 100):
        await log.publish([Record(topic, "a", b"%d" % n) for n in range(first, first + 100)])
    found = await read(member, 301)
    assert [int(record.value) for record in found] == list(range(301))
    assert sorted({record.offset for record in found}) == [record.offset for record in found]
    assert to_id(found[-1].offset).startswith(f"{ahead_ms + 1}-")
    await member.commit({partition: found[-1].next_offset})
    assert (await log.lag("g", [topic]))[partition].records == 0
    assert not (await redis.xpending(stream_key(partition), "g"))["pending"]


async def test_dead_members_are_removed_after_the_clock_was_set_back(streams: LogRig, redis: aioredis.Redis):
    log = await streams.open()
    topic = streams.name("topic")
    await log.ensure_topics({topic: 1})
    group = f"airnode:log:group:{{{streams.name('g')}}}"
    seconds, _ = await redis.time()
    await redis.zadd(f"{group}:members", {"dead": (seconds + 3600) * 1000})
    await redis.hset(f"{group}:topics", "dead", topic)
    await redis.hset(f"{group}:owners", f"{topic}/0", "dead")
    member = await streams.join(log, [topic], streams.name("g"))
    await log.publish([Record(topic, "a", b"1")])
    assert [record.value for record in await read(member, 1)] == [b"1"]


async def test_consumers_of_former_members_are_deleted(streams: LogRig, redis: aioredis.Redis):
    log = await streams.open()
    topic, partition = streams.name("topic"), Partition(streams.name("topic"), 0)
    await log.ensure_topics({topic: 1})
    for turn in range(3):
        former = log.subscribe([topic], "g")
        await former.start()
        await log.publish([Record(topic, "a", b"%d" % turn)])
        (record,) = await read(former, 1)
        await former.commit({partition: record.next_offset})
        await former.stop()
    await redis.xadd(stream_key(partition), {"k": "a", "v": "kept"})
    await redis.xreadgroup("g", "zombie", {stream_key(partition): ">"})
    member = await streams.join(log, [topic], "g")
    assert [record.value for record in await read(member, 1)] == [b"kept"]  # a record of a former consumer is not lost

    async def alone() -> bool:
        await member.poll(max_records=10, wait_s=0.2)
        return len(await redis.xinfo_consumers(stream_key(partition), "g")) == 1

    await eventually(alone, 20 + 3 * SESSION_S, "it is the only reader")


async def test_a_redis_cluster_is_refused(tmp_path: Path):
    server = await ExternalValkey(tmp_path / "valkey", cluster=True).start()
    try:
        async with LogRig(redis_url=server.url) as rig:
            with pytest.raises(StartupError, match="is a cluster, which can hold the cache and not the event log"):
                await rig.open()
    finally:
        await server.kill()
