"""A pipeline for tests: consumers as processes, events with a ledger, and checks that each event was inserted once.

``python -m tests.support.pipeline '{"redis_url": …, "bootstrap": […], "ledger": "file"}'`` is a producer that a test
kills. It writes each batch to the ledger before it publishes the batch.
"""

import asyncio
import contextlib
import itertools
import json
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry
from redis import asyncio as aioredis

from airnode.config.sections.postgres import PostgresSection
from airnode.errors import Unavailable
from airnode.pipeline.cache.tables import CachedProduct, CachedUser
from airnode.pipeline.event import new_id_and_time
from airnode.pipeline.events import (
    TOPICS,
    AnyEvent,
    OrderPlaced,
    ProductViewed,
    UserSignedIn,
    decode_event,
)
from airnode.pipeline.preconditions import ensure_topics
from airnode.store.eventlog.log import EventLog, GroupSubscription, Record
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres
from tests.support.eventlog import LogRig, read
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

_ROOT = Path(__file__).parents[2]
TABLES = {"orders": "orders", "users": "user_events", "products": "product_events"}
#: A consumer that sends no heartbeat for this time loses its partitions.
SESSION_S = 3.0
_BATCH = 100


def event(number: int) -> AnyEvent:
    """Return a new event; three of four are orders."""
    if number % 4 != 3:
        return order(number)
    event_id, occurred_at = new_id_and_time()
    common: dict[str, Any] = {"event_id": event_id, "occurred_at": occurred_at, "key": str(number % 997)}
    if number % 8 == 3:
        return UserSignedIn(**common, user_id=number % 997)
    return ProductViewed(**common, product_id=number % 101, user_id=number % 997)


def order(number: int) -> OrderPlaced:
    event_id, occurred_at = new_id_and_time()
    return OrderPlaced(
        event_id=event_id,
        occurred_at=occurred_at,
        key=str(number % 997),
        user_id=number % 997,
        product_id=number % 101,
        quantity=number % 3 + 1,
        unit_price_krw=1000,
    )


class Ledger:
    """The events that the database must contain in the end. They are added before they are published."""

    def __init__(self) -> None:
        #: {topic: event ids}
        self.ids: dict[str, set[uuid.UUID]] = {topic: set() for topic in TOPICS}
        self.won = 0

    def __len__(self) -> int:
        return sum(map(len, self.ids.values()))

    def write(self, events: Sequence[AnyEvent]) -> None:
        for each in events:
            self.ids[each.topic].add(each.event_id)
            if isinstance(each, OrderPlaced):
                self.won += each.quantity * each.unit_price_krw


async def publish(log: EventLog, records: Sequence[Record]) -> None:
    """Publish until the log has all records. After a failure, some may be on the log twice."""
    while True:
        try:
            return await log.publish(records)
        except Unavailable:
            await asyncio.sleep(0.1)


