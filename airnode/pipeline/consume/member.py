"""A consumer member: one member of one group. It copies records from the log to the database.

::

    log ──poll──▶ buffer (bounded; full: partitions pause) ──batch──▶ sink ──▶ commit on the log

Fetching and writing are two tasks, so that membership and rebalances continue while the database does not answer. The
offset is committed after the transaction in the database. Records that were written and whose offset was not committed
are delivered again, but inserted only once.
"""

import asyncio
import contextlib
from collections.abc import Collection, Sequence

import structlog

from airnode.config.sections.pipeline import PipelineSection
from airnode.errors import Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble
from airnode.pipeline.consume.buffer import Batch, Buffer
from airnode.pipeline.consume.sinks import Sink
from airnode.pipeline.metrics import ConsumerMetrics
from airnode.store.eventlog.log import EventLog, GroupSubscription, Partition, Rebalancing

log = structlog.get_logger(__name__)

#: Longest wait for records. Records that arrive end it.
_POLL_S = 1.0
#: Longest wait for space in the buffer.
_FULL_S = 0.2
#: While more records wait, offsets are committed this often. After a crash, later records are delivered again.
_COMMIT_EVERY_S = 0.2
_COMMIT_AGAIN_S = 0.1


class ConsumerMember(Service):
    """Reads topics as a member of a group, and writes the records to a sink.

    Args:
        settle_s: longest wait for the current batch when its partition is revoked.
    """

    def __init__(
        self,
        eventlog: EventLog,
        sink: Sink,
        section: PipelineSection,
        metrics: ConsumerMetrics,
        topics: Sequence[str],
        group: str,
        *,
        settle_s: float,
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self.name = f"lane-{group}"
        self.topics = tuple(topics)
        self.group = group
        self._eventlog = eventlog
        self._sink = sink
        self._section = section
        self._metrics = metrics
        self._settle_s = settle_s
        self._tasks = tasks
        self._buffer = Buffer(section.buffer_records, section.buffer_bytes)
        self._records_added = asyncio.Event()
        self._space_freed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        #: Loop time of the last commit. The writer and rebalances commit, one at a time.
        self._committed_s = 0.0
        self._committing = asyncio.Lock()
        self._subscription: GroupSubscription | None = None
        self._draining = False
        self._paused: frozenset[Partition] = frozenset()
        #: Partitions of the batch that is being written, without those that were lost.
        self._writing: set[Partition] = set()
        #: {partition: offset} of records that are in the database, and not yet committed on the log.
        self._uncommitted: dict[Partition, int] = {}
        #: The reason why nothing can be written at the moment.
        self.trouble = Trouble("lane_write_failed", "lane_writes_again")

    @property
    def assigned(self) -> frozenset[Partition]:
        """Return the partitions that this process reads."""
        return self._subscription.assigned if self._subscription is not None else frozenset()

    async def check(self) -> str:
        """Return a remark for ``/health``; raise Unavailable (503) while nothing can be written."""
        self.trouble.check()
        partitions, records = len(self.assigned), len(self._buffer)
        return f"{_counted(partitions, 'partition')}, {_counted(records, 'record')} waiting"

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Join the group, and start to fetch and write."""
        rebalancing = Rebalancing(revoked=self._revoked, lost=self._lost)
        self._subscription = self._eventlog.subscribe(self.topics, self.group, rebalancing)
        await self._subscription.start()
        self._tasks.spawn(f"fetch-{self.group}", self._fetch_loop(self._subscription))
        self._tasks.spawn(f"write-{self.group}", self._write_loop(self._subscription))

    async def drain(self) -> None:
        """Stop fetching; write and commit the fetched records."""
        self._draining = True
        if self._subscription is None:
            return
        await self._subscription.drain()
        while len(self._buffer) or not self._idle.is_set() or self._uncommitted:  # noqa: ASYNC110 - three conditions
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Leave the group. The next owners of its partitions get the records that were not written."""
        await self._tasks.aclose()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.stop()

    # -- fetching -----------------------------------------------------------------------------------------------------

    async def _fetch_loop(self, subscription: GroupSubscription) -> None:
        while True:
            await self._wait_for_space()
            self._pause_or_resume(subscription)
            wait_s = 0.0 if self._paused else _POLL_S
            records = await subscription.poll(max_records=self._section.batch_records, wait_s=wait_s)
            if records:
                self._buffer.add(records)
                self._records_added.set()

    async def _wait_for_space(self) -> None:
        """Wait while the buffer is full, but not for long: a member must poll to take part in rebalances."""
        if self._buffer.full:
            self._space_freed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FULL_S):
                    await self._space_freed.wait()

    def _pause_or_resume(self, subscription: GroupSubscription) -> None:
        """Pause all partitions while the buffer is full, also newly assigned ones."""
        if self._buffer.full:
            if not self._paused:
                self._metrics.paused.inc()
                log.info("lane_paused", group=self.group, waiting=len(self._buffer))
            if fresh := subscription.assigned - self._paused:
                subscription.pause(fresh)
                self._paused |= fresh
        elif self._paused:
            subscription.resume(self._paused)
            self._paused = frozenset()

    async def _revoked(self, partitions: Collection[Partition]) -> None:
        """Finish and commit the batch that is being written; drop the other records of these partitions."""
        self._forget(partitions)
        try:
            async with asyncio.timeout(self._settle_s):
                if self._writing & set(partitions):
                    await self._idle.wait()
                if self._subscription is not None:
                    await self._commit(self._subscription)
        except TimeoutError:
            log.info("lane_batch_left_behind", group=self.group, partitions=len(partitions))
            self._writing -= set(partitions)
        for partition in partitions:
            self._uncommitted.pop(partition, None)

    async def _lost(self, partitions: Collection[Partition]) -> None:
        self._forget(partitions)
        self._writing -= set(partitions)
        for partition in partitions:
            self._uncommitted.pop(partition, None)

    def _forget(self, partitions: Collection[Partition]) -> None:
        self._buffer.forget(partitions)
        self._paused -= set(partitions)

    # -- writing ------------------------------------------------------------------------------------------------------

    async def _write_loop(self, subscription: GroupSubscription) -> None:
        while True:
            await self._wait_for_batch()
            batch = self._buffer.take(self._section.batch_records)
            if not self._buffer.full:
                self._space_freed.set()
            if batch.records:
                self._idle.clear()
                self._writing = set(batch.positions)
                if await self._write_with_retries(batch):
                    self._uncommitted |= {p: end for p, end in batch.positions.items() if p in self._writing}
            if not len(self._buffer) or _now_s() - self._committed_s > _COMMIT_EVERY_S:
                await self._commit(subscription)
            self._writing = set()
            self._idle.set()

    async def _wait_for_batch(self) -> None:
        """Wait for a full batch, or until the oldest record has waited long enough."""
        if self._uncommitted and not len(self._buffer):
            await asyncio.sleep(_COMMIT_AGAIN_S)
            return
        if not len(self._buffer):
            self._records_added.clear()
            await self._records_added.wait()
        if len(self._buffer) < self._section.batch_records and not self._draining:
            await asyncio.sleep(self._section.batch_wait_s)

    async def _write_with_retries(self, batch: Batch) -> bool:
        """Write with retries; return False if all partitions of the batch were lost meanwhile."""
        backoff = Backoff()
        while self._writing:
            try:
                await self._sink.write(batch.records)
            except Unavailable as error:
                self._metrics.retried.inc()
                self.trouble.begin(error, group=self.group)
                await backoff.pause()
                continue
            self.trouble.end(group=self.group)
            return True
        return False

    async def _commit(self, subscription: GroupSubscription) -> None:
        """Commit the offsets of written records. A failed commit is repeated with the next batch."""
        async with self._committing:
            self._committed_s = _now_s()
            positions = dict(self._uncommitted)
            if not positions:
                return
            try:
                await subscription.commit(positions)
            except Unavailable as error:
                log.info("lane_commit_failed", group=self.group, error=error.debug)
                return
            for partition, position in positions.items():
                if self._uncommitted.get(partition) == position:
                    del self._uncommitted[partition]


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
