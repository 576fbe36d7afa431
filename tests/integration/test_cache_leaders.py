"""Which cache worker leads, and what outages of Redis, the database and processes do to the cache."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from airnode.bus.leader_election import LeaderElection
from airnode.bus.leases import Leases
from airnode.pipeline.cache.aging import RotationState
from airnode.pipeline.cache.store import CacheStore, LeaderReplaced
from tests.support.cache import Rig, failure_detail, wait_for_check
from tests.support.node import AirnodeProcess
from tests.support.valkey import ExternalValkey
from tests.support.waiting import eventually


@pytest.fixture
async def rig(valkey_url: str, postgres_url: str) -> AsyncIterator[Rig]:
    made = Rig(valkey_url, postgres_url)
    async with made.stack:
        yield await made.open()


async def test_the_second_worker_stands_by_and_takes_over_from_one_that_stops(rig: Rig):
    await rig.fill(10, 10)
    first = await rig.worker("one")
    await rig.swaps()
    second = await rig.worker("two")
    await eventually(lambda: second._election.leader, 20)
    await wait_for_check(first, "acting")
    await wait_for_check(second, "standing by for one")
    await rig.swaps(3)
    assert (await rig.stats())["worker"] == "one"
    await first.stop()

    async def followed() -> bool:
        return (await rig.stats())["worker"] == "two"

    await eventually(followed, 20)
    await wait_for_check(second, "acting")


async def test_a_leader_whose_lease_ended_is_refused(rig: Rig):
    await rig.fill(10, 10)
    late, next_ = CacheStore(await rig.bus()), CacheStore(await rig.bus())
    assert await late.begin("users", 1) == RotationState()
    rounds = msgspec.json.encode(RotationState(5))
    assert await late.replace("users", 1, {"1": b"{}"}, rounds) == 1
    assert await next_.begin("users", 2) == RotationState(5)
    with pytest.raises(LeaderReplaced):
        await late.replace("users", 1, {"1": b"{}", "2": b"{}"}, rounds)
    with pytest.raises(LeaderReplaced):
        await late.begin("users", 1)
    assert await rig.redis.hlen("cache:users") == 1
    assert await rig.redis.keys("*next*") == []
    assert await next_.replace("users", 2, {"3": b"{}"}, rounds) == 2
    assert await next_.replace("users", 2, {}, rounds) == 3
    assert not await rig.redis.exists("cache:users")


async def test_a_worker_that_was_replaced_stops_acting(rig: Rig):
    await rig.fill(10, 10)
    worker = await rig.worker()
    await rig.swaps()
    other = LeaderElection(Leases(await rig.bus()), "cache-worker", "other", "other", lease_s=60)
    await rig.redis.delete("airnode:lease:{cache-worker}:values", "airnode:lease:{cache-worker}:ends")

    async def took() -> bool:
        await rig.redis.hdel("airnode:lease:{cache-worker}:values", "one")
        await other.campaign()
        return other.term is not None

    await eventually(took, 20)
    await CacheStore(await rig.bus()).begin("users", other.term or 0)

    await wait_for_check(worker, "standing by for other")
    await other.resign()
    await rig.swaps()
    await wait_for_check(worker, "acting")


async def test_while_the_database_is_unusable_the_old_cache_stays(rig: Rig):
    await rig.fill(10, 10)
    worker = await rig.worker()
    await rig.swaps()
    await rig.postgres.execute("ALTER TABLE pipeline.users RENAME TO users_away")
    await eventually(lambda: failure_detail(worker), 20)
    assert "airnode pipeline init" in await failure_detail(worker)
    assert await rig.redis.hlen("cache:users") == 10
    name = "airnode_pipeline_cache_refreshes_total"
    await eventually(lambda: rig.registries["one"].get_sample_value(name, {"result": "failed"}), 20)
    await rig.postgres.execute("ALTER TABLE pipeline.users_away RENAME TO users")
    await rig.swaps(2)
    await wait_for_check(worker, "acting")


async def test_a_hanging_refresh_is_reported(rig: Rig):
    await rig.fill(10, 10)
    worker = await rig.worker()
    await rig.swaps()
    async with rig.postgres.transaction() as connection:
        await connection.execute("LOCK TABLE pipeline.users IN ACCESS EXCLUSIVE MODE")
        await eventually(lambda: failure_detail(worker), 30)
        assert "s late" in await failure_detail(worker)
        assert await rig.redis.hlen("cache:users") == 10
    await rig.swaps()
    await wait_for_check(worker, "acting")


async def test_lost_connections_are_opened_again(rig: Rig):
    await rig.fill(10, 10)
    worker = await rig.worker()
    await rig.swaps()
    for _ in range(3):
        await rig.postgres.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await rig.swaps(2)

    await wait_for_check(worker, "acting")


async def test_a_redis_that_comes_back_empty_is_filled_again(tmp_path: Path, postgres_url: str):
    valkey = await ExternalValkey(tmp_path / "valkey").start()
    rig = Rig(valkey.url, postgres_url)
    rig.stack.push_async_callback(valkey.kill)
    async with rig.stack:
        await rig.open(10, 10)
        worker = await rig.worker(refresh_interval_s=3600)
        await rig.swapped(1)
        await valkey.kill()
        await eventually(lambda: failure_detail(worker), 30)
        await valkey.start()
        await rig.redis.connection_pool.disconnect()

        async def filled() -> bool:
            return await rig.redis.hlen("cache:users") == 10

        await eventually(filled, 30, "the cache is there again, long before its interval is over")

        await wait_for_check(worker, "acting")


@pytest.mark.timeout(180)
async def test_a_killed_worker_is_followed_by_the_other_process(rig: Rig, tmp_path: Path):
    await rig.fill(10, 10)
    nodes = [
        AirnodeProcess(
            tmp_path / name,
            "--redis-url",
            rig.redis_url,
            "--postgres-url",
            rig.postgres_url,
            "--node-name",
            name,
            "--set",
            "cache.refresh_interval_s=0.2",
            role="cache-worker",
        )
        for name in ("one", "two")
    ]
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        await rig.swaps()
        first = (await rig.stats())["worker"]
        acting, other = nodes if first == "one" else reversed(nodes)
        await acting.kill()

        async def followed() -> bool:
            return (await rig.stats())["worker"] != first

        await eventually(followed, 20)
        await rig.swaps()
        assert await other.stop() == 0
    finally:
        for node in nodes:
            await node.close()
