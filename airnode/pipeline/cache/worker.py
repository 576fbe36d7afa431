"""The cache-worker: keeps users and products in the Redis, so that readers leave the database alone."""

import asyncio
import contextlib
from typing import Any, Literal

import msgspec
import structlog

from airnode.bus.leader_election import Candidacy
from airnode.config.sections.cache import CacheSection
from airnode.errors import Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.cache.aging import shares, turn
from airnode.pipeline.cache.metrics import CacheMetrics
from airnode.pipeline.cache.source import CacheSource
from airnode.pipeline.cache.store import CacheStore, Refreshed, Replaced
from airnode.pipeline.cache.tables import SHELVES, Shelf, Table

log = structlog.get_logger(__name__)

#: A worker that is silent for this long is replaced; it makes itself heard this often.
LEASE_S, _STAND_EVERY_S = 4.0, 1.0
#: An empty table is looked at again after this: someone is about to fill it.
_EMPTY_S = 1.0
_LEAVE_S = 2.0
#: A refresh that is overdue by this much is told of in /health.
_LATE_S = 3.0
#: The database's own count of statements is asked for with the first refresh and every so many.
_COUNT_EVERY = 100


class CacheWorker(Service):
    """Refreshes while it holds the office, and stands for it otherwise.

    Refreshing and standing are two tasks: a slow database does not cost the office.
    """

    name = "cache-worker"

    def __init__(
        self,
        candidacy: Candidacy,
        store: CacheStore,
        source: CacheSource,
        section: CacheSection,
        metrics: CacheMetrics,
        *,
        node_name: str,
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self._candidacy = candidacy
        self._store = store
        self._source = source
        self._section = section
        self._shares = shares(section.batch_size, section.new_data_ratio)
        self._metrics = metrics
        self._node_name = node_name
        self._tasks = tasks
        #: Set while this one holds the office.
        self._acting = asyncio.Event()
        self._refreshes = 0
        #: When the next refresh should be done, on the loop's clock.
        self._due_s = 0.0
        #: What goes wrong at the moment, by what was tried.
        self._troubles: dict[Literal["stand", "refresh"], str] = {}

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Stand for the office."""
        self._tasks.spawn("stand", self._stand_for_ever())
        self._tasks.spawn("refresh", self._refresh_for_ever())

    async def stop(self) -> None:
        """Leave the office to whoever stands by, at once."""
        await self._tasks.aclose()
        await self._source.close()
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await self._candidacy.leave()

    async def check(self) -> str:
        """For ``/health``. Raises Unavailable while the cache cannot be refreshed."""
        if self._troubles:
            raise Unavailable(" ".join(sorted(set(self._troubles.values()))))
        if not self._acting.is_set():
            return f"standing by for {self._candidacy.holder or 'another worker'}"
        late_s = asyncio.get_running_loop().time() - self._due_s
        if late_s > _LATE_S:
            raise Unavailable(f"The refresh of the cache is {late_s:.0f} s late: the database or the Redis is slow.")
        return "acting"

    # -- the office ---------------------------------------------------------------------------------------------------

    async def _stand_for_ever(self) -> None:
        while True:
            try:
                await self._candidacy.stand()
            except Unavailable as error:
                self._failed("stand", error)
            else:
                self._went_well("stand")
                self._took_or_lost()
            await asyncio.sleep(_STAND_EVERY_S)

    def _took_or_lost(self) -> None:
        acts = self._candidacy.epoch is not None
        if acts and not self._acting.is_set():
            log.info("cache_worker_took_over", epoch=self._candidacy.epoch)
            self._due_s = asyncio.get_running_loop().time()
            self._acting.set()
        elif not acts:
            if self._acting.is_set():
                log.info("cache_worker_stood_back", holder=self._candidacy.holder)
            self._acting.clear()
            self._troubles.pop("refresh", None)  # whoever acts tells its own

    # -- refreshing ---------------------------------------------------------------------------------------------------

    async def _refresh_for_ever(self) -> None:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            await self._acting.wait()
            began_s = loop.time()
            try:
                rows = await self._refresh()
            except Unavailable as error:
                self._metrics.refreshes.labels("failed").inc()
                self._failed("refresh", error)
                await backoff.pause()
                continue
            backoff.reset()
            self._went_well("refresh")
            wanted_s = self._section.refresh_interval_s if rows else min(self._section.refresh_interval_s, _EMPTY_S)
            self._due_s = max(began_s + wanted_s, loop.time())
            await self._while_acting(self._due_s - loop.time())

    async def _while_acting(self, for_s: float) -> None:
        """Wait, and no longer than the office is held: whoever takes it anew refreshes at once."""
        deadline_s = asyncio.get_running_loop().time() + for_s
        epoch = self._candidacy.epoch
        while self._candidacy.epoch == epoch and (left_s := deadline_s - asyncio.get_running_loop().time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_s, _STAND_EVERY_S / 2))

    async def _refresh(self) -> bool:
        """Refresh both tables; False when one of them is empty."""
        epoch = self._candidacy.epoch
        if epoch is None:
            return True
        loop = asyncio.get_running_loop()
        counted = await self._source.counted() if self._refreshes % _COUNT_EVERY == 0 else None
        began_s, sent = loop.time(), self._source.sent
        rows: dict[Table, int] = {}
        oldest_s: dict[Table, float] = {}
        try:
            for shelf in SHELVES:
                rows[shelf.table], oldest_s[shelf.table] = await self._refresh_one(shelf, epoch)
        except Replaced:
            self._metrics.refreshes.labels("refused").inc()
            log.warning("cache_refresh_refused", epoch=epoch, detail="another worker has taken over")
            self._candidacy.lose()
            self._took_or_lost()
            return True
        done = Refreshed(
            rows,
            oldest_s,
            self._source.sent - sent,
            loop.time() - began_s,
            self._node_name,
            self._section.refresh_interval_s,
            self._section.batch_size,
        )
        await self._store.tell(done)
        await self._done(done, counted)
        return all(rows.values())

    async def _refresh_one(self, shelf: Shelf[Any], epoch: int) -> tuple[int, float]:
        """Refresh one table; returns the rows cached, and how long a row may have waited, in seconds."""
        rounds = await self._store.begin(shelf.table, epoch)
        found = await self._source.candidates(shelf, self._shares.newest, rounds.cursor, self._shares.old + 1)
        self._metrics.statements.inc()
        edge = found.newest[-1][1] if found.newest else None
        below, above = ([row[1] for row in rows] for rows in (found.below, found.above))
        took = turn(rounds, edge, below, above, self._shares.old, await self._store.now_s())
        old = [*found.below, *found.above][: len(took.old)]
        fields = shelf.kind.__struct_fields__
        cached = {
            str(row[1]): msgspec.json.encode({name: row[name] for name in fields}) for row in (*found.newest, *old)
        }
        await self._store.replace(shelf.table, epoch, cached, msgspec.json.encode(took.rounds))
        self._metrics.rows.labels(shelf.table).set(len(cached))
        self._metrics.oldest.labels(shelf.table).set(took.oldest_uncached_age_s)
        return len(cached), took.oldest_uncached_age_s

    async def _done(self, done: Refreshed, counted_before: int | None) -> None:
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

    # -- trouble ------------------------------------------------------------------------------------------------------

    def _failed(self, what: Literal["stand", "refresh"], error: Unavailable) -> None:
        if what not in self._troubles:
            log.warning("cache_worker_failed", tried=what, error=error.detail, debug=error.debug)
        self._troubles[what] = error.detail

    def _went_well(self, what: Literal["stand", "refresh"]) -> None:
        if self._troubles.pop(what, None) is not None:
            log.info("cache_worker_recovered", what=what)
