"""The cache of users and products: filled, swapped, handed over, and what it costs the database."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from redis import asyncio as aioredis
from redis.exceptions import ResponseError

from airnode.bus.client import Bus
from airnode.bus.leader_election import LeaderElection
from airnode.bus.leases import Leases
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.cache import CacheSection
from airnode.config.sections.postgres import PostgresSection
from airnode.config.sections.redis import RedisSection
from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.cache.aging import BEGINNING, RotationState
from airnode.pipeline.cache.catalogue import Catalogue
from airnode.pipeline.cache.metrics import CacheMetrics, CatalogueMetrics
from airnode.pipeline.cache.source import CacheSource
from airnode.pipeline.cache.store import CacheStore, LeaderReplaced
from airnode.pipeline.cache.tables import USERS, CachedProduct, CachedUser
from airnode.pipeline.cache.worker import CacheWorker
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres
from tests.support.node import AirnodeProcess
from tests.support.servers import TestServers
from tests.support.valkey import ExternalValkey
from tests.support.waiting import eventually

_USERS = """
INSERT INTO pipeline.users (user_id, name, email, locale)
SELECT n, '이름 ' || n, 'u' || n || '@example.com', 'ko' FROM generate_series($1::bigint, $2::bigint) n
"""
_PRODUCTS = """
INSERT INTO pipeline.products (product_id, title, category, price_krw)
SELECT n, '강의 ' || n, '음악', n * 1000 FROM generate_series($1::bigint, $2::bigint) n
"""


class Rig:
    """A Redis, a database, and workers that each have connections of their own."""

    def __init__(self, redis_url: str, postgres_url: str) -> None:
        self.redis_url = redis_url
        self.postgres_url = postgres_url
        self.stack = contextlib.AsyncExitStack()
        self.registries: dict[str, CollectorRegistry] = {}

    async def open(self, users: int = 0, products: int = 0) -> "Rig":
        self.redis = await self.stack.enter_async_context(aioredis.from_url(self.redis_url))
        self.postgres = await self.connect()
        await migrate(self.postgres)
        await self.fill(users, products)
        return self

    async def fill(self, users: int, products: int) -> None:
        await self.postgres.execute(_USERS, 1, users)
        await self.postgres.execute(_PRODUCTS, 1, products)

    async def connect(self) -> Postgres:
        postgres = Postgres(PostgresSection(url=self.postgres_url))
        await postgres.start()
        self.stack.push_async_callback(postgres.stop)
        return postgres

    async def bus(self) -> Bus:
        bus = Bus(RedisSection(url=self.redis_url), BusMetrics(CollectorRegistry()))
        await bus.start()
        self.stack.push_async_callback(bus.stop)
        return bus

    async def worker(self, name: str = "one", *, lease_s: float = 20.0, **section) -> CacheWorker:
        self.registries[name] = CollectorRegistry()
        bus = await self.bus()
        worker = CacheWorker(
            LeaderElection(Leases(bus), "cache-worker", name, name, lease_s=lease_s),
            CacheStore(bus),
            CacheSource(await self.connect()),
            CacheSection(**{"refresh_interval_s": 0.1, "batch_size": 100, **section}),
            CacheMetrics(self.registries[name]),
            node_name=name,
            tasks=TaskScope(name),
        )
        await worker.start()
        self.stack.push_async_callback(worker.stop)
        return worker

    async def stats(self) -> dict[str, str]:
        return {key.decode(): value.decode() for key, value in (await self.redis.hgetall("cache:stats")).items()}

    async def swaps(self, more: int = 1) -> int:
        """So many more swaps; the count. For workers that refresh all the time."""
        return await self.swapped(int((await self.stats()).get("swaps", 0)) + more)

    async def swapped(self, wanted: int) -> int:
        """So many swaps since the beginning, or more."""

        async def counted() -> int:
            count = int((await self.stats()).get("swaps", 0))
            return count if count >= wanted else 0

        return await eventually(counted, 30, f"{wanted} swaps")


@pytest.fixture
async def rig(valkey_url: str, postgres_url: str) -> AsyncIterator[Rig]:
    made = Rig(valkey_url, postgres_url)
    async with made.stack:
        yield await made.open()


async def says(worker: CacheWorker, text: str) -> None:
    """Its check comes to this."""

    async def said() -> bool:
        try:
            return await worker.check() == text
        except Unavailable:
            return False

    await eventually(said, 30, text)


async def unwell(worker: CacheWorker) -> str:
    try:
        await worker.check()
    except Unavailable as error:
        return error.detail
    return ""


async def test_the_cache_holds_the_newest_and_some_of_the_others(rig: Rig):
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


async def test_the_turns_survive_a_restart(rig: Rig):
    await rig.fill(400, 0)
    first = await rig.worker(refresh_interval_s=60)
    await rig.swapped(1)
    before = {int(key) for key in await rig.redis.hkeys("cache:users")}
    assert before == set(range(301, 401)), "50 newest, then the 50 below"
    await first.stop()
    await rig.worker("two", refresh_interval_s=60)
    await rig.swapped(2)
    assert {int(key) for key in await rig.redis.hkeys("cache:users")} == {*range(351, 401), *range(251, 301)}


async def test_everyone_comes_up(rig: Rig):
    await rig.fill(400, 0)
    await rig.worker()
    seen: set[int] = set()

    async def all_seen() -> bool:
        seen.update(int(key) for key in await rig.redis.hkeys("cache:users"))
        return seen == set(range(1, 401))

    await eventually(all_seen, 30, "every user was in the cache")


async def test_a_row_that_is_gone_leaves_the_cache_and_a_new_one_comes(rig: Rig):
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
    await says(worker, "acting")


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


async def test_the_second_worker_stands_by_and_follows_one_that_leaves(rig: Rig):
    await rig.fill(10, 10)
    first = await rig.worker("one")
    await rig.swaps()
    second = await rig.worker("two")
    await eventually(lambda: second._election.leader, 20)
    await says(first, "acting")
    await says(second, "standing by for one")
    await rig.swaps(3)
    assert (await rig.stats())["worker"] == "one"
    await first.stop()

    async def followed() -> bool:
        return (await rig.stats())["worker"] == "two"

    await eventually(followed, 20)
    await says(second, "acting")


async def test_who_was_away_too_long_is_refused(rig: Rig):
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


async def hits(rig: Rig) -> int:
    return int((await rig.stats()).get("users_hits", 0))


async def test_a_worker_that_was_replaced_stands_back(rig: Rig):
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

    await says(worker, "standing by for other")
    await other.resign()
    await rig.swaps()
    await says(worker, "acting")


async def test_while_the_database_is_not_ours_the_old_cache_stays(rig: Rig):
    await rig.fill(10, 10)
    worker = await rig.worker()
    await rig.swaps()
    await rig.postgres.execute("ALTER TABLE pipeline.users RENAME TO users_away")
    await eventually(lambda: unwell(worker), 20)
    assert "airnode pipeline init" in await unwell(worker)
    assert await rig.redis.hlen("cache:users") == 10
    name = "airnode_pipeline_cache_refreshes_total"
    await eventually(lambda: rig.registries["one"].get_sample_value(name, {"result": "failed"}), 20)
    await rig.postgres.execute("ALTER TABLE pipeline.users_away RENAME TO users")
    await rig.swaps(2)
    await says(worker, "acting")


async def test_a_hanging_refresh_is_reported(rig: Rig):
    await rig.fill(10, 10)
    worker = await rig.worker()
    await rig.swaps()
    async with rig.postgres.transaction() as connection:
        await connection.execute("LOCK TABLE pipeline.users IN ACCESS EXCLUSIVE MODE")
        await eventually(lambda: unwell(worker), 30)
        assert "s late" in await unwell(worker)
        assert await rig.redis.hlen("cache:users") == 10
    await rig.swaps()
    await says(worker, "acting")


async def test_connections_that_are_cut_are_made_anew(rig: Rig):
    await rig.fill(10, 10)
    worker = await rig.worker()
    await rig.swaps()
    for _ in range(3):
        await rig.postgres.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await rig.swaps(2)

    await says(worker, "acting")


async def test_a_redis_that_comes_back_empty_is_filled_again(tmp_path: Path, postgres_url: str):
    valkey = await ExternalValkey(tmp_path / "valkey").start()
    rig = Rig(valkey.url, postgres_url)
    rig.stack.push_async_callback(valkey.kill)
    async with rig.stack:
        await rig.open(10, 10)
        worker = await rig.worker(refresh_interval_s=3600)
        await rig.swapped(1)
        await valkey.kill()
        await eventually(lambda: unwell(worker), 30)
        await valkey.start()
        await rig.redis.connection_pool.disconnect()

        async def filled() -> bool:
            return await rig.redis.hlen("cache:users") == 10

        await eventually(filled, 30, "the cache is there again, long before its interval is over")

        await says(worker, "acting")


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