class Pipeline:
    """One log, one database, and the consumers that a test starts and stops."""

    def __init__(self, directory: Path, postgres_url: str, *, redis_url: str, bootstrap: Sequence[str] = ()) -> None:
        self.directory = directory
        self.redis_url = redis_url
        self.bootstrap = tuple(bootstrap)
        self.postgres_url = postgres_url
        self.postgres = Postgres(PostgresSection(url=postgres_url))
        self.ledger = Ledger()
        self.consumers: list[AirnodeProcess] = []
        self._producers: list[AirnodeProcess] = []
        #: Topics on Kafka are shared by all tests, so each test needs a new group. Empty: the default groups.
        self.group = f"chaos-{uuid.uuid4().hex[:8]}" if self.bootstrap else ""
        self._numbers = itertools.count()
        self._closing = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Pipeline":
        await self._closing.__aenter__()
        self.logs = await self._closing.enter_async_context(
            LogRig(redis_url=self.redis_url, bootstrap=self.bootstrap, session_timeout_s=SESSION_S)
        )
        await self.postgres.start()
        self._closing.push_async_callback(self.postgres.stop)
        self._closing.push_async_callback(self._end_processes)
        await migrate(self.postgres)
        self.registry = CollectorRegistry()
        self.log = await self.logs.open(self.registry)
        await ensure_topics(self.log, 3)
        if self.bootstrap:
            await self._begin_at_the_end(self.group)
        return self

    async def __aexit__(self, *error) -> None:
        await self._closing.__aexit__(*error)

    async def _end_processes(self) -> None:
        await asyncio.gather(*(each.end() for each in (*self.consumers, *self._producers)))

    async def _begin_at_the_end(self, group: str) -> None:
        """Skip the records that other tests left on Kafka's topics."""
        reader = AIOKafkaConsumer(group_id=group, bootstrap_servers=list(self.bootstrap), enable_auto_commit=False)
        await reader.start()
        try:
            partitions = [TopicPartition(*each) for each in await self.log.partitions_of(TOPICS)]  # type: ignore[attr-defined]
            reader.assign(partitions)
            await reader.commit(await reader.end_offsets(partitions))
        finally:
            await reader.stop()

    # -- consumers ----------------------------------------------------------------------------------------------------

    def consumer(self, *args: str, env: dict[str, str] | None = None) -> AirnodeProcess:
        """Return a new consumer, not started yet."""
        made = self._node("consumer", *args, env=env)
        self.consumers.append(made)
        return made

    async def producer(self, *args: str) -> AirnodeProcess:
        """Return a new producer of airnode, not started yet. The cache gets a thousand users and products."""
        if not self._producers:
            async with self.redis() as redis:
                await _fill_cache(redis)
        made = self._node("producer", *args)
        self._producers.append(made)
        return made

    def _node(self, role: str, *args: str, env: dict[str, str] | None = None) -> AirnodeProcess:
        stores = ["--redis-url", self.redis_url, "--postgres-url", self.postgres_url]
        settings = {"eventlog.session_timeout_s": f"{SESSION_S:g}", "log.level": "info"}
        if self.bootstrap:
            settings |= {"kafka.bootstrap": ",".join(self.bootstrap), "pipeline.group": self.group}
        options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        directory = self.directory / f"{role}-{len(self.consumers) + len(self._producers)}"
        return AirnodeProcess(
            directory,
            *stores,
            *options,
            *args,
            role=role,
            env={"JWT_SECRET_KEY": "0123456789abcdef" * 4, **(env or {})},
        )

    async def start(self, count: int, *args: str) -> list[AirnodeProcess]:
        """Start ``count`` consumers and return them when they are ready."""
        made = [self.consumer(*args) for _ in range(count)]
        await asyncio.gather(*(each.start() for each in made))
        return made

    @property
    def groups(self) -> dict[str, str]:
        """Return {topic: the group that inserts its events}."""
        return {topic: self.group or f"{topic}_group" for topic in TOPICS}

    async def shared_out(self, within_s: float = 30) -> None:
        """Wait until each consumer has partitions, and all partitions have a consumer."""
        async with aiohttp.ClientSession() as session:

            async def done() -> bool:
                counts = [await self._partitions_read(each, session) for each in self.consumers]
                return min(counts) > 0 and sum(counts) == 3 * len(TOPICS)

            await eventually(done, within_s, "each consumer has partitions")

    async def _partitions_read(self, consumer: AirnodeProcess, session: aiohttp.ClientSession) -> int:
        async with session.get(f"{consumer['api_url']}/health") as response:
            checks = (await response.json())["checks"]
        lanes = [checks[f"lane-{group}"] for group in set(self.groups.values())]
        return sum(int(lane["detail"].split()[0]) for lane in lanes if lane["ok"])

    # -- events -------------------------------------------------------------------------------------------------------

    def events(self, count: int = _BATCH) -> list[AnyEvent]:
        """Return new events, which are already in the ledger."""
        made = [event(next(self._numbers)) for _ in range(count)]
        self.ledger.write(made)
        return made

    @contextlib.asynccontextmanager
    async def producing(self, pause_s: float = 0.05) -> AsyncIterator[None]:
        """Publish batches of a hundred events in the background."""
        done = asyncio.Event()

        async def produce() -> None:
            while not done.is_set():
                await publish(self.log, [each.record() for each in self.events()])
                await asyncio.sleep(pause_s)

        task = asyncio.create_task(produce())
        try:
            yield
        finally:
            done.set()
            await task

    @contextlib.asynccontextmanager
    async def redis(self) -> AsyncIterator[aioredis.Redis]:
        async with aioredis.from_url(self.redis_url) as client:
            yield client

    # -- counting -----------------------------------------------------------------------------------------------------

    async def landed(self) -> int:
        """Return the number of rows in all three tables."""
        return sum([await self._count(topic) for topic in TABLES])

    async def _count(self, topic: str) -> int:
        return await self.postgres.fetchval(f"SELECT count(*) FROM pipeline.{TABLES[topic]}")

    async def more_landed(self, count: int = 1, within_s: float = 30) -> None:
        """Wait until the tables have ``count`` more rows than now."""
        before = await self.landed()

        async def more() -> bool:
            with contextlib.suppress(Unavailable):  # the database may be restarting
                return await self.landed() >= before + count
            return False

        await eventually(more, within_s, f"{count} more land")

    async def balance(self, within_s: float = 60) -> int:
        """Return the number of events when all are inserted; each once, the totals are right, and nothing lags."""

        async def all_there() -> bool:
            with contextlib.suppress(Unavailable):
                return await self.landed() >= len(self.ledger)
            return False

        await eventually(all_there, within_s, f"all of {len(self.ledger)} land")
        for topic, ids in self.ledger.ids.items():
            rows = await self.postgres.fetch(f"SELECT event_id FROM pipeline.{TABLES[topic]}")
            found = [row["event_id"] for row in rows]
            assert (len(found), len(set(found))) == (len(ids), len(ids)), topic
            assert set(found) == ids, topic
        totals = await self.postgres.fetchrow(
            "SELECT (SELECT sum(orders) FROM pipeline.orders_per_minute) AS n,"
            " (SELECT sum(revenue_krw) FROM pipeline.orders_per_minute) AS won,"
            " (SELECT sum(orders) FROM pipeline.orders_per_product) AS n_of_products"
        )
        orders = len(self.ledger.ids["orders"])
        assert (totals["n"], totals["won"], totals["n_of_products"]) == (orders, self.ledger.won, orders)
        await eventually(self._caught_up, within_s, "no lag is left")
        return len(self.ledger)

    @contextlib.asynccontextmanager
    async def audited(self) -> AsyncIterator[None]:
        """Add all events on the log to the ledger at the end. An extra group keeps the log from being trimmed."""
        group = f"audit-{uuid.uuid4().hex[:8]}"
        if self.bootstrap:
            await self._begin_at_the_end(group)
        else:
            member = self.log.subscribe(TOPICS, group)
            await member.start()
            await eventually(lambda: _joined(member), 30, "the audit reads everything")
            await member.stop()
        yield
        on_the_log = sum(lag.records for lag in (await self.log.lag(group, TOPICS)).values())
        member = await self.logs.join(self.log, TOPICS, group)
        events = [decode_event(each.value, each.partition.topic) for each in await read(member, on_the_log)]
        self.ledger.write(list({each.event_id: each for each in events}.values()))

    async def postgres_answers(self) -> bool:
        try:
            await self.postgres.ping()
        except Unavailable:
            return False
        return True

    async def dead_letters(self) -> int:
        """Return the number of rows of this pipeline: on Kafka, all tests share the topic of dead letters."""
        return await self.postgres.fetchval(
            "SELECT count(*) FROM pipeline.dead_letters WHERE group_id = ANY($1)", list(self.groups.values())
        )

    async def buried(self, count: int, within_s: float = 30) -> None:
        """Wait until the table has ``count`` dead letters."""

        async def all_there() -> bool:
            return await self.dead_letters() >= count

        await eventually(all_there, within_s, f"{count} dead letters")

    async def lag(self) -> int:
        """Return the number of records that the consumers have not inserted yet."""
        lags = [await self.log.lag(group, [topic]) for topic, group in self.groups.items()]
        return sum(lag.records for each in lags for lag in each.values())

    async def _caught_up(self) -> bool:
        return await self.lag() == 0


