"""The cache-worker: copies users and products into Redis, so that readers do not query the database."""

import asyncio
import contextlib
from typing import Any

import msgspec
import structlog

from airnode.bus.leader_election import LeaderElection
from airnode.config.sections.cache import CacheSection
from airnode.errors import Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble
from airnode.pipeline.cache.aging import next_rotation, shares
from airnode.pipeline.cache.metrics import CacheMetrics
from airnode.pipeline.cache.source import CacheSource
from airnode.pipeline.cache.store import CacheStore, LeaderReplaced, RefreshResult
from airnode.pipeline.cache.tables import CACHED_TABLES, CachedTable, TableName

log = structlog.get_logger(__name__)

#: Lease of the acting worker, and how often it is renewed.
LEASE_S, _CAMPAIGN_EVERY_S = 4.0, 1.0
#: An empty table is read again after this time, because it will probably be filled soon.
_EMPTY_S = 1.0
_RESIGN_TIMEOUT_S = 2.0
#: A refresh that is later than this is reported in /health.
_OVERDUE_S = 3.0
#: The statement count of the database itself is read at the first refresh, and then once per this number of refreshes.
_COUNT_EVERY = 100


class CacheWorker(Service):
    """Refreshes the cache while it is the leader, and campaigns for leadership otherwise.

    Refreshing and campaigning are two tasks, so that a slow database does not end the leadership.
    """

    name = "cache-worker"

    def __init__(
        self,
        election: LeaderElection,
        store: CacheStore,
        source: CacheSource,
        section: CacheSection,
        metrics: CacheMetrics,
        *,
        node_name: str,
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self._election = election
        self._store = store
        self._source = source
        self._section = section
        self._shares = shares(section.batch_size, section.new_data_ratio)
        self._metrics = metrics
        self._node_name = node_name
        self._tasks = tasks
        #: Set while this worker is the leader.
        self._is_leader = asyncio.Event()
        self._refreshes = 0
        #: Loop time of the next refresh.
        self._due_s = 0.0
        #: {task that fails at the moment: reason}.
        self._trouble = Trouble("cache_worker_failed", "cache_worker_recovered")

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start to campaign and to refresh."""
        self._tasks.spawn("campaign", self._campaign_loop())
        self._tasks.spawn("refresh", self._refresh_loop())

    async def stop(self) -> None:
        """Resign at once, so that another worker can take over."""
        await self._tasks.aclose()
        await self._source.close()
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_RESIGN_TIMEOUT_S):
                await self._election.resign()

    async def check(self) -> str:
        """Return a remark for ``/health``; raise Unavailable (503) while the cache cannot be refreshed."""
        self._trouble.check()
        if not self._is_leader.is_set():
            return f"standing by for {self._election.leader or 'another worker'}"
        late_s = asyncio.get_running_loop().time() - self._due_s
        if late_s > _OVERDUE_S:
            raise Unavailable(f"The refresh of the cache is {late_s:.0f} s late: the database or the Redis is slow.")
        return "acting"

    # -- leadership ---------------------------------------------------------------------------------------------------

    async def _campaign_loop(self) -> None:
        while True:
            try:
                await self._election.campaign()
            except Unavailable as error:
                self._trouble.begin(error, "campaign", tried="campaign")
            else:
                self._trouble.end("campaign", what="campaign")
                self._apply_election()
            await asyncio.sleep(_CAMPAIGN_EVERY_S)

    def _apply_election(self) -> None:
        acts = self._election.term is not None
        if acts and not self._is_leader.is_set():
            log.info("cache_worker_took_over", epoch=self._election.term)
            self._due_s = asyncio.get_running_loop().time()
            self._is_leader.set()
        elif not acts:
            if self._is_leader.is_set():
                log.info("cache_worker_stood_back", holder=self._election.leader)
            self._is_leader.clear()
            self._trouble.forget("refresh")  # the leader reports its own failures

    # -- refreshing ---------------------------------------------------------------------------------------------------

    async def _refresh_loop(self) -> None:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            await self._is_leader.wait()
            began_s = loop.time()
            try:
                rows = await self._refresh()
            except Unavailable as error:
                self._metrics.refreshes.labels("failed").inc()
                self._trouble.begin(error, "refresh", tried="refresh")
                await backoff.pause()
                continue
            backoff.reset()
            self._trouble.end("refresh", what="refresh")
            wanted_s = self._section.refresh_interval_s if rows else min(self._section.refresh_interval_s, _EMPTY_S)
            self._due_s = max(began_s + wanted_s, loop.time())
            await self._sleep_while_leader(self._due_s - loop.time())

    async def _sleep_while_leader(self, for_s: float) -> None:
        """Sleep, but only until the term ends: a new leader refreshes at once."""
        deadline_s = asyncio.get_running_loop().time() + for_s
        epoch = self._election.term
        while self._election.term == epoch and (left_s := deadline_s - asyncio.get_running_loop().time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_s, _CAMPAIGN_EVERY_S / 2))

    async def _refresh(self) -> bool:
        """Refresh both tables; return False if one of them is empty."""
        epoch = self._election.term
        if epoch is None:
            return True
        loop = asyncio.get_running_loop()
        counted = await self._source.counted() if self._refreshes % _COUNT_EVERY == 0 else None
        began_s, sent = loop.time(), self._source.sent
        rows: dict[TableName, int] = {}
        oldest_s: dict[TableName, float] = {}
        try:
            for cached in CACHED_TABLES:
                rows[cached.name], oldest_s[cached.name] = await self._refresh_one(cached, epoch)
        except LeaderReplaced:
            self._metrics.refreshes.labels("refused").inc()
            log.warning("cache_refresh_refused", epoch=epoch, detail="another worker has taken over")
            self._election.step_down()
            self._apply_election()
            return True
        done = RefreshResult(
            rows,
            oldest_s,
            self._source.sent - sent,
            loop.time() - began_s,
            self._node_name,
            self._section.refresh_interval_s,
            self._section.batch_size,
        )
        await self._store.write_stats(done)
        await self._done(done, counted)
        return all(rows.values())

    async def _refresh_one(self, cached: CachedTable[Any], epoch: int) -> tuple[int, float]:
        """Refresh one table; return the number of cached rows, and the longest time in s that a row was not cached."""
        rounds = await self._store.begin(cached.name, epoch)
        found = await self._source.candidates(cached, self._shares.newest, rounds.cursor, self._shares.old + 1)
        self._metrics.statements.inc()
        edge = found.newest[-1][1] if found.newest else None
        below, above = ([row[1] for row in rows] for rows in (found.below, found.above))
        rotation = next_rotation(rounds, edge, below, above, self._shares.old, await self._store.now_s())
        old = [*found.below, *found.above][: len(rotation.old)]
        fields = cached.kind.__struct_fields__
        entries = {
            str(row[1]): msgspec.json.encode({name: row[name] for name in fields}) for row in (*found.newest, *old)
        }
        await self._store.replace(cached.name, epoch, entries, msgspec.json.encode(rotation.rounds))
        self._metrics.rows.labels(cached.name).set(len(entries))
        self._metrics.oldest.labels(cached.name).set(rotation.oldest_uncached_age_s)
        return len(entries), rotation.oldest_uncached_age_s

    async def _done(self, done: RefreshResult, counted_before: int | None) -> None:
        self._refreshes += 1
        self._metrics.refreshes.labels("done").inc()
        self._metrics.took.observe(done.took_s)
        if not any(done.rows.values()):
            if self._refreshes == 1:
                log.info("cache_left_empty", detail="no users, no products yet; `airnode seed` makes some")
            return
        remarks: dict[str, object] = {str(table): count for table, count in done.rows.items()}
        if counted_before is not None and (counted := await self._source.counted()) is not None:
            remarks["statements_by_database"] = counted - counted_before
        log.info(
            "cache_refreshed",
            statements=done.statements,
            took_ms=round(done.took_s * 1000, 1),
            oldest_uncached_s=round(max(done.oldest_s.values()), 1),
            **remarks,
        )
