"""The producer: reads users and products from the cache and publishes events about them, at a steady pace.

::

    cache ──stock──▶ events ──by key──▶ queues (some wait, a batch is published) ──▶ log

An event gets its id and its time once. If publishing fails, the same records are published again. Until it succeeds,
the events in the same queue wait, so that events of one key stay in order.
"""

import asyncio
import itertools
import random
import zlib
from collections import Counter
from collections.abc import Sequence

import structlog

from airnode.errors import AirnodeError, StartupError, TooLarge, Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.logging import LogLimiter
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble
from airnode.pipeline.cache.catalogue import Catalogue
from airnode.pipeline.cache.tables import CachedProduct, CachedUser
from airnode.pipeline.metrics import ProducerMetrics
from airnode.pipeline.produce.pace import Pace
from airnode.pipeline.produce.sample_events import sample_events
from airnode.store.eventlog.log import EventLog, Record

log = structlog.get_logger(__name__)

_QUEUES = 4
#: Largest number of events generated at once: this blocks the event loop for about ten milliseconds.
_GENERATED_AT_ONCE = 1000
#: Largest number of events that a queue publishes at once. Events that arrive while a batch is published form the next
#: batch: the cost of the log depends on batches and partitions, and hardly on records.
_PUBLISHED_AT_ONCE = 4000
#: Largest number of groups that wait in a queue; then the generator waits.
_WAITING = 16
#: Smallest number of users and products per read of the cache.
_STOCK = 100
_EMPTY_PAUSE_S = 0.5
_WARN_EVERY_S = 30.0
#: If publishing takes longer, the log is full or very slow.
_SLOW_PUBLISH_S = 3.0
#: Retried until the cause is repaired; nothing is dropped.
_RETRIED = (Unavailable, StartupError, TooLarge)


