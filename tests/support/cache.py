"""A Redis, a database and cache workers for tests."""

import contextlib

from prometheus_client import CollectorRegistry
from redis import asyncio as aioredis

from airnode.bus.client import Bus
from airnode.bus.leader_election import LeaderElection
from airnode.bus.leases import Leases
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.cache import CacheSection
from airnode.config.sections.postgres import PostgresSection
from airnode.config.sections.redis import RedisSection
from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.cache.metrics import CacheMetrics
from airnode.pipeline.cache.source import CacheSource
from airnode.pipeline.cache.store import CacheStore
from airnode.pipeline.cache.worker import CacheWorker
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres
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
    """A Redis, a database, and workers with separate connections."""

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
        """Return the total number of swaps after ``more`` further ones. For workers that refresh all the time."""
        return await self.swapped(int((await self.stats()).get("swaps", 0)) + more)

    async def swapped(self, wanted: int) -> int:
        """Return the number of swaps since the beginning, when it has reached ``wanted``."""

        async def counted() -> int:
            count = int((await self.stats()).get("swaps", 0))
            return count if count >= wanted else 0

        return await eventually(counted, 30, f"{wanted} swaps")


async def wait_for_check(worker: CacheWorker, text: str) -> None:
    """Wait until the health check of a worker has this result."""

    async def matches() -> bool:
        try:
            return await worker.check() == text
        except Unavailable:
            return False

    await eventually(matches, 30, text)


async def failure_detail(worker: CacheWorker) -> str:
    try:
        await worker.check()
    except Unavailable as error:
        return error.detail
    return ""


async def hits(rig: Rig) -> int:
    return int((await rig.stats()).get("users_hits", 0))
