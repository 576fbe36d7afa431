"""The status of the whole pipeline: the reports of its processes in Redis, and the totals in the database."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
import structlog

from airnode.bus.client import Bus, unavailable
from airnode.bus.leases import Leases
from airnode.errors import Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.pipeline import keys
from airnode.pipeline.admin.alarms import pipeline_alarms
from airnode.pipeline.admin.class_record import KeptCounts, with_landings
from airnode.pipeline.admin.stats_reporter import MEMBERS, MINUTE_S, PipelineProcess
from airnode.pipeline.admin.status import (
    CacheView,
    ClassRecordView,
    CourseView,
    DeadLettersView,
    KeptView,
    LagView,
    LetterView,
    MemberView,
    OrdersView,
    PipelineStatus,
    SeriesView,
    Store,
    TopicView,
)
from airnode.pipeline.events import TOPICS
from airnode.pipeline.produce.classroom_relay import read_backlog
from airnode.store.postgres import Postgres

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: What a consumer reports itself as, if it lands nothing but what happened in classes.
CLASS_RECORD = "class-record"
_MINUTES = 60
#: A status is reused for this long; a store must answer within this.
_FRESH_S, _TIMEOUT_S = 1.0, 2.0
_LAST_LETTERS, _TOP_COURSES = 5, 5
#: The query stops counting at this number, so that it stays cheap.
_LETTERS_MAX = 10_000
#: Minutes over which the hit ratio is computed.
_HITS_OVER = 5

# Sums are capped at the largest integer that JavaScript represents exactly. Orders may have times in the future.
_ORDERS = """
SELECT extract(epoch FROM minute)::bigint / 60 AS minute, orders,
       least(revenue_krw, 9007199254740991)::bigint AS revenue_krw
FROM pipeline.orders_per_minute WHERE minute BETWEEN to_timestamp($1) AND to_timestamp($2)
"""
_COURSES = """
SELECT product_id, coalesce(title, '') AS title, orders, least(revenue_krw, 9007199254740991)::bigint AS revenue_krw
FROM (SELECT * FROM pipeline.orders_per_product ORDER BY orders DESC, product_id LIMIT $1) AS top
LEFT JOIN pipeline.products USING (product_id) ORDER BY orders DESC, product_id
"""
_LETTERS_COUNT = """
SELECT count(*) FROM (SELECT FROM pipeline.dead_letters WHERE replayed_at IS NULL LIMIT $1) AS counted
"""
_LETTERS = """
SELECT letter_id, topic, partition, log_offset::text, reason, detail, attempts,
       extract(epoch FROM died_at)::float8 AS died_at
