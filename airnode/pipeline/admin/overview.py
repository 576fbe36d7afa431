"""The whole pipeline at a glance: what its processes told the Redis, and what the database has."""

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
from airnode.pipeline.admin.stats_reporter import MEMBERS, MINUTE_S, Member
from airnode.pipeline.admin.status import (
    CacheView,
    CourseView,
    DeadLettersView,
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
from airnode.store.postgres import Postgres

log = structlog.get_logger(__name__)

T = TypeVar("T")

_MINUTES = 60
#: However many look, the stores are asked at most so often, and waited for no longer.
_FRESH_S, _TIMEOUT_S = 1.0, 2.0
_LAST_LETTERS, _TOP_COURSES = 5, 5
#: Counting stops here: a look must stay cheap.
_LETTERS_MAX = 10_000
#: Minutes that tell how well the cache is hit now.
_HITS_OVER = 5

# Won beyond what a page can count with are told as the most that it can. Orders may say that they are of tomorrow.
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
    """What is in the Redis.

    Attributes:
        minutes: hashes of the last minutes, the oldest first.
        cached: rows in the cache, {table: count}.
    """

    members: Sequence[Member] = ()
    totals: Mapping[str, int] = field(default_factory=dict)
    minutes: Sequence[Mapping[str, int]] = ()
    stats: Mapping[str, str] = field(default_factory=dict)
    cached: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatabaseTotals:
    """What is in the database.

    Attributes:
        orders: {minute: (orders, won)}.
    """

    orders: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    courses: Sequence[CourseView] = ()
    letters: DeadLettersView = field(default_factory=lambda: DeadLettersView(0, _LETTERS_MAX, []))


class Overview(Service):
    """Asks the stores; a store that is away is named, and the rest is told.

    A store that does not answer in time is still waited for, by the next look too: to cancel a statement takes an
    answer as well.
    """

    name = "pipeline-overview"

    def __init__(self, bus: Bus, postgres: Postgres, interval_s: float) -> None:
        super().__init__()
        self._bus = bus
        self._leases = Leases(bus)
        self._postgres = postgres
        self._interval_s = interval_s
        self._tasks = TaskScope(self.name)
        #: {store: the look at it that is under way}.
        self._queries: dict[Store, asyncio.Task[Any]] = {}
        self._asking = asyncio.Lock()
        self._last: tuple[float, PipelineStatus] | None = None

    async def stop(self) -> None:
        """Ask no more."""
        await self._tasks.aclose()

    async def status(self) -> PipelineStatus:
        """The status, at most a second old."""
        async with self._asking:
            loop = asyncio.get_running_loop()
            if self._last is None or loop.time() - self._last[0] > _FRESH_S:
                self._last = (loop.time(), await self._ask())
            return self._last[1]

    async def _ask(self) -> PipelineStatus:
        now_s = time.time()
        told, landed = await asyncio.gather(
            self._with_timeout("redis", self._told), self._with_timeout("postgres", self._landed)
        )
        answers: dict[Store, object] = {"redis": told, "postgres": landed}
        missing = [store for store, answer in answers.items() if answer is None]
        return assemble(told or ReportedStats(), landed or DatabaseTotals(), missing, now_s, self._interval_s)

    async def _with_timeout(self, store: Store, look: Callable[[float], Coroutine[Any, Any, T | None]]) -> T | None:
        """What a store says; None: it is away, or takes too long."""
        task = self._queries.get(store)
        if task is None or task.done():
            task = self._queries[store] = self._tasks.spawn(store, look(time.time()))
        await asyncio.wait([task], timeout=_TIMEOUT_S)
        if not task.done():
            log.warning("pipeline_status_incomplete", store=store, error="no answer in time")
            return None
        found: T | None = task.result()
        return found

    async def _told(self, now_s: float) -> ReportedStats | None:
        try:
            members = await self._leases.read_leases(MEMBERS, Member)
            return await self._read_counts(list(members.values()), now_s)
        except Unavailable as error:
            log.warning("pipeline_status_incomplete", store="redis", error=repr(error))
            return None

    async def _read_counts(self, members: list[Member], now_s: float) -> ReportedStats:
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
        return ReportedStats(members, _numbers(totals), counted, texts, {"users": users, "products": products})

    async def _landed(self, now_s: float) -> DatabaseTotals | None:
        try:
            minutes = last_minutes(now_s)
            orders = await self._postgres.fetch(_ORDERS, minutes[0] * MINUTE_S, minutes[-1] * MINUTE_S)
            courses = await self._postgres.fetch(_COURSES, _TOP_COURSES)
            count = await self._postgres.fetchval(_LETTERS_COUNT, _LETTERS_MAX)
            letters = await self._postgres.fetch(_LETTERS, _LAST_LETTERS)
        except (Unavailable, asyncpg.PostgresError) as error:
            log.warning("pipeline_status_incomplete", store="postgres", error=repr(error))
            return None
        return DatabaseTotals(
            {row["minute"]: (row["orders"], row["revenue_krw"]) for row in orders},
            [CourseView(*row.values()) for row in courses],
            DeadLettersView(count, _LETTERS_MAX, [LetterView(str(row["letter_id"]), *row[1:]) for row in letters]),
        )


# -- putting it together, without I/O ---------------------------------------------------------------------------------


def last_minutes(now_s: float) -> list[int]:
    """The last hour's minutes (unix seconds / 60), the running one last."""
    running = int(now_s) // MINUTE_S
    return list(range(running - _MINUTES + 1, running + 1))


def assemble(
    told: ReportedStats, landed: DatabaseTotals, missing: list[Store], now_s: float, interval_s: float
) -> PipelineStatus:
    """The answer. ``interval_s``: the cache's, where no worker has said its own."""
    groups = _groups(told.members)
    return PipelineStatus(
        server_time=now_s,
        missing=missing,
        running=bool(told.members),
        members=[MemberView(each.role, each.node_name, each.troubles, each.notices) for each in _sorted(told.members)],
        topics=[_topic(name, told, groups) for name in _topics(told)],
        groups=groups,
        dead_letters=landed.letters,
        cache=_cache(told, interval_s),
        orders=_orders(landed),
        series=_series(told, landed, now_s),
    )


def _sorted(members: Sequence[Member]) -> list[Member]:
    return sorted(members, key=lambda each: (each.role, each.node_name))


def _topics(told: ReportedStats) -> list[str]:
    """The topics we know, then those that consumers were told to read besides."""
    others = {name.partition(":")[2] for name in told.totals if name.startswith(("produced:", "landed:", "dead:"))}
    return [*TOPICS, *sorted(others - set(TOPICS))]


def _topic(name: str, told: ReportedStats, groups: Sequence[LagView]) -> TopicView:
    lags = [each.records for each in groups if each.topic == name]
    return TopicView(
        topic=name,
        produced=told.totals.get(f"produced:{name}", 0),
        produced_per_s=_rate(told.members, f"produced:{name}"),
        landed=told.totals.get(f"landed:{name}", 0),
        landed_per_s=_rate(told.members, f"landed:{name}"),
        dead=told.totals.get(f"dead:{name}", 0),
        lag=max(lags) if lags else None,
    )


def _rate(members: Sequence[Member], what: str) -> float:
    return round(sum(each.per_s.get(what, 0.0) for each in members), 2)


def _groups(members: Sequence[Member]) -> list[LagView]:
    """Members of a group see the same lag, some a little later: the most counts."""
    found: dict[tuple[str, str], int] = {}
    for member in members:
        for group, topics in member.lag.items():
            for topic, records in topics.items():
                found[group, topic] = max(records, found.get((group, topic), 0))
    return [LagView(group, topic, records) for (group, topic), records in sorted(found.items())]


def _cache(told: ReportedStats, interval_s: float) -> CacheView:
    def number(name: str) -> float:
        try:
            return float(told.stats.get(name, 0))
        except ValueError:
            return 0.0

    reads = [(each.get("reads:hit", 0), each.get("reads:miss", 0)) for each in told.minutes[-_HITS_OVER:]]
    return CacheView(
        users=told.cached.get("users", 0),
        products=told.cached.get("products", 0),
        swaps=int(number("swaps")),
        hits=int(number("users_hits") + number("products_hits")),
        misses=int(number("users_misses") + number("products_misses")),
        hit_ratio=_ratio(sum(hit for hit, _ in reads), sum(miss for _, miss in reads)),
        refreshed_at=number("refreshed_at") or None,
        interval_s=number("interval_s") or interval_s,
        oldest_uncached_age_s=max(number("users_oldest_uncached_s"), number("products_oldest_uncached_s")),
        worker=told.stats.get("worker", ""),
    )


def _orders(landed: DatabaseTotals) -> OrdersView:
    counts = list(landed.orders.values())
    return OrdersView(sum(count for count, _ in counts), sum(won for _, won in counts), list(landed.courses))


def _series(told: ReportedStats, landed: DatabaseTotals, now_s: float) -> SeriesView:
    minutes = last_minutes(now_s)
    counted: Sequence[Mapping[str, int]] = told.minutes or [{}] * len(minutes)
    return SeriesView(
        minutes=[minute * MINUTE_S for minute in minutes],
        elapsed_s=round(now_s - minutes[-1] * MINUTE_S, 3),
        produced=[_sum(each, "produced:") for each in counted],
        landed=[_sum(each, "landed:") for each in counted],
        lag=[_sum(each, "peak:") if any(name.startswith("peak:") for name in each) else None for each in counted],
        hit_ratio=[_ratio(each.get("reads:hit", 0), each.get("reads:miss", 0)) for each in counted],
        orders=[landed.orders.get(minute, (0, 0))[0] for minute in minutes],
    )


def _sum(counts: Mapping[str, int], prefix: str) -> int:
    return sum(count for name, count in counts.items() if name.startswith(prefix))


def _ratio(hits: int, misses: int) -> float | None:
    return round(hits / (hits + misses), 4) if hits + misses else None


def _numbers(fields: Texts) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in fields.items() if value.lstrip(b"-").isdigit()}
