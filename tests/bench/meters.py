"""CPU time and memory of one process and of its children, and the node's own gauges."""

import contextlib
import os
import resource
import sys
import time
from dataclasses import dataclass

import aiohttp
import psutil


@dataclass(frozen=True)
class Reading:
    """CPU seconds since the start of the process, at one time (monotonic seconds)."""

    at_s: float
    own_cpu_s: float
    children_cpu_s: float
    machine_busy_s: float


@dataclass(frozen=True)
class Usage:
    """CPU between two readings, as a share of one core."""

    seconds: float
    own_cpu_s: float
    own: float
    children: float
    #: CPU of all processes of the machine, in cores.
    machine: float


class ProcessMeter:
    """Reads one process, and separately its children (the embedded servers)."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def read(self) -> Reading:
        busy = psutil.cpu_times()
        return Reading(
            time.monotonic(),
            _cpu_s(self._process),
            sum(_cpu_s(child) for child in self._process.children(recursive=True)),
            sum(busy) - busy.idle - busy.iowait,
        )

    def since(self, before: Reading) -> Usage:
        after = self.read()
        seconds = after.at_s - before.at_s
        own_s = after.own_cpu_s - before.own_cpu_s
        return Usage(
            seconds,
            own_s,
            own_s / seconds,
            (after.children_cpu_s - before.children_cpu_s) / seconds,
            (after.machine_busy_s - before.machine_busy_s) / seconds,
        )

    def rss_kib(self) -> int:
        return int(self._process.memory_info().rss) // 1024

    def children_rss_kib(self) -> int:
        total = 0
        for child in self._process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += child.memory_info().rss // 1024
        return total

    def fds(self) -> int:
        return int(self._process.num_fds())


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def load1() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


async def gauges(api_url: str) -> dict[str, float]:
    """Return {name with labels: value} of the node's metrics."""
    async with aiohttp.ClientSession() as session, session.get(f"{api_url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#") if name
    }


def quantile(values: list[float], q: float) -> float:
    """Return the ``q`` quantile of ``values`` (nearest rank); NaN if there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of y over x (least squares)."""
    n = len(points)
    if n < 2:
        return float("nan")
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    across = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / across if across else float("nan")


def peak_rss_bytes() -> int:
    """Return the most memory that this process has had (getrusage(2))."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
