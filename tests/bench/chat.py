"""Measures the chat: what a delivery costs, its latency, memory of connections, slow clients, a reconnect storm.

``python -m tests.bench.chat [--only NAME,…] [--seconds N] [--json PATH]``. Two slaves of a cluster as processes on one
core, the clients and Redis on another; beside it Node's socket.io with its Redis adapter, if Node and both packages are
there (npm packages of airnode/ui). Prints a table and one line of JSON; asserts nothing about time.
"""

import asyncio
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import click
import psutil
import structlog
from prometheus_client import CollectorRegistry
from rich.console import Console

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.valkey import EmbeddedValkey
from tests.bench.chatgen import Load
from tests.bench.meters import ProcessMeter
from tests.bench.report import Figure, Report
from tests.support.cluster import USUAL, Cluster

ROOT = Path(__file__).parents[2]
CLIENTS, IDLE = 1000, 10_000
#: The memory of a client that never reads is measured from here on, and until it is cut (``chat.cut_after_s``).
_FILLED_S, _CUT_S = 5.0, 29.0
#: Clients that came within 10 s are pinged within 10 s of each interval, which is 25 s long.
_PINGS_S = 50.0
_OPEN = (
    "--set", "chat.access=open", "--set", "chat.send_rate_per_s=1000000", "--set", "chat.send_burst=1000000",
    "--set", "chat.event_rate_per_s=1000000", "--set", "chat.event_burst=1000000",
)  # fmt: skip


@dataclass
class ChatServers:
    """Two servers of one kind."""

    name: str
    urls: list[str]
    pids: list[int]

    def cpu_s(self) -> float:
        return sum(ProcessMeter(pid).read().own_cpu_s for pid in self.pids)

    def memory_kib(self) -> float:
        """Return what the processes use, shared memory divided by its users."""
        return sum(psutil.Process(pid).memory_full_info().pss for pid in self.pids) / 1024

    async def settled_kib(self) -> float:
        """Return the same once it no longer changes: three readings within a second differ by 64 KiB at most."""
        readings: list[float] = []
        async with asyncio.timeout(60):
            while len(readings) < 3 or max(readings[-3:]) - min(readings[-3:]) > 64:
                await asyncio.sleep(0.5)
                readings.append(self.memory_kib())
        return readings[-1]


def _pin(pids: Sequence[int], core: int) -> None:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    for pid in pids:
        if len(cores) > 1:
            psutil.Process(pid).cpu_affinity([cores[core % len(cores)]])


@contextlib.asynccontextmanager
async def airnode_servers(work: Path) -> AsyncIterator[ChatServers]:
    work.mkdir(parents=True)
    async with aiohttp.ClientSession() as session:
        cluster = Cluster(work, session, *USUAL)
        try:
            await cluster.start()
            slaves = [await cluster.add_slave(f"slave-{number}", *_OPEN) for number in (1, 2)]
            urls = [node["media_url"].replace("localhost", "127.0.0.1") for node in slaves]
            found = ChatServers("airnode", urls, [node.pid for node in slaves])
            _pin(found.pids, 0)
            master = psutil.Process(cluster.master.pid)
            _pin([master.pid, *(child.pid for child in master.children(recursive=True))], 1)
            yield found
        finally:
            await cluster.close()


def node_modules() -> Path | None:
    """Return the folder with Node's server, if it is there."""
    modules = ROOT / "airnode/ui/node_modules"
    return modules if (modules / "@socket.io/redis-adapter").exists() and shutil.which("node") else None


@contextlib.asynccontextmanager
async def node_servers(work: Path, modules: Path) -> AsyncIterator[ChatServers]:
    (work / "valkey").mkdir(parents=True)
    valkey = EmbeddedValkey(work / "valkey", EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()))
    await valkey.start()
    path = valkey.url.removeprefix("unix://").partition("?")[0]
    processes: list[asyncio.subprocess.Process] = []
    try:
        ports, pids = [], []
        for _ in range(2):
            process = await asyncio.create_subprocess_exec(
                "node", str(ROOT / "tests/bench/chat_node.cjs"), path,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "NODE_PATH": str(modules)},
            )  # fmt: skip
            processes.append(process)
            assert process.stdout is not None
            pid, port = map(int, (await asyncio.wait_for(process.stdout.readline(), 20)).split())
            pids.append(pid)
            ports.append(port)
        found = ChatServers("node", [f"http://127.0.0.1:{port}" for port in ports], pids)
        _pin(found.pids, 0)
        yield found
    finally:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
        await valkey.stop()


