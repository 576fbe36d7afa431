"""Measures the time from the command until the node is ready."""

import asyncio
import time
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.meters import ProcessMeter, quantile
from tests.bench.report import Figure
from tests.support.node import AirnodeProcess

_REPEATS = 3
_IDLE_S = 5.0


async def start(bench: Bench) -> None:
    """Measure the first start, which creates all data, and the second, which finds it."""
    first, second, idle, children = [], [], [], []
    for repeat in range(_REPEATS):
        bench.progress(f"start {repeat + 1} of {_REPEATS}")
        data_dir = bench.data_dir()
        first.append((await _start(data_dir, idle_s=0))[0])
        took_s, own_kib, children_kib = await _start(data_dir, idle_s=_IDLE_S)
        second.append(took_s)
        idle.append(own_kib / 1024)
        children.append(children_kib / 1024)
    bench.report.add(
        "start",
        Figure("start_first", "ready, first start, median", quantile(first, 0.5), "s"),
        Figure("start_second", "ready, second start, median", quantile(second, 0.5), "s", 2),
        Figure("start_second_max", f"... slowest of {_REPEATS}", max(second), "s", 2),
        Figure("rss_idle", f"RSS of the airnode process {_IDLE_S:g} s later", max(idle), "MiB", 120),
        Figure("rss_idle_children", "RSS of the embedded servers", max(children), "MiB"),
    )
    bench.report.details["start"] = {"first_s": first, "second_s": second, "idle_mib": idle, "children_mib": children}


async def _start(data_dir: Path, *, idle_s: float) -> tuple[float, float, float]:
    """Return the seconds to ``endpoints.json``, and the RSS in KiB of the process and its children after ``idle_s``."""
    node = AirnodeProcess(data_dir)
    started_s = time.monotonic()
    try:
        await node.start(60)
        took_s = time.monotonic() - started_s
        await asyncio.sleep(idle_s)
        meter = ProcessMeter(node.pid)
        return took_s, meter.rss_kib(), meter.children_rss_kib()
    finally:
        await node.close()
