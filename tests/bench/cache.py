"""Measures the cache of users and products: the cost of reads with and without it, and the queries that it saves.

``python -m tests.bench.cache [--seconds 60] [--json]``. Prints tables and one line of JSON; asserts nothing about time.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from airnode.bus.client import Bus
from airnode.bus.leader_election import LeaderElection
from airnode.bus.leases import Leases
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.cache import CacheSection
from airnode.config.sections.embedded import EmbeddedSection
from airnode.config.sections.postgres import PostgresSection
from airnode.config.sections.redis import RedisSection
from airnode.embedded.data_dir import DataDir
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.postgres import EmbeddedPostgres
from airnode.embedded.valkey import EmbeddedValkey
from airnode.kernel import logging
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.cache.catalogue import Catalogue
from airnode.pipeline.cache.metrics import CacheMetrics, CatalogueMetrics
from airnode.pipeline.cache.source import CacheSource
from airnode.pipeline.cache.store import CacheStore
from airnode.pipeline.cache.worker import LEASE_S, CacheWorker
from airnode.pipeline.seed.seeder import seed
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres

USERS, PRODUCTS = 10_000, 20_000
AT_ONCE = 100
_READS = 1500
_READS_PER_S = 10.0
_COLUMNS = "user_id, name, email, locale"
_BY_KEY = f"SELECT {_COLUMNS} FROM pipeline.users WHERE user_id = any($1::bigint[])"
_RANDOM = f"SELECT {_COLUMNS} FROM pipeline.users ORDER BY random() LIMIT $1"
_COUNTS = """
SELECT query, calls FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Rig:
    """Both embedded stores with filled tables, and a cache-worker."""

    def __init__(self, directory: Path) -> None:
        self.data = DataDir(directory)
        self.registry = CollectorRegistry()
        self.stack = contextlib.AsyncExitStack()

    async def open(self) -> None:
        self.data.acquire()
        self.stack.callback(self.data.release)
        metrics, settings = EmbeddedMetrics(self.registry), EmbeddedSection()
        valkey = EmbeddedValkey(self.data.path, settings, metrics)
        postgres = EmbeddedPostgres(self.data.path, settings, metrics)
        self.postgres_url = postgres.url
        self.bus = Bus(RedisSection(), BusMetrics(self.registry), url=valkey.url)
        self.postgres = Postgres(PostgresSection(), url=postgres.url)
        for service in (valkey, postgres, self.bus, self.postgres):
            await service.start()
            self.stack.push_async_callback(service.stop)
        await migrate(self.postgres)
        self.connection = await asyncpg.connect(postgres.url, ssl=False)
        self.stack.push_async_callback(self.connection.close)

    async def work(self) -> None:
        worker = CacheWorker(
            LeaderElection(Leases(self.bus), "cache-worker", "bench", "bench", lease_s=LEASE_S),
            CacheStore(self.bus),
            CacheSource(self.postgres),
            CacheSection(),
            CacheMetrics(self.registry),
            node_name="bench",
            tasks=TaskScope("cache-worker"),
        )
        await worker.start()
        self.stack.push_async_callback(worker.stop)
        while await self.bus.client.hlen("cache:products") < CacheSection().batch_size:
            await asyncio.sleep(0.05)

    async def reader(self) -> Catalogue:
        catalogue = Catalogue(self.bus, self.postgres, CatalogueMetrics(self.registry))
        await catalogue.start()
        self.stack.push_async_callback(catalogue.stop)
        return catalogue

    async def counts(self) -> dict[str, int]:
        """Return {statement: calls} as the database counted them so far."""
        return {row["query"]: row["calls"] for row in await self.connection.fetch(_COUNTS)}


def some_ids() -> list[int]:
    return random.sample(range(1, USERS + 1), AT_ONCE)


def ways(rig: Rig, catalogue: Catalogue) -> dict[str, Callable[[], Awaitable[list[Any]]]]:
    """Return the ways to read 100 users. Database reads use one open connection and prepared statements."""

    async def each_by_key() -> list[Any]:
        return [await rig.connection.fetchrow(_BY_KEY, [each]) for each in some_ids()]

    return {
        "cache, 100 random ones (HRANDFIELD)": lambda: catalogue.users(AT_ONCE),
        "database, 100 by key, one statement (= any)": lambda: rig.connection.fetch(_BY_KEY, some_ids()),
        "database, 100 by key, a statement each": each_by_key,
        "database, 100 random ones (ORDER BY random())": lambda: rig.connection.fetch(_RANDOM, AT_ONCE),
    }


async def timed(ways_: dict[str, Callable[[], Awaitable[list[Any]]]]) -> dict[str, dict[str, float]]:
    """Return the times of all ways in ms. They take turns, so that other load on the machine affects all of them."""
    took_ms: dict[str, list[float]] = {name: [] for name in ways_}
    for number in range(_READS):
        for name, read in ways_.items():
            if "each" in name and number % 10:
                continue
            began_s = time.perf_counter()
            found = await read()
            took_ms[name].append((time.perf_counter() - began_s) * 1000)
            assert len(found) == AT_ONCE
    return {
        name: {
            "p50_ms": statistics.median(took),
            "p99_ms": sorted(took)[int(len(took) * 0.99)],
            "reads": len(took),
            "mean_ms": statistics.fmean(took),
        }
        for name, took in took_ms.items()
    }


