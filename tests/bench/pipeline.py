"""The pipeline's speed and memory on Redis Streams and Kafka, compared with a consumer of confluent-kafka and COPY.

``python -m tests.bench.pipeline [--json] [--events N] [--memory-events N] [--skip NAME]...``. Nine consumers in three
processes, servers with default settings; then the cache (``tests.bench.cache``). Prints tables and one line of JSON;
asserts nothing about time.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from airnode.kernel import logging
from airnode.pipeline.events import TOPICS
from tests.bench import cache
from tests.bench.meters import ProcessMeter, load1, quantile, slope
from tests.bench.report import machine
from tests.support.kafka import Kafka, fetch_jars, unavailable_reason
from tests.support.node import AirnodeProcess
from tests.support.pipeline import TABLES, Pipeline
from tests.support.servers import TestServers
from tests.support.waiting import eventually

_PARTS = ("streams", "kafka", "flat-out", "latency", "memory", "peer", "cache")
_ROOT = Path(__file__).parents[2]
_PROCESSES = 3
_RATE = 5_000
_RATE_S = 12
_STEPS = 40
_WARM = 100_000
_ROUNDS = 3
#: Brokers as they run for a long time: with both JIT compilers.
_JAVA = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto")
#: Up to the commit of a row, not the start of its transaction.
_LATENCIES = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - occurred_at)::float8 AS seconds FROM pipeline.{table}
"""


class Servers(TestServers):
    """Servers with default settings, except that PostgreSQL stores the time of each commit."""

    postgres_parameters: Mapping[str, str] = {"track_commit_timestamp": "on"}


