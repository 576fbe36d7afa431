"""A process that publishes events for ``tests.bench.pipeline``.

``python -m tests.bench.pipelinegen '{"redis_url": …, "bootstrap": […], "count": 100000, "rate": 0, "orders": false}'``
publishes ``count`` events, at that rate or as fast as it can, and prints ``{"took_s": …, "cpu_s": …}``.
"""

import asyncio
import itertools
import json
import sys
import time
from typing import Any

import structlog

from airnode.store.eventlog.log import EventLog
from tests.support.eventlog import LogRig
from tests.support.pipeline import event, order, publish

_BATCH = 1000
_AT_ONCE = 4
_TICK_S = 0.02


async def as_fast_as_possible(log: EventLog, make: Any, count: int) -> None:
    numbers = iter(range(0, count, _BATCH))

    async def work() -> None:
        for start in numbers:
            await publish(log, [make(number).record() for number in range(start, min(start + _BATCH, count))])

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


async def at_rate(log: EventLog, make: Any, count: int, rate: float) -> None:
    """Publish ``count`` events at ``rate`` per second; events that are late are published at once."""
    began_s = time.monotonic()
    sent = 0
    for tick in itertools.count(1):
        due = min(count, int(rate * (time.monotonic() - began_s)))
        if due > sent:
            await publish(log, [make(number).record() for number in range(sent, due)])
            sent = due
        if sent >= count:
            return
        await asyncio.sleep(max(0.0, began_s + tick * _TICK_S - time.monotonic()))


async def generate(wanted: dict[str, Any]) -> dict[str, float]:
    make: Any = order if wanted.get("orders") else event
    async with LogRig(redis_url=wanted["redis_url"], bootstrap=wanted["bootstrap"], session_timeout_s=10) as rig:
        log = await rig.open()
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        if wanted["rate"]:
            await at_rate(log, make, wanted["count"], wanted["rate"])
        else:
            await as_fast_as_possible(log, make, wanted["count"])
        return {"took_s": time.monotonic() - began_s, "cpu_s": time.process_time() - began_cpu_s}


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    print(json.dumps(asyncio.run(generate(json.loads(sys.argv[1])))), flush=True)
