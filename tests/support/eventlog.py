"""Event logs for tests: one class for Redis Streams and Kafka, and a group member in a separate process.

``python -m tests.support.eventlog '{"redis_url": …, "topics": […], "group": …}'`` joins, reads without commits, and
prints the partition and offset of each record as a JSON line.
"""

import asyncio
import contextlib
import json
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.eventlog import EventLogSection
from airnode.config.sections.kafka import KafkaSection
from airnode.config.sections.redis import RedisSection
from airnode.store.eventlog.kafka_log import KafkaLog
from airnode.store.eventlog.log import Delivered, EventLog, EventLogMetrics, GroupSubscription
from airnode.store.eventlog.stream_log import StreamLog

_ROOT = Path(__file__).parents[2]
#: A killed member loses its partitions after this time, in seconds.
SESSION_S = 2.0


class LogRig:
    """One kind of event log. Each :meth:`open` connects a new client, like another process."""

    def __init__(self, *, redis_url: str = "", bootstrap: Sequence[str] = (), **section: object) -> None:
        self.kind = "kafka" if bootstrap else "streams"
        self._redis_url = redis_url
        self._bootstrap = tuple(bootstrap)
        self._section = EventLogSection(**{"session_timeout_s": SESSION_S, **section})
        self._name = uuid.uuid4().hex[:8]
        self._closing = contextlib.AsyncExitStack()
        self.registry = CollectorRegistry()

    async def __aenter__(self) -> "LogRig":
        await self._closing.__aenter__()
        return self

    async def __aexit__(self, *error) -> None:
        await self._closing.__aexit__(*error)

    def name(self, word: str) -> str:
        """Return a name that no other test uses."""
        return f"{word}.{self._name}"

    async def open(self, registry: CollectorRegistry | None = None, **section: object) -> EventLog:
        registry = registry or CollectorRegistry()
        metrics = EventLogMetrics(registry)
        settings = self._section.model_copy(update=section)
        if self.kind == "kafka":
            log: EventLog = KafkaLog(KafkaSection(bootstrap=self._bootstrap), settings, metrics)
        else:
            bus = Bus(RedisSection(url=self._redis_url), BusMetrics(registry))
            await bus.start()
            self._closing.push_async_callback(bus.stop)
            log = StreamLog(bus, settings, metrics)
        await log.start()
        self._closing.push_async_callback(log.stop)
        return log

    async def join(self, log: EventLog, topics: Sequence[str], group: str, rebalancing=None) -> GroupSubscription:
        """Return a started member; it is stopped at the end of the test."""
        member = log.subscribe(topics, group, rebalancing)
        await member.start()
        self._closing.push_async_callback(member.stop)
        return member

    async def start_member_process(self, topics: Sequence[str], group: str) -> asyncio.subprocess.Process:
        """Return a started process with a member; it is killed at the end of the test."""
        wanted = {"redis_url": self._redis_url, "bootstrap": self._bootstrap, "topics": topics, "group": group}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.eventlog",
            json.dumps(wanted),
            cwd=_ROOT,
            stdout=asyncio.subprocess.PIPE,
        )

        async def end() -> None:
            if process.returncode is None:
                process.kill()
            await process.wait()

        self._closing.push_async_callback(end)
        return process


async def read(member: GroupSubscription, count: int, within_s: float = 30) -> list[Delivered]:
    """Return at least ``count`` records. Polls until they have arrived."""
    found: list[Delivered] = []
    async with asyncio.timeout(within_s):
        while len(found) < count:
            found += await member.poll(max_records=500, wait_s=0.2)
    return found


async def expect_no_records(member: GroupSubscription, polls: int = 5) -> None:
    """Check that a few polls return no records."""
    for _ in range(polls):
        assert await member.poll(max_records=500, wait_s=0.2) == []


@contextlib.asynccontextmanager
async def polling(member: GroupSubscription) -> AsyncIterator[list[Delivered]]:
    """Yield a list of records, and poll into it in the background. Only members that poll take part in a rebalance."""
    found: list[Delivered] = []
    done = asyncio.Event()

    async def poll_loop() -> None:
        while not done.is_set():
            found.extend(await member.poll(max_records=500, wait_s=0.2))

    task = asyncio.create_task(poll_loop())
    try:
        yield found
    finally:
        done.set()
        await task


@pytest.fixture(params=["streams", "kafka"])
async def logs(request: pytest.FixtureRequest) -> AsyncIterator[LogRig]:
    """Yield event logs on Redis Streams, then on Kafka."""
    if request.param == "kafka":
        rig = LogRig(bootstrap=request.getfixturevalue("kafka").bootstrap)
    else:
        rig = LogRig(redis_url=request.getfixturevalue("valkey_url"))
    async with rig:
        yield rig


async def _run_member(wanted: dict) -> None:
    async with LogRig(redis_url=wanted["redis_url"], bootstrap=wanted["bootstrap"]) as rig:
        member = await rig.join(await rig.open(), wanted["topics"], wanted["group"])
        while True:
            for record in await member.poll(max_records=500, wait_s=0.5):
                print(json.dumps([*record.partition, record.offset]), flush=True)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(_run_member(json.loads(sys.argv[1])))
