"""The pipeline loses nothing and lands nothing twice, whatever dies: each test ends with the ledger and the rows.

All of it on Redis Streams and on Kafka.
"""

import asyncio
import random
import time
import urllib.request
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from airnode.pipeline.events import decode_event
from airnode.pipeline.seed.new_customers import register
from airnode.store.eventlog.log import Record
from tests.chaos.lasting import lasting_s
from tests.chaos.pipelines import frail, opened
from tests.support.node import AirnodeProcess
from tests.support.outage import FrailServers
from tests.support.pipeline import SESSION_S, LedgerFile, Pipeline, publish, start_producer
from tests.support.waiting import eventually

__all__ = ["frail"]

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("kafka")]


@pytest.fixture(params=["streams", "kafka"])
async def pipeline(request: pytest.FixtureRequest, tmp_path: Path, frail: FrailServers) -> AsyncIterator[Pipeline]:
    """On each kind of log in turn."""
    bootstrap = request.getfixturevalue("kafka").bootstrap if request.param == "kafka" else ()
    async with opened(frail, tmp_path, bootstrap) as made:
        yield made


async def test_consumers_are_killed_in_mid_batch(pipeline: Pipeline):
    first, second = await pipeline.start(2)
    await pipeline.shared_out()
    async with pipeline.producing():
        await pipeline.more_landed(500)
        await first.kill()
        last = pipeline.consumer()
        await last.start()
        await pipeline.more_landed(500)
        await second.kill()
        await pipeline.more_landed(500)
    assert await pipeline.balance() > 1500


async def test_a_rebalance_every_two_seconds(pipeline: Pipeline):
    """One stays; others join, and leave politely or not at all so."""
    await pipeline.start(1)
    rng = random.Random(4)
    async with pipeline.producing(pause_s=0.1):
        end_s = time.monotonic() + lasting_s(60, 8 if pipeline.bootstrap else 12)
        guests = []
        while time.monotonic() < end_s:
            turn_s = time.monotonic() + 2
            if len(guests) < 2:
                guests += await pipeline.start(1)
            else:
                guest = guests.pop(rng.randrange(2))
                if rng.random() < 0.5:
                    await guest.kill()
                else:
                    assert await guest.stop() == 0
            await asyncio.sleep(max(0.0, turn_s - time.monotonic()))
        await pipeline.more_landed(200)
    assert await pipeline.balance() > 500


async def test_a_consumer_is_stopped_politely_under_load(pipeline: Pipeline):
    """SIGTERM: it lands and commits what it fetched, and is out within its deadline; the other goes on."""
    first, _second = await pipeline.start(2)
    await pipeline.shared_out()
    async with pipeline.producing(pause_s=0.01):
        await pipeline.more_landed(1000)
        began_s = time.monotonic()
        assert await first.stop() == 0
        assert time.monotonic() - began_s < 20  # drain.deadline_s
        await pipeline.more_landed(1000)
    assert "stopped" in first.log
    await pipeline.balance()


async def test_a_producer_is_killed_and_its_successor_sends_what_was_not_confirmed(pipeline: Pipeline, tmp_path: Path):
    """What was written down before the kill may be on the log, or partly, or not at all: sent again, it lands once."""
    ledger = LedgerFile(tmp_path / "ledger")
    await pipeline.start(1)
    for _ in range(3):
        producer = await start_producer(pipeline, ledger.path)
        try:
            await pipeline.more_landed(500)
        finally:
            producer.kill()
            await producer.wait()
    unconfirmed = ledger.unconfirmed()
    for records in unconfirmed:
        await publish(pipeline.log, records)
    for records in ledger.batches().values():
        pipeline.ledger.write([decode_event(record.value, record.topic) for record in records])
    assert await pipeline.balance() >= 1500


async def test_the_producer_role_is_killed_and_no_customer_is_without_an_event(pipeline: Pipeline):
    """What is on the log lands once; rows and their events, which come through the outbox, do not part."""
    dice = random.Random(4)
    await pipeline.start(1)
    async with pipeline.audited():
        for _ in range(3):
            producer = await (await pipeline.producer("--rate", "1000")).start()
            for _ in range(10):
                await register(pipeline.postgres, 20, dice)
            await pipeline.more_landed(500)
            await register(pipeline.postgres, 200, dice)
            await producer.kill()
        producer = await (await pipeline.producer("--rate", "1000")).start()

        async def all_sent() -> bool:
            return not await pipeline.postgres.fetchval("SELECT count(*) FROM pipeline.outbox")

        await eventually(all_sent, 30, "the outbox is empty")
        assert await producer.stop() == 0
    assert await pipeline.balance() > 1500
    counts = await pipeline.postgres.fetchrow(
        "SELECT (SELECT count(*) FROM pipeline.users) AS rows, count(*) AS events, count(DISTINCT user_id) AS customers"
        " FROM pipeline.user_events WHERE type = 'user.registered'"
    )
    assert tuple(counts) == (1200, 1200, 1200)


