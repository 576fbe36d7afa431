"""The cache of users and products: filled, swapped, handed over, and what it costs the database."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from redis import asyncio as aioredis
from redis.exceptions import ResponseError

from airnode.pipeline.cache.aging import BEGINNING
from airnode.pipeline.cache.catalogue import Catalogue
from airnode.pipeline.cache.metrics import CatalogueMetrics
from airnode.pipeline.cache.source import CacheSource
from airnode.pipeline.cache.tables import USERS, CachedProduct, CachedUser
from tests.support.cache import _USERS, Rig, hits, wait_for_check
from tests.support.servers import TestServers
from tests.support.valkey import ExternalValkey
from tests.support.waiting import eventually


@pytest.fixture
async def rig(valkey_url: str, postgres_url: str) -> AsyncIterator[Rig]:
    made = Rig(valkey_url, postgres_url)
    async with made.stack:
        yield await made.open()


async def test_the_cache_has_the_newest_rows_and_some_old_ones(rig: Rig):
    await rig.fill(300, 50)
    await rig.worker(new_data_ratio=0.4, refresh_interval_s=60)
    await rig.swapped(1)
    assert await rig.redis.hlen("cache:users") == 100
    assert await rig.redis.hlen("cache:products") == 50
    users = {int(key): value for key, value in (await rig.redis.hgetall("cache:users")).items()}
    assert set(users) >= set(range(261, 301))
    for user_id, data in users.items():
        wanted = CachedUser(user_id, f"이름 {user_id}", f"u{user_id}@example.com", "ko")
        assert msgspec.json.decode(data, type=CachedUser) == wanted
    product = msgspec.json.decode(await rig.redis.hget("cache:products", "7"), type=CachedProduct)
    assert product == CachedProduct(7, "강의 7", "음악", 7000)
    stats = await rig.stats()
    assert (stats["users"], stats["products"], stats["swaps"]) == ("100", "50", "1")
    assert (stats["worker"], stats["batch_size"], float(stats["interval_s"])) == ("one", "100", 60)
    assert stats["statements"] == "2"
    name, labels = "airnode_pipeline_cached_rows", {"table": "users"}
    assert rig.registries["one"].get_sample_value(name, labels) == 100
    assert await rig.redis.keys("*next*") == []
    assert await rig.redis.ttl("cache:users") == -1


async def test_the_rotation_survives_a_restart(rig: Rig):
    await rig.fill(400, 0)
    first = await rig.worker(refresh_interval_s=60)
    await rig.swapped(1)
    before = {int(key) for key in await rig.redis.hkeys("cache:users")}
    assert before == set(range(301, 401)), "50 newest, then the 50 below"
    await first.stop()
    await rig.worker("two", refresh_interval_s=60)
    await rig.swapped(2)
    assert {int(key) for key in await rig.redis.hkeys("cache:users")} == {*range(351, 401), *range(251, 301)}


async def test_every_row_is_cached_at_some_time(rig: Rig):
    await rig.fill(400, 0)
    await rig.worker()
    seen: set[int] = set()

    async def all_seen() -> bool:
        seen.update(int(key) for key in await rig.redis.hkeys("cache:users"))
        return seen == set(range(1, 401))

    await eventually(all_seen, 30, "every user was in the cache")


async def test_a_deleted_row_leaves_the_cache_and_a_new_one_is_added(rig: Rig):
    await rig.fill(20, 5)
    await rig.worker()
    await rig.swaps()
    await rig.postgres.execute("DELETE FROM pipeline.users WHERE user_id < 11")
    await rig.postgres.execute(_USERS, 50, 50)
    await rig.swaps(2)
    assert {int(key) for key in await rig.redis.hkeys("cache:users")} == {*range(11, 21), 50}
    await rig.postgres.execute("DELETE FROM pipeline.users")

    async def empty() -> bool:
        return not await rig.redis.exists("cache:users")

    await eventually(empty, 20)


async def test_tables_that_are_filled_later_are_cached_soon(rig: Rig):
    worker = await rig.worker(refresh_interval_s=3600)

    async def looked() -> bool:
        return "refreshed_at" in await rig.stats()

    await eventually(looked, 20)
    assert (await rig.stats())["swaps"] == "0"
    await rig.fill(10, 10)
    await rig.swapped(1)
    await wait_for_check(worker, "acting")


async def test_readers_never_see_an_empty_or_half_cache(rig: Rig):
    await rig.fill(1000, 1000)
    await rig.worker(batch_size=600)
    await rig.swaps()
    done = asyncio.Event()
    lengths: set[int] = set()
    reads = 0

    async def hammer() -> None:
        nonlocal reads
        async with aioredis.from_url(rig.redis_url) as redis:
            while not done.is_set():
                for table in ("users", "products"):
                    lengths.add(await redis.hlen(f"cache:{table}"))
                    lengths.add(len(await redis.hkeys(f"cache:{table}")))
                    assert len(await redis.hrandfield(f"cache:{table}", -50)) == 50
                    reads += 3

    readers = [asyncio.create_task(hammer()) for _ in range(3)]
    await rig.swaps(8)
    done.set()
    await asyncio.gather(*readers)
    assert reads > 20
    assert lengths == {600}


async def test_the_statement_chooses_what_the_policy_expects(rig: Rig):
    dice = random.Random(7)
    ids = sorted(dice.sample(range(1, 500), 120), reverse=True)
    for row_id in ids:
        await rig.postgres.execute(_USERS, row_id, row_id)
    source = CacheSource(rig.postgres)
    for _ in range(60):
        newest, old = dice.randrange(0, 140), dice.randrange(1, 140)
        cursor = dice.choice([BEGINNING, dice.randrange(600), 2**62])
        found = await source.candidates(USERS, newest, cursor, old)
        rest = ids[newest:]
        below = [each for each in rest if each < cursor][:old]
        above = [each for each in rest if each >= cursor][: old - len(below)]
        assert [row["user_id"] for row in found.newest] == ids[:newest]
        assert [row["user_id"] for row in found.below] == below
        assert [row["user_id"] for row in found.above] == above
    await source.close()


async def test_a_refresh_is_two_statements_by_the_databases_own_count(rig: Rig, servers: TestServers):
    await rig.fill(500, 500)
    database = rig.postgres_url.partition("?")[0].rpartition("/")[2]
    observer = await asyncpg.connect(rig.postgres_url.replace(database, "postgres"), ssl=False)
    rig.stack.push_async_callback(observer.close)
    await observer.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")

    async def calls() -> dict[str, int]:
        rows = await observer.fetch(
            "SELECT query, calls FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = $1)",
            database,
        )
        return {row["query"]: row["calls"] for row in rows}

    await rig.worker()
    swaps_before = await rig.swaps(2)  # what is done once is done
    before = await calls()
    await rig.swaps(5)
    grown = {query: count - before.get(query, 0) for query, count in (await calls()).items()}
    swapped = int((await rig.stats())["swaps"]) - swaps_before
    grown = {query: count for query, count in grown.items() if count}
    assert len(grown) == 2
    for query, count in grown.items():
        assert "airnode_cache_newest" in query
        assert 4 <= count <= swapped + 1, "one of them may be half done at either end"


async def test_on_a_redis_cluster_nothing_touches_two_slots_at_once(postgres_url: str, tmp_path: Path):
    """Such a server refuses it, in scripts and transactions too."""
    server = await ExternalValkey(tmp_path / "valkey", cluster=True).start()
    rig = Rig(server.url, postgres_url)
    try:
        async with rig.stack:
            await rig.open(users=300, products=300)
            await rig.worker()
            await rig.swaps(3)
            catalogue = Catalogue(await rig.bus(), rig.postgres, CatalogueMetrics(CollectorRegistry()))
            await catalogue.start()
            rig.stack.push_async_callback(catalogue.stop)
            assert len(await catalogue.users(50)) == len(await catalogue.products(50)) == 50
            assert (await catalogue.user(1)).value.name == "이름 1"
            await eventually(lambda: hits(rig), 30, "the reader's hits are told")
            with pytest.raises(ResponseError, match="same slot"):
                await rig.redis.rename("cache:users", "cache:products")
    finally:
        await server.kill()
