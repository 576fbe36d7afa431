"""The producer: takes users and products from the cache and puts events about them on the log, at a steady pace.

::

    cache ──stock──▶ events ──by key──▶ lanes (some wait, a batch is published) ──▶ log

An event gets its id and its time once. What the log does not take is published again, the very same records; while one
lane tries again, the events of its keys wait behind it, so that they keep their order.
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
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.cache.catalogue import Catalogue
from airnode.pipeline.cache.tables import CachedProduct, CachedUser
from airnode.pipeline.metrics import ProducingMetrics
from airnode.pipeline.produce.pace import Pace
from airnode.pipeline.produce.sample_events import make
from airnode.store.eventlog.log import EventLog, Record

log = structlog.get_logger(__name__)

_LANES = 4
#: Most events made at once: some ten milliseconds in which nothing else runs.
_MADE_AT_ONCE = 1000
#: Most that a lane publishes at once. What was made while a batch was on its way goes as one: it parts into partitions,
#: and the log's work is by the batch, hardly by the record.
_PUBLISHED_AT_ONCE = 4000
#: Groups of events that wait in a lane; beyond, making waits.
_WAITING = 16
#: Users and products asked for at least, so that a slow producer does not ask for each.
_STOCK = 100
_EMPTY_PAUSE_S = 0.5
_SAY_EVERY_S = 30.0
#: A batch on its way for longer says that the log is full, or very slow.
_SLOW_S = 3.0
#: What somebody mends while the producer tries again: nothing is dropped.
_MENDABLE = (Unavailable, StartupError, TooLarge)


class Producer(Service):
    """Makes events until it is drained.

    Args:
        rate_per_s: 0: as fast as the log takes them.
        catalogue: started and stopped by the caller.
        drain_s: what a log that is away, or full, has not taken within this when the producer ends, never happened.
    """

    name = "producer"

    def __init__(
        self,
        eventlog: EventLog,
        catalogue: Catalogue,
        metrics: ProducingMetrics,
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
        self._dice = random.Random()  # noqa: S311 - a made-up shop
        self._users: list[CachedUser] = []
        self._products: list[CachedProduct] = []
        self._lanes: list[asyncio.Queue[list[Record]]] = [asyncio.Queue(maxsize=_WAITING) for _ in range(_LANES)]
        self._draining = False
        self._making: asyncio.Task[None] | None = None
        #: {what: why it does not go on}, where it does not.
        self._troubles: dict[str, str] = {}
        #: {lane: loop time at which its batch was handed to the log}.
        self._handed_s: dict[str, float] = {}
        self._said_s = float("-inf")

    async def check(self) -> str:
        """For ``/health``. Raises Unavailable while nothing can be made or published."""
        if self._troubles:
            raise Unavailable(next(iter(self._troubles.values())))
        now_s = asyncio.get_running_loop().time()
        waited_s = max((now_s - since_s for since_s in self._handed_s.values()), default=0.0)
        if waited_s > _SLOW_S:
            raise Unavailable(
                f"The event log has taken nothing for {waited_s:.0f} s: its readers are too far behind "
                "(see airnode pipeline groups), or it is slow."
            )
        return f"{self._rate_per_s:g} events a second" if self._rate_per_s else "as many events as the log takes"

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin."""
        for number, lane in enumerate(self._lanes):
            self._tasks.spawn(f"publish-{number}", self._publish_for_ever(f"lane {number}", lane))
        self._making = self._tasks.spawn("make", self._make_for_ever())

    async def drain(self) -> None:
        """Make no more; publish what was made."""
        self._draining = True
        try:
            async with asyncio.timeout(self._drain_s):
                if self._making is not None:
                    await asyncio.wait([self._making])
                for lane in self._lanes:
                    await lane.join()
        except TimeoutError:
            log.warning("producer_gave_up", reason=next(iter(self._troubles.values()), "the event log takes nothing"))

    async def stop(self) -> None:
        """End; what was made and not published never happened."""
        await self._tasks.aclose()

    # -- making -------------------------------------------------------------------------------------------------------

    async def _make_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._draining:
            if not await self._stocked():
                await asyncio.sleep(_EMPTY_PAUSE_S)
                continue
            count = self._pace.take(loop.time(), min(len(self._users), len(self._products)))
            if count:
                await self._hand_over(self._made(count))
            await asyncio.sleep(self._pace.wait_s(loop.time()))

    def _made(self, count: int) -> list[Record]:
        users, self._users = self._users[:count], self._users[count:]
        products, self._products = self._products[:count], self._products[count:]
        return [event.record() for event in make(users, products, self._dice)]

    async def _hand_over(self, records: Sequence[Record]) -> None:
        lanes: list[list[Record]] = [[] for _ in self._lanes]
        for record in records:
            lanes[zlib.crc32(record.key.encode()) % _LANES].append(record)
        for queue, batch in zip(self._lanes, lanes, strict=True):
            if batch:
                await queue.put(batch)

    async def _stocked(self) -> bool:
        """Have users and products for the next batch; False, and said, where the cache has none to give."""
        wanted = min(_MADE_AT_ONCE, max(_STOCK, int(self._rate_per_s))) if self._rate_per_s else _MADE_AT_ONCE
        try:
            if not self._users:
                self._users = await self._catalogue.users(wanted)
            if not self._products:
                self._products = await self._catalogue.products(wanted)
        except Unavailable as error:
            self._say("cache", error)
            return False
        if not self._users or not self._products:
            what = "users" if not self._users else "products"
            self._say("cache", Unavailable(f"The cache has no {what}: run a cache-worker, and airnode seed for data."))
            return False
        self._well("cache")
        return True

    # -- publishing ---------------------------------------------------------------------------------------------------

    async def _publish_for_ever(self, name: str, lane: "asyncio.Queue[list[Record]]") -> None:
        while True:
            groups = [await lane.get()]
            while not lane.empty() and sum(map(len, groups)) < _PUBLISHED_AT_ONCE:
                groups.append(lane.get_nowait())
            records = list(itertools.chain.from_iterable(groups))
            await self._publish(name, records)
            for topic, count in Counter(record.topic for record in records).items():
                self._metrics.produced.labels(topic).inc(count)
            for _ in groups:
                lane.task_done()

    async def _publish(self, name: str, records: Sequence[Record]) -> None:
        """Publish until it is published."""
        backoff = Backoff()
        while True:
            self._handed_s[name] = asyncio.get_running_loop().time()
            try:
                await self._eventlog.publish(records)
            except _MENDABLE as error:
                self._handed_s.pop(name)
                self._say(name, error)
                await backoff.pause()
            else:
                self._handed_s.pop(name)
                self._well(name)
                return

    # -- saying -------------------------------------------------------------------------------------------------------

    def _say(self, what: str, error: AirnodeError) -> None:
        """Keep it for ``/health``; log it where it lasts longer than one try."""
        lasts = what in self._troubles
        self._troubles[what] = error.detail
        now_s = asyncio.get_running_loop().time()
        if lasts and now_s - self._said_s > _SAY_EVERY_S:
            self._said_s = now_s
            log.warning("producer_waits", reason=error.detail, debug=error.debug)

    def _well(self, what: str) -> None:
        if self._troubles.pop(what, "") and not self._troubles and self._said_s > float("-inf"):
            self._said_s = float("-inf")
            log.info("producer_goes_on")