class Producer(Service):
    """Generates events until it is drained.

    Args:
        rate_per_s: events per second; 0: as fast as the log accepts them.
        catalogue: started and stopped by the caller.
        drain_s: longest wait for the log at the end; events that are not published by then are dropped.
    """

    name = "producer"

    def __init__(
        self,
        eventlog: EventLog,
        catalogue: Catalogue,
        metrics: ProducerMetrics,
        rate_per_s: float,
        tasks: TaskScope,
        *,
        drain_s: float = 10.0,
    ) -> None:
        super().__init__()
        self._eventlog = eventlog
        self._catalogue = catalogue
        self._metrics = metrics
        self._rate_per_s = rate_per_s
        self._tasks = tasks
        self._drain_s = drain_s
        self._pace = Pace(rate_per_s)
        self._random = random.Random()  # noqa: S311 - sample data
        self._users: list[CachedUser] = []
        self._products: list[CachedProduct] = []
        self._queues: list[asyncio.Queue[list[Record]]] = [asyncio.Queue(maxsize=_WAITING) for _ in range(_QUEUES)]
        self._draining = False
        self._generating: asyncio.Task[None] | None = None
        self._trouble = Trouble()
        #: {queue: loop time when its batch was passed to the log}.
        self._publish_started_s: dict[str, float] = {}
        self._warn_limiter = LogLimiter(_WARN_EVERY_S)
        self._warned = False

    async def check(self) -> str:
        """Return a remark for ``/health``; raise Unavailable (503) while no events can be generated or published."""
        self._trouble.check()
        now_s = asyncio.get_running_loop().time()
        waited_s = max((now_s - since_s for since_s in self._publish_started_s.values()), default=0.0)
        if waited_s > _SLOW_PUBLISH_S:
            raise Unavailable(
                f"The event log has taken nothing for {waited_s:.0f} s: its readers are too far behind "
                "(see airnode pipeline groups), or it is slow."
            )
        return f"{self._rate_per_s:g} events a second" if self._rate_per_s else "as many events as the log takes"

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        for number, queue in enumerate(self._queues):
            self._tasks.spawn(f"publish-{number}", self._publish_loop(f"queue {number}", queue))
        self._generating = self._tasks.spawn("generate", self._generate_loop())

    async def drain(self) -> None:
        """Stop generating; publish the generated events."""
        self._draining = True
        try:
            async with asyncio.timeout(self._drain_s):
                if self._generating is not None:
                    await asyncio.wait([self._generating])
                for queue in self._queues:
                    await queue.join()
        except TimeoutError:
            log.warning("producer_gave_up", reason=self._trouble.text or "the event log takes nothing")

    async def stop(self) -> None:
        """Stop. Generated events that are not published are dropped."""
        await self._tasks.aclose()

    # -- generating ----------------------------------------------------------------------------------------------------

    async def _generate_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._draining:
            if not await self._refill_stock():
                await asyncio.sleep(_EMPTY_PAUSE_S)
                continue
            count = self._pace.take(loop.time(), min(len(self._users), len(self._products)))
            if count:
                await self._enqueue(self._generate(count))
            await asyncio.sleep(self._pace.wait_s(loop.time()))

    def _generate(self, count: int) -> list[Record]:
        users, self._users = self._users[:count], self._users[count:]
        products, self._products = self._products[:count], self._products[count:]
        return [event.record() for event in sample_events(users, products, self._random)]

    async def _enqueue(self, records: Sequence[Record]) -> None:
        batches: list[list[Record]] = [[] for _ in self._queues]
        for record in records:
            batches[zlib.crc32(record.key.encode()) % _QUEUES].append(record)
        for queue, batch in zip(self._queues, batches, strict=True):
            if batch:
                await queue.put(batch)

    async def _refill_stock(self) -> bool:
        """Read users and products for the next batch; return False if users or products are missing."""
        wanted = min(_GENERATED_AT_ONCE, max(_STOCK, int(self._rate_per_s))) if self._rate_per_s else _GENERATED_AT_ONCE
        try:
            if not self._users:
                self._users = await self._catalogue.users(wanted)
            if not self._products:
                self._products = await self._catalogue.products(wanted)
        except Unavailable as error:
            self._failed("cache", error)
            return False
        if not self._users or not self._products:
            what = "users" if not self._users else "products"
            self._failed(
                "cache", Unavailable(f"The cache has no {what}: run a cache-worker, and airnode seed for data.")
            )
            return False
        self._recovered("cache")
        return True

    # -- publishing ---------------------------------------------------------------------------------------------------

    async def _publish_loop(self, name: str, queue: "asyncio.Queue[list[Record]]") -> None:
        while True:
            groups = [await queue.get()]
            while not queue.empty() and sum(map(len, groups)) < _PUBLISHED_AT_ONCE:
                groups.append(queue.get_nowait())
            records = list(itertools.chain.from_iterable(groups))
            await self._publish(name, records)
            for topic, count in Counter(record.topic for record in records).items():
                self._metrics.produced.add(count, topic)
            for _ in groups:
                queue.task_done()

    async def _publish(self, name: str, records: Sequence[Record]) -> None:
        """Publish; retry until it succeeds."""
        backoff = Backoff()
        while True:
            self._publish_started_s[name] = asyncio.get_running_loop().time()
            try:
                await self._eventlog.publish(records)
            except _RETRIED as error:
                self._publish_started_s.pop(name)
                self._failed(name, error)
                await backoff.pause()
            else:
                self._publish_started_s.pop(name)
                self._recovered(name)
                return

    # -- trouble -------------------------------------------------------------------------------------------------------

    def _failed(self, what: str, error: AirnodeError) -> None:
        """Store the reason for ``/health``; log it if a retry fails, too."""
        lasts = what in self._trouble
        self._trouble.begin(error, what)
        if lasts and self._warn_limiter.held_back() is not None:
            self._warned = True
            log.warning("producer_waits", reason=error.detail, debug=error.debug)

    def _recovered(self, what: str) -> None:
        if self._trouble.end(what) and not self._trouble and self._warned:
            self._warned = False
            log.info("producer_goes_on")
