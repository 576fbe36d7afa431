"""Measures placement: its cost with ten and with ten thousand nodes, how even it is, and the cost of Redis.

``python -m tests.bench.placement [--json]``. Prints a table and one line of JSON; asserts nothing about time.
"""

import argparse
import asyncio
import json
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from airnode.bus.client import Bus
from airnode.bus.messages import NodeRecord
from airnode.bus.subscription import BusMetrics
from airnode.cluster.node_states import NodeStates
from airnode.cluster.placement import Placement
from airnode.config.sections.cluster import ClusterSection
from airnode.config.sections.embedded import EmbeddedSection
from airnode.config.sections.redis import RedisSection
from airnode.embedded.data_dir import DataDir
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.valkey import EmbeddedValkey
from airnode.kernel import logging
from airnode.kernel.tasks import TaskScope

SIZES = (10, 100, 1_000, 10_000)
_SECONDS = 1.0
_REDIS_PLACEMENTS = 6_000
_REDIS_AT_ONCE = 64


def node(index: int, taken: int, most: int, beat: float) -> NodeRecord:
    name = f"node-{index:05}"
    return NodeRecord(name, name, "healthy", "", "http", 8888, 1935, taken, most, "0", beat)


def fleet(count: int, most: int, seed: int = 0, *, filled: bool = False) -> Placement:
    """Return a placement with ``count`` nodes; ``filled``: each already has some viewers."""
    rng = random.Random(seed)
    placement = Placement(rng, math.inf)
    for index in range(count):
        placement.update_node(node(index, rng.randrange(most // 2) if filled else 0, most, 1.0), 0.0)
    return placement


def place(placement: Placement) -> str:
    node_id = placement.place(0.0).node_id
    placement.confirm(node_id, None)
    return node_id


def rate(step: Callable[[int], object]) -> float:
    """Return calls of ``step`` per second of this process's CPU time."""
    done, began_s = 0, time.process_time()
    while (spent_s := time.process_time() - began_s) < _SECONDS:
        for _ in range(500):
            step(done)
            done += 1
    return done / spent_s


def cost(count: int) -> dict[str, float]:
    """Return placements per second with ``count`` nodes. A heartbeat follows each, so that loads go up and down."""
    placement = fleet(count, 150, filled=True)
    rng = random.Random(1)
    beats = [node(index, rng.randrange(120), 150, beat) for beat in (2.0, 3.0, 4.0) for index in range(count)]
    rng.shuffle(beats)

    def step(number: int) -> None:
        place(placement)
        placement.update_node(beats[number % len(beats)], 0.0)

    alone = rate(lambda number: placement.update_node(beats[number % len(beats)], 0.0))
    both = rate(step)
    placements = 1 / (1 / both - 1 / alone)
    return {"nodes": count, "placements_per_s": placements, "us": 1e6 / placements, "beats_per_s": alone}


def evenness(nodes: int, viewers: int, most: int, masters: int, seed: int) -> float:
    """Return the viewers of the fullest node over the mean. Masters exchange their counts after 20 placements each."""
    boards = [fleet(nodes, most, seed * 10 + index) for index in range(masters)]
    truth: Counter[str] = Counter()
    while sum(truth.values()) < viewers:
        for placement in boards:
            for _ in range(20):
                node_id = placement.place(0.0).node_id
                truth[node_id] += 1
                placement.confirm(node_id, truth[node_id])
        if masters > 1:
            for placement in boards:
                placement.raise_reserved(truth)
    return max(truth.values()) * nodes / sum(truth.values())


def crowd(nodes: int, viewers: int) -> dict[str, float]:
    """Return figures of the placement of ``viewers`` viewers on ``nodes`` nodes of 150 places."""
    placement = fleet(nodes, 150)
    counts: Counter[str] = Counter()
    began_s = time.process_time()
    for _ in range(viewers):
        counts[place(placement)] += 1
    spent_s = time.process_time() - began_s
    return {
        "nodes": nodes,
        "viewers": viewers,
        "placements_per_s": viewers / spent_s,
        "fullest_over_mean": max(counts.values()) * nodes / viewers,
    }


async def with_redis(nodes: int) -> dict[str, float]:
    """Return figures of all steps of a master: choose, reserve in Redis, notify other masters."""
    with tempfile.TemporaryDirectory(prefix="airnode-bench-", ignore_cleanup_errors=True) as directory:
        data = DataDir(Path(directory))
        data.acquire()
        registry = CollectorRegistry()
        server = EmbeddedValkey(data.path, EmbeddedSection(), EmbeddedMetrics(registry))
        await server.start()
        bus = Bus(RedisSection(), BusMetrics(registry), url=server.url)
        await bus.start()
        tasks = TaskScope("bench")
        placement = NodeStates(bus, ClusterSection(lease_s=600, heartbeat_s=2), tasks, registry)
        for index in range(nodes):
            await placement.registry.beat(node(index, 0, 1000, time.time()), 600)
        await placement.start()
        numbers = iter(range(_REDIS_PLACEMENTS))

        async def master() -> None:
            for number in numbers:
                await placement.place_viewer(f"session-{number}")

        try:
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
            await asyncio.gather(*(master() for _ in range(_REDIS_AT_ONCE)))
            took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        finally:
            await placement.stop()
            await bus.stop()
            await server.stop()
            data.release()
    return {
        "nodes": nodes,
        "placements_per_s": _REDIS_PLACEMENTS / took_s,
        "us_cpu": 1e6 * cpu_s / _REDIS_PLACEMENTS,
    }


def measure() -> dict[str, Any]:
    costs = [cost(count) for count in SIZES]
    even = {
        f"{masters}_masters": max(evenness(10, 1000, 150, masters, seed) for seed in range(20)) for masters in (1, 2)
    }
    return {
        "bench": "placement",
        "cost": costs,
        "growth_over_log": (costs[-1]["us"] / costs[0]["us"]) / (math.log(SIZES[-1]) / math.log(SIZES[0])),
        "fullest_over_mean_10_nodes_1000_students": even,
        "crowd": crowd(10_000, 1_000_000),
        "redis": asyncio.run(with_redis(1_000)),
    }


def show(found: dict[str, Any], console: Console) -> None:
    table = Table(title="airnode placement benchmark", title_justify="left", pad_edge=False)
    table.add_column("figure")
    for name in ("value", "target"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found["cost"]:
        target = ">= 3,000" if each["nodes"] == 1_000 else ""
        table.add_row(f"placements/s, {each['nodes']:,} nodes", f"{each['placements_per_s']:,.0f}", target)
    for each in found["cost"]:
        table.add_row(f"heartbeats/s, {each['nodes']:,} nodes", f"{each['beats_per_s']:,.0f}", "")
    table.add_row("cost's growth from 10 to 10,000 nodes, over log n", f"{found['growth_over_log']:.2f}", "<= 1")
    table.add_section()
    for name, value in found["fullest_over_mean_10_nodes_1000_students"].items():
        table.add_row(
            f"fullest/mean, 10 nodes, 1,000 students, {name.replace('_', ' ')}, worst of 20", f"{value:.3f}", "<= 1.1"
        )
    crowd_ = found["crowd"]
    table.add_row("fullest/mean, 10,000 nodes, 1,000,000 viewers", f"{crowd_['fullest_over_mean']:.3f}", "")
    table.add_row("placements/s, 10,000 nodes, 1,000,000 viewers", f"{crowd_['placements_per_s']:,.0f}", "")
    table.add_section()
    redis = found["redis"]
    table.add_row(
        "placements/s with reservations in Redis, 1,000 nodes", f"{redis['placements_per_s']:,.0f}", ">= 3,000"
    )
    table.add_row("master's CPU for one of these", f"{redis['us_cpu']:,.0f} us", "")
    console.print(table)


def main() -> None:
    logging.configure("warning", "console", {})
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the JSON line only")
    only_json = parser.parse_args().json
    found = measure()
    if not only_json:
        show(found, Console())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