class ClientProcess:
    """The load in its own process; see :mod:`tests.bench.chatgen`."""

    def __init__(self, load: Load) -> None:
        self.load = load

    async def __aenter__(self) -> "ClientProcess":
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.chatgen", json.dumps(asdict(self.load)),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _pin([self.process.pid], 1)
        self.joined_s = float((await self._line(150))["joined_s"])
        return self

    async def _line(self, within_s: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), within_s)
        assert line, "the clients failed"
        found: dict[str, Any] = json.loads(line)
        return found

    async def run(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        return await self._line(self.load.seconds + 120)

    async def __aexit__(self, *error: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 20)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


# -- scenarios ---------------------------------------------------------------------------------------------------------


async def deliveries(servers: ChatServers, seconds: float) -> dict[str, float]:
    """One room, messages as fast as they come back: CPU of the servers for each delivery."""
    before_kib = servers.memory_kib()
    async with ClientProcess(Load(servers.urls, CLIENTS, connect_per_s=500, in_flight=4, seconds=seconds)) as clients:
        await asyncio.sleep(2)
        idle_kib = (servers.memory_kib() - before_kib) / CLIENTS
        before_s = servers.cpu_s()
        found = await clients.run()
        cpu_s = servers.cpu_s() - before_s
    assert found["closed"] == 0, found
    return {
        "deliveries_per_cpu_s": found["deliveries"] / cpu_s,
        "deliveries_per_s": found["deliveries"] / found["took_s"],
        "lost": found["expected"] - found["deliveries"],
        "kib_per_connection": idle_kib,
    }


async def fixed_rate(servers: ChatServers, seconds: float) -> dict[str, float]:
    """One room, 20 messages a second: latency from the intended time of sending to each client."""
    async with ClientProcess(Load(servers.urls, CLIENTS, connect_per_s=500, rate_per_s=20, seconds=seconds)) as clients:
        await asyncio.sleep(2)
        before_s = servers.cpu_s()
        found = await clients.run()
        return {
            "p50_ms": found["p50_ms"],
            "p99_ms": found["p99_ms"],
            "cpu_cores": (servers.cpu_s() - before_s) / found["took_s"],
            "lost": found["expected"] - found["deliveries"],
        }


async def storm(servers: ChatServers, seconds: float) -> dict[str, float]:
    """All clients connect within a second, as after a restart, and join."""
    del seconds
    took_s = []
    for _ in range(3):
        async with ClientProcess(Load(servers.urls, CLIENTS, connect_per_s=CLIENTS, seconds=0)) as clients:
            took_s.append(clients.joined_s)
    return {"joined_s": sorted(took_s)[1], "slowest_s": max(took_s)}


async def idle(servers: ChatServers, seconds: float) -> dict[str, float]:
    """Ten thousand clients of one process that say nothing, over two whole intervals of pings."""
    del seconds
    one = ChatServers(servers.name, servers.urls[:1], servers.pids[:1])
    before_kib = await one.settled_kib()
    async with ClientProcess(Load(one.urls, IDLE, rooms=20, connect_per_s=1000, seconds=_PINGS_S)) as clients:
        kib = (await one.settled_kib() - before_kib) / IDLE
        before_s = one.cpu_s()
        found = await clients.run()
        share = (one.cpu_s() - before_s) / (found["took_s"] + 1)
    assert found["closed"] == 0, found
    return {"kib_per_connection": kib, "cpu_percent": share * 100}


async def deaf(servers: ChatServers, seconds: float) -> dict[str, float]:
    """One client that never reads, in a room in which 40 MB are said, after the same without it: what it adds."""
    del seconds
    load = Load(servers.urls, 2, in_flight=2, seconds=120, messages=40_000, chars=1000, deaf=True)
    before_kib = await servers.settled_kib()
    async with ClientProcess(load) as clients:
        rounds = [await _memory_of_round(servers, clients) for _ in range(2)]
    without, with_it = (statistics.median(kib) for kib, _ in rounds)
    return {
        "grown_mib": (with_it - without) / 1024,
        "most_mib": (max(rounds[1][0]) - max(rounds[0][0])) / 1024,
        "room_mib": (without - before_kib) / 1024,
        "said_mb": rounds[1][1]["sent"] * 1000 / 1e6,
        "took_s": rounds[1][1]["took_s"],
    }


async def _memory_of_round(servers: ChatServers, clients: ClientProcess) -> tuple[list[float], dict[str, Any]]:
    """Return readings of the servers' memory while one round is going on, in KiB, and the results of the round.

    The first readings, while the room and the client's queue fill, are left out, and those after a slow client was cut.
    """
    readings: list[float] = []
    working = asyncio.ensure_future(clients.run())
    began_s = time.monotonic()
    while not working.done():
        await asyncio.sleep(0.5)
        if _FILLED_S < time.monotonic() - began_s < _CUT_S:
            readings.append(servers.memory_kib())
    return readings, await working


SCENARIOS = {"deliveries": deliveries, "rate": fixed_rate, "storm": storm, "idle": idle, "deaf": deaf}
#: {scenario: (value, title, unit, most for airnode)}
TITLES = {
    "deliveries": [
        ("deliveries_per_cpu_s", "deliveries per CPU second", "", None),
        ("deliveries_per_s", "deliveries a second, two servers on one core", "", None),
        ("lost", "lost", "", 0),
        ("kib_per_connection", "memory of a connection in a room", "KiB", 16),
    ],
    "rate": [
        ("p50_ms", "20 messages/s: p50", "ms", None),
        ("p99_ms", "p99", "ms", None),
        ("cpu_cores", "CPU of both servers", "cores", None),
        ("lost", "lost", "", 0),
    ],
    "storm": [("joined_s", "1,000 connect and join, median of 3", "s", 3), ("slowest_s", "slowest of 3", "s", 3)],
    "idle": [
        ("kib_per_connection", "10,000 idle: memory of one", "KiB", 16),
        ("cpu_percent", "CPU of the process, of a core", "%", 3),
    ],
    "deaf": [
        ("grown_mib", "memory of a client that never reads 40 MB", "MiB", 2),
        ("most_mib", "the same by the largest readings", "MiB", None),
        ("room_mib", "memory of the room and two clients that read", "MiB", None),
        ("said_mb", "said meanwhile", "MB", None),
        ("took_s", "within", "s", None),
    ],
}


def add(report: Report, scenario: str, name: str, found: dict[str, float], peer: dict[str, float]) -> None:
    for key, title, unit, at_most in TITLES[scenario]:
        target = at_most if name == "airnode" else None
        if name == "airnode" and key == "p99_ms" and "p99_ms" in peer:
            target = peer["p99_ms"]
        report.add(scenario, Figure(f"chat_{name}_{key}", f"{name}: {title}", found[key], unit, target))
    if name == "airnode" and "deliveries_per_cpu_s" in peer:
        share = peer["deliveries_per_cpu_s"] / found["deliveries_per_cpu_s"]
        report.add(scenario, Figure("chat_cpu_of_node", "airnode: CPU of a delivery, Node = 1", share, "", 0.5))


async def measure(report: Report, only: Sequence[str], seconds: float, console: Console, *, alone: bool) -> None:
    modules = None if alone else node_modules()
    if modules is None and not alone:
        report.missing["node"] = (
            "Node, or socket.io and @socket.io/redis-adapter in airnode/ui/node_modules, is missing"
        )
    with tempfile.TemporaryDirectory(prefix="airnode-bench-", ignore_cleanup_errors=True) as directory:
        for scenario in only:
            peer: dict[str, float] = {}
            if modules is not None and scenario != "idle":
                console.print(f"{scenario}: node")
                async with node_servers(Path(directory) / f"node-{scenario}", modules) as servers:
                    peer = await SCENARIOS[scenario](servers, seconds)
                add(report, scenario, "node", peer, {})
            console.print(f"{scenario}: airnode")
            async with airnode_servers(Path(directory) / f"airnode-{scenario}") as servers:
                add(report, scenario, "airnode", await SCENARIOS[scenario](servers, seconds), peer)


@click.command()
@click.option("--only", default=",".join(SCENARIOS), help="Scenarios, with commas.")
@click.option("--seconds", default=10.0, help="Length of each measurement of messages.")
@click.option("--alone", is_flag=True, help="Not beside Node.")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="File for the JSON.")
def main(only: str, seconds: float, alone: bool, json_path: Path | None) -> None:
    """Measure the chat, beside Node's socket.io."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    console, report = Console(stderr=True), Report()
    asyncio.run(measure(report, only.split(","), seconds, console, alone=alone))
    report.publish(console, json_path)


if __name__ == "__main__":
    main()