async def _joined(member: GroupSubscription) -> bool:
    await member.poll(max_records=1, wait_s=0.1)
    return len(member.assigned) == 3 * len(TOPICS)


async def _fill_cache(redis: aioredis.Redis) -> None:
    """Fill the cache as a cache-worker does."""
    users = [CachedUser(user_id=n, name=f"user {n}", email=f"{n}@example.com", locale="ko") for n in range(1000)]
    products = [CachedProduct(product_id=n, title="Go", category="code", price_krw=1000 + n) for n in range(1000)]
    await redis.hset("cache:users", mapping={str(each.user_id): msgspec.json.encode(each) for each in users})
    await redis.hset("cache:products", mapping={str(each.product_id): msgspec.json.encode(each) for each in products})


# -- a producer that a test kills -------------------------------------------------------------------------------------


class LedgerFile:
    """A ledger that survives its producer: one line per batch before it is published, one line when it is confirmed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def batches(self) -> dict[int, list[Record]]:
        """Return the complete batches, {number: records}, in the order of writing."""
        return {number: records for number, records, _ in self._lines() if records}

    def unconfirmed(self) -> list[list[Record]]:
        """Return the batches that may or may not be on the log."""
        confirmed = {number for number, _, done in self._lines() if done}
        return [records for number, records in self.batches().items() if number not in confirmed]

    def append(self, number: int, records: Sequence[Record] = (), *, confirmed: bool = False) -> None:
        rows = [[each.topic, each.key, each.value.decode()] for each in records]
        with self.path.open("a") as file:
            file.write(json.dumps([number, rows, confirmed]) + "\n")

    def _lines(self) -> Iterator[tuple[int, list[Record], bool]]:
        text = self.path.read_text() if self.path.exists() else ""
        for line in text.split("\n"):
            with contextlib.suppress(json.JSONDecodeError):  # the last line of a killed producer may be incomplete
                number, rows, confirmed = json.loads(line)
                yield number, [Record(topic, key, value.encode()) for topic, key, value in rows], confirmed


async def start_producer(pipeline: Pipeline, ledger: Path) -> asyncio.subprocess.Process:
    """Return a started producer. It publishes the unconfirmed batches of the ledger, then new ones without end."""
    wanted = {"redis_url": pipeline.redis_url, "bootstrap": pipeline.bootstrap, "ledger": str(ledger)}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.pipeline", json.dumps(wanted), cwd=_ROOT
    )


async def _produce(wanted: dict[str, Any]) -> None:
    ledger = LedgerFile(Path(wanted["ledger"]))
    async with LogRig(redis_url=wanted["redis_url"], bootstrap=wanted["bootstrap"]) as rig:
        log = await rig.open()
        for records in ledger.unconfirmed():
            await log.publish(records)
        for number in itertools.count(len(ledger.batches())):
            records = [event(number * _BATCH + index).record() for index in range(_BATCH)]
            ledger.append(number, records)
            await log.publish(records)
            ledger.append(number, confirmed=True)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(_produce(json.loads(sys.argv[1])))