@pytest.mark.parametrize("store", ["postgres", "valkey"])
async def test_a_store_hangs_and_is_killed_and_comes_back(pipeline: Pipeline, frail: FrailServers, store: str):
    """Each for longer than a session; a Redis that has the log syncs each write, as a crash loses no other."""
    if store == "valkey":
        async with pipeline.redis() as redis:
            await redis.config_set("appendfsync", "always")
    outage_s = lasting_s(20, 4 * SESSION_S)
    await pipeline.start(2)
    async with pipeline.producing():
        await pipeline.more_landed(500)
        frail.pause(store)
        try:
            await wait_out(pipeline, store, outage_s / 2)
            frail.kill(store)
            await wait_out(pipeline, store, outage_s / 2)
            if not needed(pipeline, store):
                assert await pipeline.consumers[0].stop() == 0
        finally:
            frail.bring_back(store)
        await eventually(pipeline.postgres_answers, 30, "PostgreSQL answers")
        await pipeline.more_landed(500, 60)
    await pipeline.balance(90)
    for consumer in pipeline.consumers:
        assert await consumer.stop() == 0


def needed(pipeline: Pipeline, store: str) -> bool:
    """Whether nothing can land without it: Redis is not, where the log is on Kafka."""
    return store == "postgres" or not pipeline.bootstrap


async def wait_out(pipeline: Pipeline, store: str, seconds: float) -> None:
    """Landing goes on meanwhile where it can."""
    end_s = time.monotonic() + seconds
    while not needed(pipeline, store) and time.monotonic() < end_s:
        await pipeline.more_landed(200, 20)
    await asyncio.sleep(max(0.0, end_s - time.monotonic()))


async def test_poison_and_a_burst_of_duplicates(pipeline: Pipeline):
    await pipeline.start(2)
    events = pipeline.events(2000)
    records = [each.record() for each in events]
    poison = [Record("orders", "p", b"\x00"), Record("users", "p", b"[]"), Record("products", "p", b"{}")]
    bad_order = msgspec.structs.replace(events[0], event_id=events[0].event_id.__class__(int=7), quantity=0).record()
    for _ in range(5):
        random.shuffle(records)
        for start in range(0, len(records), 200):
            await pipeline.log.publish([*records[start : start + 200], *poison])
    await pipeline.log.publish([bad_order])
    assert await pipeline.balance() == 2000
    letters = 5 * 10 * len(poison) + 1

    await pipeline.buried(letters)
    assert await pipeline.dead_letters() == letters


async def test_a_consumer_sleeps_longer_than_its_session(pipeline: Pipeline):
    first, _second = await pipeline.start(2)
    await pipeline.shared_out()
    async with pipeline.producing():
        await pipeline.more_landed(500)
        first.pause()
        await asyncio.sleep(SESSION_S + 0.5)
        await pipeline.more_landed(500)
        first.resume()
        await pipeline.more_landed(500)
    await pipeline.balance()
    assert await first.stop() == 0


@pytest.mark.faketime
async def test_the_clocks_of_consumers_jump(pipeline: Pipeline, tmp_path: Path):
    """Two hours ahead, three back, and on again: nothing that decides looks at them, nor does a broker."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    fake = {
        "LD_PRELOAD": await faketime_library(),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    jumpy = pipeline.consumer(env=fake)
    await asyncio.gather(jumpy.start(), pipeline.start(1))
    await pipeline.shared_out()
    poison = [Record("orders", f"p{number}", b"?") for number in range(20)]
    async with pipeline.producing():
        for turn, jump_s in enumerate((7200, -3600, 0), 1):
            clock.write_text(f"{jump_s:+d}")
            await eventually(lambda s=jump_s: abs(ahead_s(jumpy) - s) < 60, 20, f"its clock is {jump_s} s ahead")
            before = landed_by(jumpy)
            await publish(pipeline.log, poison)
            await pipeline.more_landed(500)
            await eventually(lambda n=before: landed_by(jumpy) > n + 100, 30, "it lands on")
            await pipeline.buried(turn * len(poison))
    assert await pipeline.balance() > 1500
    assert await jumpy.stop() == 0
    assert "partitions_lost" not in jumpy.log


def ahead_s(node: AirnodeProcess) -> float:
    """How far its clock is ahead of ours, by what its HTTP server says."""
    with urllib.request.urlopen(f"{node['api_url']}/health/liveness", timeout=10) as response:
        return parsedate_to_datetime(response.headers["Date"]).timestamp() - time.time()


def landed_by(node: AirnodeProcess) -> float:
    """So many events has this process landed."""
    with urllib.request.urlopen(f"{node['api_url']}/metrics", timeout=10) as response:
        families = text_string_to_metric_families(response.read().decode())
    samples = [each for family in families for each in family.samples]
    return sum(each.value for each in samples if each.name == "airnode_pipeline_landed_total")


async def faketime_library() -> str:
    """What ``faketime`` preloads."""
    process = await asyncio.create_subprocess_exec(
        "faketime", "-f", "+0", "printenv", "LD_PRELOAD", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode().strip()