@dataclass
class Bench:
    """The stores and results that all measurements share.

    Attributes:
        brokers: empty without Kafka.
    """

    directory: Path
    servers: Servers
    events: int
    memory_events: int
    brokers: Sequence[str] = ()
    figures: list[dict[str, Any]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def pipeline(self, kind: str) -> AsyncIterator[Pipeline]:
        url = self.servers.create_database()
        directory = Path(tempfile.mkdtemp(dir=self.directory))
        bootstrap = self.brokers if kind == "kafka" else ()
        async with Pipeline(directory, url, redis_url=self.servers.fresh_valkey(), bootstrap=bootstrap) as made:
            yield made
        self.servers.drop_database(url)

    def add(self, title: str, value: float, unit: str, target: str = "") -> None:
        self.figures.append({"figure": title, "value": value, "unit": unit, "target": target, "load1": load1()})

    async def flat_out(self, kind: str) -> None:
        """Measure the highest rate, with the producer and consumers at the same time, until the last event is inserted.

        The first events are not counted: new brokers spend much of their time in the JIT compiler.
        """
        async with self.pipeline(kind) as pipeline:
            there = await consumers(pipeline, _PROCESSES)
            nodes = [await (await pipeline.producer("--rate", "0")).start(), *there]
            await all_in(pipeline, _WARM)
            meters = [ProcessMeter(os.getpid()), *(ProcessMeter(node.pid) for node in nodes)]
            first, began_s = await pipeline.landed(), time.monotonic()
            before = [meter.read() for meter in meters]
            await all_in(pipeline, first + self.events)
            used = [meter.since(at) for meter, at in zip(meters, before, strict=True)]
            during = await pipeline.landed() - first
            assert await nodes[0].stop() == 0
            await eventually(lambda: caught_up(pipeline), 120, "no lag is left")
            landed, took_s = await pipeline.landed() - first, time.monotonic() - began_s
        us = 1e6 / during
        self.add(f"{kind}: landed flat out, {landed:,} events", landed / took_s, "/s", ">= 20,000")
        self.add(f"{kind}: CPU of the producer", us * used[1].own_cpu_s, "us/event")
        self.add(f"{kind}: CPU of the consumers", us * sum(each.own_cpu_s for each in used[2:]), "us/event")
        self.add(f"{kind}: CPU of all, servers included", us * used[0].children * used[0].seconds, "us/event")

    async def latency(self, kind: str) -> None:
        """Measure the time from the creation of an event to its commit."""
        async with self.pipeline(kind) as pipeline:
            await consumers(pipeline, _PROCESSES)
            producer = await (await pipeline.producer("--rate", str(_RATE))).start()
            await all_in(pipeline, _RATE * _RATE_S)
            assert await producer.stop() == 0
            found = [
                row["seconds"]
                for table in TABLES.values()
                for row in await pipeline.postgres.fetch(_LATENCIES.format(table=table))
            ]
        self.add(f"{kind}: latency at {_RATE:,}/s, p50", 1e3 * quantile(found, 0.5), "ms")
        self.add(f"{kind}: latency at {_RATE:,}/s, p95", 1e3 * quantile(found, 0.95), "ms", "< 500")

    async def beside_the_peer(self) -> None:
        """Compare one process of each on a full topic of orders with totals. They take turns; the median counts."""
        rounds = [(await self._peer(), await self._ours()) for _ in range(_ROUNDS)]
        (theirs, peer_us), (ours, own_us) = sorted(rounds, key=lambda each: each[1][0] / each[0][0])[_ROUNDS // 2]
        self.add("kafka: one consumer", ours, "/s")
        self.add("kafka: one of confluent-kafka and COPY", theirs, "/s")
        self.add("kafka: ratio of these", ours / theirs, "x", ">= 0.8")
        self.add("kafka: CPU of one consumer", own_us, "us/event")
        self.add("kafka: CPU of the peer", peer_us, "us/event")

    async def _peer(self) -> tuple[float, float]:
        """Return events per second, and microseconds of CPU per event."""
        async with self.pipeline("kafka") as pipeline:
            count = await orders_to_read(pipeline, self.events)
            peer = await run(
                "pipelinepeer",
                {
                    "bootstrap": self.brokers,
                    "postgres_url": pipeline.postgres_url,
                    "group": pipeline.group,
                    "count": count,
                },
            )
        return count / peer["took_s"], 1e6 * peer["cpu_s"] / count

    async def _ours(self) -> tuple[float, float]:
        async with self.pipeline("kafka") as pipeline:
            count = await orders_to_read(pipeline, self.events)
            consumer = pipeline.consumer("--set", "pipeline.topics=orders")
            await consumer.launch()
            await eventually(lambda: ordered(pipeline), 60, "the first land")
            meter, began_s, first = ProcessMeter(consumer.pid), time.monotonic(), await ordered(pipeline)
            before = meter.read()
            landed, took_s, cpu_s = 0, 0.0, 0.0
            while (now := await ordered(pipeline)) < count:
                landed, took_s, cpu_s = now - first, time.monotonic() - began_s, meter.since(before).own_cpu_s
                await asyncio.sleep(0.1)
        return landed / took_s, 1e6 * cpu_s / landed

    async def memory(self, kind: str) -> None:
        """Measure the memory of one consumer, from the first tenth of the events to the last."""
        async with self.pipeline(kind) as pipeline:
            [consumer] = await consumers(pipeline, 1)
            meter = ProcessMeter(consumer.pid)
            made = asyncio.ensure_future(generate(pipeline, count=self.memory_events, rate=0))
            points: list[tuple[float, float]] = []
            for step in range(1, _STEPS + 1):
                await all_in(pipeline, self.memory_events * step // _STEPS)
                points.append((self.memory_events * step / _STEPS / 1e6, meter.rss_kib() / 1024))
            await made
        settled = points[_STEPS // 10 :]
        self.add(f"{kind}: memory of a consumer after a tenth of {self.memory_events:,} events", settled[0][1], "MiB")
        self.add(f"{kind}: memory of a consumer at the end", settled[-1][1], "MiB")
        self.add(f"{kind}: growth", slope(settled), "MiB/million events")


async def consumers(pipeline: Pipeline, processes: int) -> list[AirnodeProcess]:
    """Return processes with a consumer for each topic, after they own all partitions."""
    pipeline.group = ""
    made = await pipeline.start(processes, "--set", "eventlog.session_timeout_s=10")
    # Events of an earlier measurement on Kafka's topics are inserted first, so that they do not count here.
    async with aiohttp.ClientSession() as session:
        await eventually(lambda: settled(session, made), 60, "each consumer has its share")
    await eventually(lambda: caught_up(pipeline), 60, "no lag is left")
    tables = ", ".join(f"pipeline.{table}" for table in TABLES.values())
    await pipeline.postgres.execute(f"TRUNCATE {tables}, pipeline.orders_per_minute")
    return made


async def settled(session: aiohttp.ClientSession, processes: Sequence[AirnodeProcess]) -> bool:
    """Return whether partitions are spread evenly over the processes."""
    for process in processes:
        async with session.get(f"{process['api_url']}/health") as response:
            checks = (await response.json())["checks"]
        shares = [checks[f"lane-{topic}_group"]["detail"] for topic in TOPICS]
        if any(not share.startswith(f"{3 // len(processes)} partition") for share in shares):
            return False
    return True


async def caught_up(pipeline: Pipeline) -> bool:
    return await pipeline.lag() == 0


async def orders_to_read(pipeline: Pipeline, count: int) -> int:
    """Publish ``count`` orders, and return how many records the group has not read yet."""
    await generate(pipeline, count=count, rate=0, orders=True)
    lags = await pipeline.log.lag(pipeline.group, ["orders"])
    return sum(lag.records for lag in lags.values())


async def ordered(pipeline: Pipeline) -> int:
    """Return the number of inserted orders from their totals: frequent counts of rows would take much of a core."""
    return int(await pipeline.postgres.fetchval("SELECT coalesce(sum(orders), 0) FROM pipeline.orders_per_minute"))


async def all_in(pipeline: Pipeline, count: int) -> None:
    async def there() -> bool:
        await asyncio.sleep(0.5)
        return await pipeline.landed() >= count

    await eventually(there, 1200, f"{count} events land")


async def generate(pipeline: Pipeline, **wanted: Any) -> dict[str, float]:
    return await run("pipelinegen", {"redis_url": pipeline.redis_url, "bootstrap": pipeline.bootstrap, **wanted})


async def run(module: str, wanted: dict[str, Any]) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.bench.{module}", json.dumps(wanted), cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, f"{module} failed"
    figures: dict[str, float] = json.loads(output)
    return figures


async def measure(bench: Bench, skip: Sequence[str]) -> None:
    for kind in ("streams", "kafka") if bench.brokers else ("streams",):
        for name, scenario in (("flat-out", bench.flat_out), ("latency", bench.latency), ("memory", bench.memory)):
            if not {kind, name} & set(skip):
                await scenario(kind)
    if bench.brokers and importlib.util.find_spec("confluent_kafka") and not {"kafka", "peer"} & set(skip):
        await bench.beside_the_peer()


def show(found: dict[str, Any], console: Console) -> None:
    table = Table(title="airnode pipeline benchmark", title_justify="left", pad_edge=False)
    table.add_column("figure")
    for name in ("value", "target", "load"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found["figures"]:
        value = f"{each['value']:,.0f}" if abs(each["value"]) >= 100 else f"{each['value']:.3g}"
        table.add_row(each["figure"], f"{value} {each['unit']}", each["target"], f"{each['load1']:.1f}")
    for name, why in found["missing"].items():
        table.add_row(f"[bold]{name}[/bold]: [yellow]{why}[/yellow]")
    if table.rows:
        console.print(table)
    if "cache" in found:
        cache.show(found["cache"], console)


def main() -> None:
    logging.configure("warning", "console", {})
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the JSON line only")
    parser.add_argument("--events", type=int, default=200_000, help="of the runs flat out")
    parser.add_argument("--memory-events", type=int, default=200_000, help="of the memory's run; 2000000 to be sure")
    parser.add_argument("--cache-seconds", type=float, default=60.0, help="how long statements are counted")
    parser.add_argument("--skip", action="append", default=[], choices=_PARTS)
    options = parser.parse_args()
    missing = {"kafka": unavailable_reason()} if unavailable_reason() else {}
    with tempfile.TemporaryDirectory(prefix="airnode-bench-", ignore_cleanup_errors=True) as name:
        servers, kafka = Servers(Path(name) / "stores"), Kafka(Path(name), _JAVA)
        bench = Bench(Path(name), servers, options.events, options.memory_events)
        try:
            if not missing and "kafka" not in options.skip:
                fetch_jars()
                bench.brokers = kafka.start().bootstrap
            asyncio.run(measure(bench, options.skip))
        finally:
            kafka.close()
            servers.close()
    found = {"bench": "pipeline", "machine": machine(), "figures": bench.figures, "missing": missing}
    if "cache" not in options.skip:
        found["cache"] = asyncio.run(cache.measure(options.cache_seconds))
    if not options.json:
        show(found, Console())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