FROM pipeline.dead_letters WHERE replayed_at IS NULL ORDER BY died_at DESC LIMIT $1
"""

Texts = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class ReportedStats:
    """The data in Redis.

    Attributes:
        minutes: hashes of the last minutes, the oldest first.
        cached: rows in the cache, {table: count}.
    """

    members: Sequence[PipelineProcess] = ()
    totals: Mapping[str, int] = field(default_factory=dict)
    minutes: Sequence[Mapping[str, int]] = ()
    stats: Mapping[str, str] = field(default_factory=dict)
    cached: Mapping[str, int] = field(default_factory=dict)
    class_record: ClassRecordView = field(default_factory=ClassRecordView)


@dataclass(frozen=True, slots=True)
class DatabaseTotals:
    """The data in the database.

    Attributes:
        orders: {minute: (number of orders, revenue in won)}.
    """

    orders: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    courses: Sequence[CourseView] = ()
    letters: DeadLettersView = field(default_factory=lambda: DeadLettersView(0, _LETTERS_MAX, []))
    kept: KeptView | None = None


class Overview(Service):
    """Queries the stores. A store that does not answer is listed as missing, and the rest is returned.

    A query that does not return in time keeps running, and the next status waits for it again. It is not cancelled,
    because cancelling a statement needs an answer of the store, too.
    """

    name = "pipeline-overview"

    def __init__(self, bus: Bus, postgres: Postgres, interval_s: float, *, record_max_age_s: float = 0.0) -> None:
        super().__init__()
        self._record_max_age_s = record_max_age_s
        self._kept = KeptCounts(postgres)
        self._bus = bus
        self._leases = Leases(bus)
        self._postgres = postgres
        self._interval_s = interval_s
        self._tasks = TaskScope(self.name)
        #: {store: its running query}.
        self._queries: dict[Store, asyncio.Task[Any]] = {}
        self._asking = asyncio.Lock()
        self._last: tuple[float, PipelineStatus] | None = None

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def status(self) -> PipelineStatus:
        """Return the status, at most a second old."""
        async with self._asking:
            loop = asyncio.get_running_loop()
            if self._last is None or loop.time() - self._last[0] > _FRESH_S:
                self._last = (loop.time(), await self._ask())
            return self._last[1]

    async def _ask(self) -> PipelineStatus:
        now_s = time.time()
        reported, totals = await asyncio.gather(
            self._with_timeout("redis", self._read_redis), self._with_timeout("postgres", self._read_postgres)
        )
        answers: dict[Store, object] = {"redis": reported, "postgres": totals}
        missing = [store for store, answer in answers.items() if answer is None]
        status = assemble(reported or ReportedStats(), totals or DatabaseTotals(), missing, now_s, self._interval_s)
        status.class_record.max_age_s = self._record_max_age_s
        return status

    async def _with_timeout(self, store: Store, query: Callable[[float], Coroutine[Any, Any, T | None]]) -> T | None:
        """Return the answer of a store; None if it does not answer in time."""
        task = self._queries.get(store)
        if task is None or task.done():
            task = self._queries[store] = self._tasks.spawn(store, query(time.time()))
        await asyncio.wait([task], timeout=_TIMEOUT_S)
        if not task.done():
            log.warning("pipeline_status_incomplete", store=store, error="no answer in time")
            return None
        found: T | None = task.result()
        return found

    async def _read_redis(self, now_s: float) -> ReportedStats | None:
        try:
            members = await self._leases.read_leases(MEMBERS, PipelineProcess)
            return await self._read_counts(list(members.values()), now_s)
        except Unavailable as error:
            log.warning("pipeline_status_incomplete", store="redis", error=repr(error))
            return None

    async def _read_counts(self, members: list[PipelineProcess], now_s: float) -> ReportedStats:
        with unavailable():
            async with self._bus.client.pipeline(transaction=False) as pipeline:
                pipeline.hgetall(keys.pipeline_totals())
                pipeline.hgetall(keys.cache_stats())
                for table in ("users", "products"):
                    pipeline.hlen(keys.cache(table))
                for minute in last_minutes(now_s):
                    pipeline.hgetall(keys.pipeline_minute(minute))
                totals, stats, users, products, *minutes = await pipeline.execute()
        texts = {name.decode(): value.decode(errors="replace") for name, value in stats.items()}
        counted = [_numbers(each) for each in minutes]
        backlog = await read_backlog(self._bus)
        return ReportedStats(
            members,
            _numbers(totals),
            counted,
            texts,
            {"users": users, "products": products},
            ClassRecordView(backlog.waiting, round(backlog.oldest_s, 1), backlog.dropped),
        )

    async def _read_postgres(self, now_s: float) -> DatabaseTotals | None:
        try:
            minutes = last_minutes(now_s)
            orders = await self._postgres.fetch(_ORDERS, minutes[0] * MINUTE_S, minutes[-1] * MINUTE_S)
            courses = await self._postgres.fetch(_COURSES, _TOP_COURSES)
            count = await self._postgres.fetchval(_LETTERS_COUNT, _LETTERS_MAX)
            letters = await self._postgres.fetch(_LETTERS, _LAST_LETTERS)
            kept = await self._kept.read()
        except (Unavailable, asyncpg.PostgresError) as error:
            log.warning("pipeline_status_incomplete", store="postgres", error=repr(error))
            return None
        return DatabaseTotals(
            {row["minute"]: (row["orders"], row["revenue_krw"]) for row in orders},
            [CourseView(*row.values()) for row in courses],
            DeadLettersView(count, _LETTERS_MAX, [LetterView(str(row["letter_id"]), *row[1:]) for row in letters]),
            kept,
        )


# -- assembling, without I/O ---------------------------------------------------------------------------------


def last_minutes(now_s: float) -> list[int]:
    """Return the minutes of the last hour (unix seconds / 60), the current one last."""
    running = int(now_s) // MINUTE_S
    return list(range(running - _MINUTES + 1, running + 1))


def assemble(
    reported: ReportedStats, totals: DatabaseTotals, missing: list[Store], now_s: float, interval_s: float
) -> PipelineStatus:
    """Return the status. ``interval_s`` is used if no cache-worker has reported its interval."""
    groups = _groups(reported.members)
    status = PipelineStatus(
        server_time=now_s,
        missing=missing,
        running=any(each.role != CLASS_RECORD for each in reported.members),
        members=[
            MemberView(each.role, each.node_name, each.troubles, each.notices) for each in _sorted(reported.members)
        ],
        topics=[_topic(name, reported, groups) for name in _topics(reported)],
        groups=groups,
        dead_letters=totals.letters,
        cache=_cache(reported, interval_s),
        orders=_orders(totals),
        series=_series(reported, totals, now_s),
        class_record=with_landings(reported.class_record, totals.kept, last_minutes(now_s), reported.minutes),
    )
    status.alarms = pipeline_alarms(status)
    return status


def _sorted(members: Sequence[PipelineProcess]) -> list[PipelineProcess]:
    return sorted(members, key=lambda each: (each.role, each.node_name))


def _topics(reported: ReportedStats) -> list[str]:
    """Return the known topics, then other topics that processes report."""
    others = {name.partition(":")[2] for name in reported.totals if name.startswith(("produced:", "landed:", "dead:"))}
    return [*TOPICS, *sorted(others - set(TOPICS))]


def _topic(name: str, reported: ReportedStats, groups: Sequence[LagView]) -> TopicView:
    lags = [each.records for each in groups if each.topic == name]
    return TopicView(
        topic=name,
        produced=reported.totals.get(f"produced:{name}", 0),
        produced_per_s=_rate(reported.members, f"produced:{name}"),
        landed=reported.totals.get(f"landed:{name}", 0),
        landed_per_s=_rate(reported.members, f"landed:{name}"),
        dead=reported.totals.get(f"dead:{name}", 0),
        lag=max(lags) if lags else None,
    )


def _rate(members: Sequence[PipelineProcess], what: str) -> float:
    return round(sum(each.per_s.get(what, 0.0) for each in members), 2)


def _groups(members: Sequence[PipelineProcess]) -> list[LagView]:
    """Return the lag by group and topic: the largest value that a process reports."""
    found: dict[tuple[str, str], int] = {}
    for member in members:
        for group, topics in member.lag.items():
            for topic, records in topics.items():
                found[group, topic] = max(records, found.get((group, topic), 0))
    return [LagView(group, topic, records) for (group, topic), records in sorted(found.items())]


def _cache(reported: ReportedStats, interval_s: float) -> CacheView:
    def number(name: str) -> float:
        try:
            return float(reported.stats.get(name, 0))
        except ValueError:
            return 0.0

    reads = [(each.get("reads:hit", 0), each.get("reads:miss", 0)) for each in reported.minutes[-_HITS_OVER:]]
    return CacheView(
        users=reported.cached.get("users", 0),
        products=reported.cached.get("products", 0),
        swaps=int(number("swaps")),
        hits=int(number("users_hits") + number("products_hits")),
        misses=int(number("users_misses") + number("products_misses")),
        hit_ratio=_ratio(sum(hit for hit, _ in reads), sum(miss for _, miss in reads)),
        refreshed_at=number("refreshed_at") or None,
        interval_s=number("interval_s") or interval_s,
        oldest_uncached_age_s=max(number("users_oldest_uncached_s"), number("products_oldest_uncached_s")),
        worker=reported.stats.get("worker", ""),
    )


def _orders(totals: DatabaseTotals) -> OrdersView:
    counts = list(totals.orders.values())
    return OrdersView(sum(count for count, _ in counts), sum(won for _, won in counts), list(totals.courses))


def _series(reported: ReportedStats, totals: DatabaseTotals, now_s: float) -> SeriesView:
    minutes = last_minutes(now_s)
    counted: Sequence[Mapping[str, int]] = reported.minutes or [{}] * len(minutes)
    return SeriesView(
        minutes=[minute * MINUTE_S for minute in minutes],
        elapsed_s=round(now_s - minutes[-1] * MINUTE_S, 3),
        produced=[_sum(each, "produced:") for each in counted],
        landed=[_sum(each, "landed:") for each in counted],
        lag=[_sum(each, "peak:") if any(name.startswith("peak:") for name in each) else None for each in counted],
        hit_ratio=[_ratio(each.get("reads:hit", 0), each.get("reads:miss", 0)) for each in counted],
        orders=[totals.orders.get(minute, (0, 0))[0] for minute in minutes],
    )


def _sum(counts: Mapping[str, int], prefix: str) -> int:
    return sum(count for name, count in counts.items() if name.startswith(prefix))


def _ratio(hits: int, misses: int) -> float | None:
    return round(hits / (hits + misses), 4) if hits + misses else None


def _numbers(fields: Texts) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in fields.items() if value.lstrip(b"-").isdigit()}
