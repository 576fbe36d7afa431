"""The pipeline loses nothing and lands nothing twice, whatever dies: each test ends with the ledger and the rows."""

import asyncio
import random
import time
import urllib.request
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import msgspec
import pytest

from airnode.pipeline.events import decode
from airnode.pipeline.registering import register
from airnode.store.eventlog.log import Record
from tests.chaos.pipelines import REBALANCE_S, frail, kill_consumers, opened, rebalance
from tests.support.landing import SESSION_S, LedgerFile, Pipeline, publish, start_producer
from tests.support.node import AirnodeProcess
from tests.support.outage import FrailServers
from tests.support.waiting import eventually

__all__ = ["frail"]

pytestmark = pytest.mark.timeout(240)

#: How long the stores are away, half of it hanging and half of it dead.
OUTAGE_S = 20.0


@pytest.fixture
async def streams(tmp_path: Path, frail: FrailServers) -> AsyncIterator[Pipeline]:
    """A pipeline on Redis Streams."""
    async with opened(frail, tmp_path) as made:
        yield made


async def test_consumers_are_killed_in_mid_batch(streams: Pipeline):
    await kill_consumers(streams)


async def test_a_rebalance_every_two_seconds(streams: Pipeline):
    await rebalance(streams, REBALANCE_S)


async def test_a_consumer_is_stopped_politely_under_load(streams: Pipeline):
    """SIGTERM: it lands and commits what it fetched, and is out within its deadline; the other goes on."""
    first, _second = await streams.start(2)
    async with streams.producing(pause_s=0.01):
        await streams.more_landed(1000)
        began_s = time.monotonic()
        assert await first.stop() == 0
        assert time.monotonic() - began_s < 20  # drain.deadline_s
        await streams.more_landed(1000)
    assert "stopped" in first.log
    await streams.balance()


async def test_a_producer_is_killed_and_its_successor_sends_what_was_not_confirmed(streams: Pipeline, tmp_path: Path):
    """What was written down before the kill may be on the log, or partly, or not at all: sent again, it lands once."""
    ledger = LedgerFile(tmp_path / "ledger")
    await streams.start(1)
    for _ in range(3):
        producer = await start_producer(streams, ledger.path)
        try:
            await streams.more_landed(500)
        finally:
            producer.kill()
            await producer.wait()
    unconfirmed = ledger.unconfirmed()
    for records in unconfirmed:
        await publish(streams.log, records)
    for records in ledger.batches().values():
        streams.ledger.write([decode(record.value, record.topic) for record in records])
    assert await streams.balance() >= 1500


async def test_the_producer_role_is_killed_and_no_customer_is_without_an_event(streams: Pipeline):
    """What is on the log lands once; rows and their events, which come through the outbox, do not part."""
    dice = random.Random(4)
    await streams.start(1)
    async with streams.audited():
        for _ in range(3):
            producer = await (await streams.producer("--rate", "1000")).start()
            for _ in range(10):
                await register(streams.postgres, 20, dice)
            await streams.more_landed(500)
            await register(streams.postgres, 200, dice)
            await producer.kill()
        producer = await (await streams.producer("--rate", "1000")).start()

        async def all_sent() -> bool:
            return not await streams.postgres.fetchval("SELECT count(*) FROM pipeline.outbox")

        await eventually(all_sent, 30, "the outbox is empty")
        assert await producer.stop() == 0
    assert await streams.balance() > 1500
    counts = await streams.postgres.fetchrow(
        "SELECT (SELECT count(*) FROM pipeline.users) AS rows, count(*) AS events, count(DISTINCT user_id) AS customers"
        " FROM pipeline.user_events WHERE type = 'user.registered'"
    )
    assert tuple(counts) == (1200, 1200, 1200)


@pytest.mark.parametrize("store", ["postgres", "valkey"])
async def test_a_store_hangs_and_is_killed_and_comes_back(streams: Pipeline, frail: FrailServers, store: str):
    """Twenty seconds in all; the log's are those of a Redis that syncs each write, as a crash loses no other."""
    if store == "valkey":
        async with streams.redis() as redis:
            await redis.config_set("appendfsync", "always")
    await streams.start(2)
    async with streams.producing():
        await streams.more_landed(500)
        frail.pause(store)
        try:
            await asyncio.sleep(OUTAGE_S / 2)
            frail.kill(store)
            await asyncio.sleep(OUTAGE_S / 2)
        finally:
            frail.bring_back(store)
        await eventually(streams.postgres_answers, 30, "PostgreSQL answers")
        await streams.more_landed(500, 60)
    await streams.balance(90)
    for consumer in streams.consumers:
        assert await consumer.stop() == 0


async def test_poison_and_a_burst_of_duplicates(streams: Pipeline):
    await streams.start(2)
    events = streams.events(2000)
    records = [each.record() for each in events]
    poison = [Record("orders", "p", b"\x00"), Record("users", "p", b"[]"), Record("products", "p", b"{}")]
    bad_order = msgspec.structs.replace(events[0], event_id=events[0].event_id.__class__(int=7), quantity=0).record()
    for _ in range(5):
        random.shuffle(records)
        for start in range(0, len(records), 200):
            await streams.log.publish([*records[start : start + 200], *poison])
    await streams.log.publish([bad_order])
    assert await streams.balance() == 2000
    letters = 5 * 10 * len(poison) + 1

    async def buried() -> bool:
        return await streams.postgres.fetchval("SELECT count(*) FROM pipeline.dead_letters") >= letters

    await eventually(buried, 30, f"{letters} dead letters")
    assert await streams.postgres.fetchval("SELECT count(*) FROM pipeline.dead_letters") == letters


async def test_a_consumer_sleeps_longer_than_its_session(streams: Pipeline):
    first, _second = await streams.start(2)
    async with streams.producing():
        await streams.more_landed(500)
        first.pause()
        await asyncio.sleep(SESSION_S + 0.5)
        await streams.more_landed(500)
        first.resume()
        await streams.more_landed(500)
    await streams.balance()
    assert await first.stop() == 0


@pytest.mark.faketime
async def test_the_clocks_of_consumers_jump(streams: Pipeline, tmp_path: Path):
    """An hour ahead, two hours back, and on again: nothing that decides looks at them."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    fake = {
        "LD_PRELOAD": await faketime_library(), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    jumpy = streams.consumer(env=fake)
    await asyncio.gather(jumpy.start(), streams.start(1))
    async with streams.producing():
        for jump_s in (3600, -3600, 0):
            clock.write_text(f"{jump_s:+d}")
            await eventually(lambda s=jump_s: abs(ahead_s(jumpy) - s) < 60, 20, f"its clock is {jump_s} s ahead")
            await streams.more_landed(500)
    assert await streams.balance() > 1500
    assert await jumpy.stop() == 0
    assert "partitions_lost" not in jumpy.log


def ahead_s(node: AirnodeProcess) -> float:
    """How far its clock is ahead of ours, by what its HTTP server says."""
    with urllib.request.urlopen(f"{node['api_url']}/health/liveness", timeout=10) as response:
        return parsedate_to_datetime(response.headers["Date"]).timestamp() - time.time()


async def faketime_library() -> str:
    """What ``faketime`` preloads."""
    process = await asyncio.create_subprocess_exec(
        "faketime", "-f", "+0", "printenv", "LD_PRELOAD", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode().strip()
