"""Reading users and products: from the cache, and from the database what it has not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.postgres import PostgresSection
from airnode.config.sections.redis import RedisSection
from airnode.errors import Unavailable
from airnode.pipeline.cache.catalogue import CachedProduct, CachedUser, Catalogue, CatalogueMetrics
from airnode.pipeline.cache.read_through import Read
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres
from tests.support.waiting import eventually


def user(user_id: int) -> CachedUser:
    return CachedUser(user_id, f"이름 {user_id}", f"u{user_id}@example.com", "ko")


class Rig:
    """A Redis, a database with a few rows, and readers."""

    def __init__(self, redis_url: str, postgres_url: str) -> None:
        self.redis_url = redis_url
        self.postgres = Postgres(PostgresSection(url=postgres_url))
        self.bus = Bus(RedisSection(url=redis_url), BusMetrics(CollectorRegistry()))
        self.stack = contextlib.AsyncExitStack()

    async def open(self) -> "Rig":
        await self.bus.start()
        self.stack.push_async_callback(self.bus.stop)
        await self.postgres.start()
        self.stack.push_async_callback(self.postgres.stop)
        await migrate(self.postgres)
        return self

    async def reader(self, *, postgres: bool = True, bus: Bus | None = None) -> tuple[Catalogue, CollectorRegistry]:
        registry = CollectorRegistry()
        catalogue = Catalogue(bus or self.bus, self.postgres if postgres else None, CatalogueMetrics(registry))
        await catalogue.start()
        self.stack.push_async_callback(catalogue.stop)
        return catalogue, registry

    async def rows(self, count: int) -> None:
        await self.postgres.execute(
            "INSERT INTO pipeline.users (name, email, locale)"
            " SELECT '이름 ' || n, 'u' || n || '@example.com', 'ko' FROM generate_series(1, $1) n",
            count,
        )

    async def cached(self, *users: CachedUser) -> None:
        await self.bus.client.hset("cache:users", mapping={str(u.user_id): msgspec.json.encode(u) for u in users})

    async def stats(self) -> dict[str, int]:
        return {key.decode(): int(value) for key, value in (await self.bus.client.hgetall("cache:stats")).items()}


@pytest.fixture
async def rig(valkey_url: str, postgres_url: str) -> AsyncIterator[Rig]:
    made = await Rig(valkey_url, postgres_url).open()
    async with made.stack:
        yield made


async def test_random_users_come_from_the_cache_as_many_as_wanted(rig: Rig):
    await rig.cached(user(1), user(2))
    product = CachedProduct(5, "실전 Python 입문", "프로그래밍", 99_000)
    await rig.bus.client.hset("cache:products", "5", msgspec.json.encode(product))
    catalogue, registry = await rig.reader()
    found = await catalogue.users(100)
    assert len(found) == 100
    assert set(found) == {user(1), user(2)}
    assert await catalogue.products(3) == [product] * 3
    assert await catalogue.product(5) == Read(product, hit=True)
    assert registry.get_sample_value("airnode_pipeline_cache_reads_total", {"table": "users", "result": "hit"}) == 100


async def test_a_row_that_is_not_cached_is_read_from_the_database_once(rig: Rig):
    await rig.rows(50)
    await rig.cached(user(1))
    catalogue, registry = await rig.reader()
    found = await asyncio.gather(*(catalogue.user(7) for _ in range(20)))
    assert [each.value for each in found] == [user(7)] * 20
    assert registry.get_sample_value("airnode_pipeline_cache_loads_total", {"table": "users"}) == 1
    assert await catalogue.user(1) == Read(user(1), hit=True)
    assert await catalogue.user(51) == Read(None, hit=False)
    await rig.postgres.execute("DELETE FROM pipeline.users")
    assert (await catalogue.user(7)).value == user(7), "it is remembered"
    alone, _ = await rig.reader(postgres=False)
    assert await alone.user(7) == Read(None, hit=False)


async def test_a_foreign_schema_is_reported_and_stops_nothing(rig: Rig):
    catalogue, _ = await rig.reader()
    await rig.postgres.execute("DROP SCHEMA pipeline CASCADE")
    with pytest.raises(Unavailable, match="Run: airnode pipeline init") as refused:
        await catalogue.user(7)
    assert refused.value.retry_after_s
    await rig.cached(user(7))
    assert await catalogue.user(7) == Read(user(7), hit=True)


async def test_an_empty_cache_gives_none_and_counts_one_miss(rig: Rig):
    await rig.rows(5)
    catalogue, registry = await rig.reader()
    assert await catalogue.users(10) == []
    assert registry.get_sample_value("airnode_pipeline_cache_reads_total", {"table": "users", "result": "miss"}) == 1


async def test_readers_add_up_what_they_hit_and_missed(rig: Rig):
    await rig.cached(user(1))
    first, _ = await rig.reader(postgres=False)
    second, _ = await rig.reader(postgres=False)
    await first.users(30)
    await second.users(10)
    await first.user(2)
    await first.products(4)
    wanted = {"users_hits": 40, "users_misses": 1, "products_misses": 1}

    async def told() -> bool:
        return await rig.stats() == wanted

    await eventually(told, 20)
    await second.users(5)
    await second.stop()
    assert (await rig.stats())["users_hits"] == 45


async def test_without_the_redis_single_rows_come_from_the_database(rig: Rig):
    await rig.rows(5)
    away = Bus(RedisSection(url=rig.redis_url), BusMetrics(CollectorRegistry()))
    catalogue, _ = await rig.reader(bus=away)
    assert await catalogue.user(3) == Read(user(3), hit=False)
    with pytest.raises(Unavailable):
        await catalogue.users(1)
    alone, _ = await rig.reader(bus=away, postgres=False)
    with pytest.raises(Unavailable):
        await alone.users(1)
    with pytest.raises(Unavailable):
        await alone.user(3)


async def test_what_is_no_user_is_left_out(rig: Rig):
    await rig.bus.client.hset("cache:users", mapping={"1": b"\xff", "2": b'{"user_id": "two"}'})
    catalogue, _ = await rig.reader(postgres=False)
    assert await catalogue.users(20) == []
    assert await catalogue.user(1) == Read(None, hit=False)
