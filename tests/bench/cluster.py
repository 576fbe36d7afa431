"""``python -m tests.bench.cluster``: how many viewers a master and three slaves on this machine can serve."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import click
import psutil
from rich.console import Console

from tests.bench.cluster_report import TITLES, Options, Row, document, show
from tests.bench.meters import ProcessMeter, Usage, gauges, load1, quantile
from tests.bench.source import CLIP_S, bench_clip, loop_publisher
from tests.support.cluster import Cluster
from tests.support.ffmpeg import make_clip
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

_KEPT = Path("bench-results")

_GENERATORS = 2

_SLAVES = 3

#: How many viewers join per second, and how long they play before the measurement.
_JOIN_PER_S = 60.0

_SETTLE_S = 10.0

#: How long a generator may live at most, besides the time of its measurements.
_SPARE_S = 900.0

#: From this share of its CPU on, a machine counts as full.
_FULL = 0.92


class Generator:
    """One process of :mod:`tests.bench.clustergen`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ask(self, within_s: float, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(within_s):
            line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator ended early")
        found: dict[str, Any] = json.loads(line)
        return found


@asynccontextmanager
async def generator(life_s: float) -> AsyncIterator[Generator]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.clustergen",
        str(life_s),
        limit=1 << 22,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Generator(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class MeasuredCluster:
    """The measured cluster, and the students who have places in it."""

    def __init__(self, cluster: Cluster, seconds: float, console: Console) -> None:
        self.cluster = cluster
        self.seconds = seconds
        self.console = console
        self.meters = {node.data_dir.name: ProcessMeter(node.pid) for node in cluster.nodes}
        self._students = 0

    @property
    def slaves(self) -> list[AirnodeProcess]:
        return self.cluster.nodes[1:]

    async def places(self, count: int) -> list[tuple[str, int, str]]:
        """Return (host, port, base path) of new students, as the master places them."""
        found = []
        for _ in range(count):
            self._students += 1
            status, grant = await self.cluster.student(f"student-{self._students}")
            if status != 200:
                raise RuntimeError(f"student {self._students} got no place: {status} {grant}")
            url = urlsplit(grant["hls_url"])
            token, room = parse_qs(url.query)["jwt"][0], url.path.split("/")[2]
            assert url.port is not None
            found.append(("127.0.0.1", url.port, f"/v/{token}/{room}/"))
        return found

    async def fill(self, generators: Sequence[Generator], way: str, more: int) -> None:
        """Add ``more`` viewers, in batches that connect before their reservations end."""
        for begin in range(0, more, 100):
            places = await self.places(min(100, more - begin))
            shares = [places[n :: len(generators)] for n in range(len(generators))]
            answers = await asyncio.gather(
                *(
                    each.ask(90, do="add", kind=way, viewers=share, ramp_s=len(places) / _JOIN_PER_S)
                    for each, share in zip(generators, shares, strict=True)
                )
            )
            for answer, share in zip(answers, shares, strict=True):
                if errors := answer["errors"]:
                    self.console.print(f"  while {len(share)} joined: {errors}", highlight=False)

    async def measure(self, generators: Sequence[Generator], way: str, source_mbps: float) -> Row:
        names = [slave.data_dir.name for slave in self.slaves]
        before = {name: meter.read() for name, meter in self.meters.items()}
        counts = await asyncio.gather(*(gauges(slave["health_url"]) for slave in self.slaves))
        results = await asyncio.gather(
            *(each.ask(self.seconds + 60, do="measure", seconds=self.seconds) for each in generators)
        )
        later = await asyncio.gather(*(gauges(slave["health_url"]) for slave in self.slaves))
        usage = {name: meter.since(before[name]) for name, meter in self.meters.items()}
        sent = {
            name: sum(each["received_by_port"].get(str(urlsplit(slave["media_url"]).port), 0) for each in results)
            for name, slave in zip(names, self.slaves, strict=True)
        }
        lag_ms = max(_lag_p99_ms(old, new) for old, new in zip(counts, later, strict=True))
        return _row(way, source_mbps, results, usage, sent, lag_ms)

    async def check_running(self) -> None:
        """Raise RuntimeError with the last output of a node that ended."""
        for node in self.cluster.nodes:
            with contextlib.suppress(TimeoutError):
                code = await node.wait(0.001)
                raise RuntimeError(f"{node.data_dir.name} ended with {code}:\n{node.log[-3000:]}")

    async def wait_until_empty(self) -> None:
        """Wait until no viewer is counted any more."""

        async def nobody() -> bool:
            status, body = await self.cluster.call("GET", "/cluster/nodes")
            return status == 200 and body["total_connections"] == 0

        await eventually(nobody, 60.0, "all viewers are gone")


def _row(
    way: str,
    source_mbps: float,
    results: list[dict[str, Any]],
    usage: dict[str, Usage],
    sent: dict[str, int],
    lag_ms: float,
) -> Row:
    def total(key: str) -> Any:
        return sum(result[key] for result in results)

    behind = [each for result in results for each in result["behind_ms"]]
    errors: dict[str, int] = {}
    for result in results:
        for name, count in result["errors"].items():
            errors[name] = errors.get(name, 0) + count
    generators = [result["cpu_s"] / result["seconds"] for result in results]
    machine_cpu = sum(each.machine for each in usage.values()) / len(usage)
    return Row(
        way=way,
        source_mbps=source_mbps,
        viewers=total("viewers"),
        stalls=total("stalls"),
        stalled_viewers=total("stalled_viewers"),
        stalled_s=round(total("stalled_s"), 2),
        jumps=total("jumps"),
        errors=errors,
        behind_ms={name: quantile(behind, q) for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
        out_mbps={name: round(value * 8 / results[0]["seconds"] / 1e6, 2) for name, value in sent.items()},
        out_total_mbps=round(sum(result["received_bytes"] * 8 / result["seconds"] for result in results) / 1e6, 2),
        cpu={name: round(each.own, 3) for name, each in usage.items()},
        children_cpu=round(sum(each.children for each in usage.values()), 3),
        generator_cpu=round(sum(generators), 3),
        machine_cpu=round(machine_cpu, 2),
        cores=os.cpu_count() or 1,
        node_lag_p99_ms=lag_ms,
        generator_turn_p99_ms=round(max(result["turn_p99_ms"] for result in results), 1),
        limit=_limit(usage, generators, machine_cpu),
        load1=round(load1(), 1),
    )


def _limit(usage: dict[str, Usage], generators: list[float], machine_cpu: float) -> str:
    """Return the limit: a node's core, a generator's core, or the machine that all of them share."""
    node = max(usage, key=lambda name: usage[name].own)
    if usage[node].own >= _FULL:
        return node
    if max(generators) >= _FULL:
        return "generator"
    if machine_cpu < _FULL * (os.cpu_count() or 1):
        return "-"
    nodes = sum(each.own + each.children for each in usage.values())
    others = max(0.0, machine_cpu - nodes - sum(generators))
    shares = {"nodes": nodes, "generator": sum(generators), "others": others}
    return f"machine (most: {max(shares, key=lambda name: shares[name])})"


def _lag_p99_ms(before: dict[str, float], after: dict[str, float]) -> float:
    """Return how late the event loop was in ms: the upper bound of the bucket with the 99th percentile."""
    name = 'airnode_loop_lag_distribution_seconds_bucket{le="'
    counts = {each[len(name) : -2]: after[each] - before.get(each, 0) for each in after if each.startswith(name)}
    every = counts.get("+Inf", 0)
    bounds = sorted((float(bound), count) for bound, count in counts.items())
    return next((bound * 1000 for bound, count in bounds if every and count >= 0.99 * every), float("nan"))


async def run(options: "Options", work: Path, rows: list[Row], console: Console) -> None:
    """Measure every way to play with every source, and add the rows."""
    settings = ("--set", "auth.token_burst=100000", "--set", "auth.token_rate_per_s=1000")
    async with aiohttp.ClientSession() as session, AsyncExitStack() as after:
        cluster = Cluster(work, session, *settings)
        after.push_async_callback(cluster.close)
        console.print(f"  a master and {_SLAVES} slaves start", highlight=False)
        await cluster.start()
        places = -(-max(options.steps) * 2 // _SLAVES)
        for index in range(_SLAVES):
            await cluster.add_slave(f"slave-{index + 1}", "--set", f"cluster.max_connections={places}")
        measured = MeasuredCluster(cluster, options.seconds, console)
        for clip, steps, until_stall in (
            (low_clip(), options.steps, False),
            (bench_clip(_KEPT), options.high_steps, True),
        ):
            if not steps:
                continue
            mbps = clip.stat().st_size * 8 / CLIP_S / 1e6
            url = f"{measured.slaves[0]['rtmp_server']}/{cluster.master['stream_key']}"
            publisher = await loop_publisher(url, clip).start()
            try:
                for way in options.ways:
                    await _climb(measured, way, mbps, steps, until_stall, rows)
            finally:
                await publisher.stop()


async def _climb(
    measured: MeasuredCluster, way: str, mbps: float, steps: Sequence[int], until_stall: bool, rows: list[Row]
) -> None:
    """Add viewers of one kind step by step, with a row for each step."""
    await asyncio.sleep(_SETTLE_S)
    async with AsyncExitStack() as stack:
        generators = [await stack.enter_async_context(generator(_SPARE_S)) for _ in range(_GENERATORS)]
        there = 0
        for step in steps:
            measured.console.print(f"  {TITLES[way]}, {mbps:.2f} Mbit/s, {step} viewers", highlight=False)
            await measured.fill(generators, way, step - there)
            there = step
            await asyncio.sleep(_SETTLE_S)
            await measured.check_running()
            row = await measured.measure(generators, way, round(mbps, 2))
            rows.append(row)
            if until_stall and not row.good:
                break
    await measured.wait_until_empty()


def low_clip() -> Path:
    """Return a 360p30 clip of about 0.2 Mbit/s, for many viewers at little bandwidth. It is encoded once and kept."""
    _KEPT.mkdir(parents=True, exist_ok=True)
    rate = ("-b:v", "120k", "-maxrate", "140k", "-bufsize", "120k", "-b:a", "32k", "-ac", "1", "-bf", "0")
    return make_clip(_KEPT / f"clip-360p30-low-{CLIP_S}s.flv", CLIP_S, extra=rate)


def _steps(_: click.Context, __: click.Parameter, text: str) -> tuple[int, ...]:
    steps = tuple(int(each) for each in text.split(",") if each.strip())
    if list(steps) != sorted(set(steps)) or any(step < 1 for step in steps):
        raise click.BadParameter("must be growing numbers of viewers, such as 100,250,500")
    return steps


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--ways", default="live,hls", show_default=True, help="live (live.mp4), hls (LL-HLS as hls.js plays it).")
@click.option("--steps", default="100,250,500,750,1000", show_default=True, callback=_steps, help="Viewers in all.")
@click.option(
    "--high-steps",
    default="50,100,200,300,500",
    show_default=True,
    callback=_steps,
    help="Viewers at 2.5 Mbit/s, up to the first stall; empty: none.",
)
@click.option("--seconds", type=click.FloatRange(5, 60), default=20.0, show_default=True, help="Length of each step.")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), help="Keep the nodes' data and logs there.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON here too.")
def main(
    ways: str,
    steps: tuple[int, ...],
    high_steps: tuple[int, ...],
    seconds: float,
    work: Path | None,
    json_path: Path | None,
) -> None:
    """Measure how many viewers a cluster of three slaves serves, with the load generator on the same machine.

    Viewers get their places from POST /api/token. Prints progress and a table on standard error, and one JSON document
    as the last line on standard output; exit code 1 if it did not finish.
    """
    chosen = tuple(way.strip() for way in ways.split(",") if way.strip())
    if not set(chosen) <= TITLES.keys():
        raise click.BadParameter(f"one of {', '.join(TITLES)}", param_hint="--ways")
    options = Options(chosen, steps, high_steps, seconds)
    rows: list[Row] = []
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 190)
    failed = ""
    with tempfile.TemporaryDirectory(prefix="airnode-bench-", ignore_cleanup_errors=True) as directory:
        try:
            if work is not None:
                work.mkdir(parents=True, exist_ok=True)
            asyncio.run(run(options, work or Path(directory), rows, console))
        except (RuntimeError, AssertionError, TimeoutError, psutil.NoSuchProcess, aiohttp.ClientError) as error:
            failed = f"{type(error).__name__}: {error}"
            console.print(f"[red]broke off: {failed}")
    show(rows, console)
    found = json.dumps({**document(rows, options), "failed": failed}, allow_nan=False, separators=(",", ":"))
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(found + "\n")
    print(found)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
