"""The relay of the outbox: puts its events on the log, the oldest first, and deletes them then.

One relay acts at a time, however many processes have one: the lock belongs to the transaction that reads and deletes.
Between publishing and deleting a relay may die: the events are published again, and readers tell by ``event_id``.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

import asyncpg
import structlog

from airnode.errors import AirnodeError, StartupError, TooLarge, Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.metrics import ProducingMetrics
from airnode.pipeline.produce import outbox
from airnode.store.eventlog.log import EventLog, Record
from airnode.store.postgres import Postgres

log = structlog.get_logger(__name__)

#: Looked at so often even when nobody calls: a call may be lost with its connection.
_LOOK_EVERY_S = 5.0
_BATCH = 500
_CONNECT_S = 10.0
#: Beside a log or a database that is away: a topic that is not there any more, a limit that was lowered. Somebody mends
#: it, and nothing is dropped.
_MENDABLE = (Unavailable, StartupError, TooLarge)


class OutboxRelay(Service):
    """Relays the outbox for ever; see the module.

    Args:
        patience_s: a log that takes nothing for so long is left alone for a while: meanwhile a transaction is open.
    """

    name = "outbox-relay"

    def __init__(
        self,
        postgres: Postgres,
        eventlog: EventLog,
        metrics: ProducingMetrics,
        tasks: TaskScope,
        *,
        patience_s: float = 10.0,
    ) -> None:
        super().__init__()
        self._patience_s = patience_s
        self._postgres = postgres
        self._eventlog = eventlog
        self._metrics = metrics
        self._tasks = tasks
        self._called = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        #: Why nothing is relayed at the moment.
        self.trouble = ""

    async def check(self) -> str | None:
        """For ``/health``. Raises Unavailable while nothing can be relayed."""
        if self.trouble:
            raise Unavailable(self.trouble)
        return None

    async def start(self) -> None:
        """Begin to listen and to relay."""
        self._tasks.spawn("listen", self._listen_for_ever())
        self._tasks.spawn("relay", self._relay_for_ever())

    async def drain(self) -> None:
        """Finish the batch under way; the rest stays for the next relay."""
        self._draining = True
        await self._idle.wait()

    async def stop(self) -> None:
        """End; a batch under way is published again by the next relay."""
        await self._tasks.aclose()

    # -- being called -------------------------------------------------------------------------------------------------

    async def _listen_for_ever(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._listen()
                backoff.reset()
            except (
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
                OSError,
                TimeoutError,
                Unavailable,
            ) as error:
                log.debug("outbox_not_heard", error=repr(error))
            await backoff.pause()

    async def _listen(self) -> None:
        """Until the connection ends."""
        ended = asyncio.Event()
        async with self._postgres.pool.acquire(timeout=_CONNECT_S) as connection:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(outbox.CHANNEL, self._call)
            try:
                self._called.set()  # for what came before
                await ended.wait()
            finally:
                if not connection.is_closed():
                    await connection.remove_listener(outbox.CHANNEL, self._call)

    def _call(self, *_: object) -> None:
        self._called.set()

    # -- relaying -----------------------------------------------------------------------------------------------------

    async def _relay_for_ever(self) -> None:
        backoff = Backoff()
        while not self._draining:
            self._called.clear()
            self._idle.clear()
            try:
                more = await self._relay_some()
            except _MENDABLE as error:
                self._say(error)
                self._idle.set()
                await backoff.pause()
                continue
            self._idle.set()
            backoff.reset()
            if self.trouble:
                log.info("outbox_relayed_again")
                self.trouble = ""
            if not more:
                await self._until_called()

    async def _until_called(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_EVERY_S):
                await self._called.wait()
        except TimeoutError:
            return

    async def _relay_some(self) -> bool:
        """Relay one batch; whether there may be more.

        Raises:
            Unavailable: the log or the database is away; the events stay.
        """
        try:
            async with self._postgres.transaction() as connection:
                waiting = await outbox.take(connection, _BATCH)
                if waiting is None or not waiting.records:
                    return False
                await self._publish(waiting.records)
                await outbox.delete(connection, waiting.positions)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Unavailable("The database's outbox cannot be read.", debug=repr(error)) from error
        for topic, count in Counter(record.topic for record in waiting.records).items():
            self._metrics.outbox_sent.labels(topic).inc(count)
        return len(waiting.records) == _BATCH

    async def _publish(self, records: Sequence[Record]) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._eventlog.publish(records)
        except TimeoutError as error:
            raise Unavailable(
                f"The event log has taken nothing for {self._patience_s:g} s: its readers are too far behind "
                "(see airnode pipeline groups), or it is slow.",
                debug=repr(error),
            ) from error

    def _say(self, error: AirnodeError) -> None:
        if not self.trouble:
            log.warning("outbox_not_relayed", error=error.detail, debug=error.debug)
        self.trouble = error.detail