async def statements(rig: Rig, catalogue: Catalogue, seconds: float) -> dict[str, float]:
    """Return the queries of a reader with and one without the cache, from pg_stat_statements, at ten reads a second."""
    before = await rig.counts()
    began_s = time.perf_counter()
    reads = 0
    while (now_s := time.perf_counter() - began_s) < seconds:
        await catalogue.users(AT_ONCE)
        await rig.connection.fetch(_BY_KEY, some_ids())
        reads += 1
        await asyncio.sleep(max(0.0, reads / _READS_PER_S - now_s))
    minutes = (time.perf_counter() - began_s) / 60
    grown = {query: calls - before.get(query, 0) for query, calls in (await rig.counts()).items()}
    direct = sum(count for query, count in grown.items() if "any($1" in query)
    counting = sum(count for query, count in grown.items() if "pg_stat_statements" in query)
    others = sum(grown.values()) - direct - counting
    stats = {key.decode(): value.decode() for key, value in (await rig.bus.client.hgetall("cache:stats")).items()}
    return {
        "seconds": minutes * 60,
        "reads": reads,
        "without_cache_per_min": direct / minutes,
        "with_cache_per_min": others / minutes,
        "with_cache_counted": others,
        "statements_per_refresh": float(stats["statements"]),
        "swaps": float(stats["swaps"]),
        "hits": float(stats.get("users_hits", 0)),
        "misses": float(stats.get("users_misses", 0)),
    }


@contextlib.asynccontextmanager
async def rigged() -> AsyncIterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="airnode-bench-", ignore_cleanup_errors=True) as directory:
        rig = Rig(Path(directory))
        async with rig.stack:
            await rig.open()
            yield rig


async def measure(seconds: float) -> dict[str, Any]:
    """Return all results as JSON values."""
    async with rigged() as rig:
        filled = await seed(rig.postgres, USERS, PRODUCTS)
        rows = sum(each.added for each in filled.values())
        await rig.work()
        catalogue = await rig.reader()
        refresh_ms = float(await rig.bus.client.hget("cache:stats", "refresh_ms"))
        return {
            "bench": "cache",
            "load1": os.getloadavg()[0],
            "seed": {
                "rows": rows,
                "rows_per_s": rows / sum(each.took_s for each in filled.values()),
                "users_per_s": filled["users"].rows_per_s,
                "products_per_s": filled["products"].rows_per_s,
            },
            "refresh_ms": refresh_ms,
            "reading_100_users": await timed(ways(rig, catalogue)),
            "statements": await statements(rig, catalogue, seconds),
        }


def show(found: dict[str, Any], console: Console) -> None:
    reading = Table(title="Reading 100 users", title_justify="left", pad_edge=False)
    for name in ("", "p50 ms", "p99 ms", "users/s"):
        reading.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name, facts in found["reading_100_users"].items():
        per_s = AT_ONCE / facts["mean_ms"] * 1000
        reading.add_row(name, f"{facts['p50_ms']:.2f}", f"{facts['p99_ms']:.2f}", f"{per_s:,.0f}")
    console.print(reading)
    counted, seeded = found["statements"], found["seed"]
    rest = Table(title="The database's share", title_justify="left", pad_edge=False)
    for name in ("figure", "value", "target"):
        rest.add_column(name, justify="left" if name == "figure" else "right", no_wrap=True)
    rest.add_row("statements a minute without the cache", f"{counted['without_cache_per_min']:,.1f}", "")
    rest.add_row("statements a minute with the cache", f"{counted['with_cache_per_min']:,.1f}", "")
    rest.add_row("statements a refresh", f"{counted['statements_per_refresh']:.0f}", "<= 2")
    rest.add_row("a refresh of 1,000 users and 1,000 products", f"{found['refresh_ms']:.0f} ms", "")
    rest.add_row(f"seeding {seeded['rows']:,} rows", f"{seeded['rows_per_s']:,.0f} rows/s", ">= 50,000")
    console.print(rest)
    console.print(
        f"{_READS_PER_S:g} reads a second of {AT_ONCE} users each for {counted['seconds']:.0f} s, counted by "
        f"pg_stat_statements. A refresh every {CacheSection().refresh_interval_s:g} s makes "
        f"{120 / CacheSection().refresh_interval_s:.1f} a minute in the long run. Load: {found['load1']:.1f}."
    )


def main() -> None:
    logging.configure("warning", "console", {})
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the JSON line only")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long statements are counted")
    options = parser.parse_args()
    found = asyncio.run(measure(options.seconds))
    if not options.json:
        show(found, Console())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
