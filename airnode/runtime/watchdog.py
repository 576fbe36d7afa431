"""Measures how late the event loop wakes up, and reports to systemd's watchdog."""

import asyncio

import structlog
from prometheus_client import CollectorRegistry, Gauge, Histogram

from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.runtime import sdnotify

log = structlog.get_logger(__name__)

_INTERVAL_S = 0.5
_WARN_LAG_S = 0.25


class LoopWatchdog(Service):
    """Measures the loop's lag twice a second. A lag above 250 ms is logged.

    If systemd watches the process (``WatchdogSec=``), each measurement is reported to it. When no report arrives within
    that time, systemd kills the process and starts it again.
    """

    name = "loop-watchdog"

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._tasks = TaskScope(self.name)
        self._last = Gauge("airnode_loop_lag_seconds", "How late the event loop last woke up", registry=registry)
        self._lags = Histogram(
            "airnode_loop_lag_distribution_seconds",
            "How late the event loop woke up",
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
            registry=registry,
        )

    async def start(self) -> None:
        self._tasks.spawn("sample", self._sample())

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def _sample(self) -> None:
        loop, limit_s = asyncio.get_running_loop(), sdnotify.watchdog_s()
        interval_s = _INTERVAL_S if limit_s is None else min(_INTERVAL_S, limit_s / 2)
        while True:
            if limit_s is not None:
                sdnotify.notify("WATCHDOG=1")
            due_s = loop.time() + interval_s
            await asyncio.sleep(interval_s)
            lag_s = max(0.0, loop.time() - due_s)
            self._last.set(lag_s)
            self._lags.observe(lag_s)
            if lag_s > _WARN_LAG_S:
                log.warning("loop_blocked", lag_s=round(lag_s, 3))
