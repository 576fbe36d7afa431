"""The relay of the outbox: publishes its events, the oldest first, and then deletes them.

Many processes may run a relay, but only one acts at a time: the transaction that reads and deletes holds a lock. If a
relay dies between publishing and deleting, the events are published again; readers detect repeats by ``event_id``.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

import asyncpg
import structlog

from airnode.errors import StartupError, TooLarge, Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble
from airnode.pipeline.metrics import ProducerMetrics
from airnode.pipeline.produce import outbox
from airnode.store.eventlog.log import EventLog, Record
from airnode.store.postgres import Postgres

log = structlog.get_logger(__name__)

#: The outbox is read this often even without NOTIFY: a notification is lost with its connection.
_CHECK_EVERY_S = 5.0
_BATCH = 500
_CONNECT_S = 10.0
#: Retried until the cause is repaired; nothing is dropped. Causes: an outage, a deleted topic, a lowered size limit.
_RETRIED = (Unavailable, StartupError, TooLarge)


class OutboxRelay(Service):
    """Relays the outbox.

    Args:
        patience_s: longest wait for the log. A transaction stays open during the wait.
    """

    name = "outbox-relay"

    def __init__(
        self,
        postgres: Postgres,
        eventlog: EventLog,
        metrics: ProducerMetrics,
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
        self._notified = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        #: The reason why nothing can be relayed at the moment.
        self.trouble = Trouble("outbox_not_relayed", "outbox_relayed_again")

    async def check(self) -> str | None:
        """Return a remark for ``/health``; raise Unavailable (503) while nothing can be relayed."""
        self.trouble.check()
        return None

    async def start(self) -> None:
        """Start to listen and to relay."""
        self._tasks.spawn("listen", self._listen_loop())
        self._tasks.spawn("relay", self._relay_loop())

    async def drain(self) -> None:
        """Finish the current batch; the rest stays for the next relay."""
        self._draining = True
        await self._idle.wait()

    async def stop(self) -> None:
        """Stop; the next relay publishes an unfinished batch again."""
        await self._tasks.aclose()

    # -- notifications -------------------------------------------------------------------------------------------------

    async def _listen_loop(self) -> None:
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
        """Listen until the connection ends."""
        ended = asyncio.Event()
        async with self._postgres.pool.acquire(timeout=_CONNECT_S) as connection:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(outbox.CHANNEL, self._on_notify)
            try:
                self._notified.set()  # events may have been added before this connection listened
                await ended.wait()
            finally:
                if not connection.is_closed():
                    await connection.remove_listener(outbox.CHANNEL, self._on_notify)

    def _on_notify(self, *_: object) -> None:
        self._notified.set()

    # -- relaying -----------------------------------------------------------------------------------------------------

    async def _relay_loop(self) -> None:
        backoff = Backoff()
        while not self._draining:
            self._notified.clear()
            self._idle.clear()
            try:
                more = await self._relay_batch()
            except _RETRIED as error:
                self.trouble.begin(error)
                self._idle.set()
                await backoff.pause()
                continue
            self._idle.set()
            backoff.reset()
            self.trouble.end()
            if not more:
                await self._wait_for_notify()

    async def _wait_for_notify(self) -> None:
        try:
            async with asyncio.timeout(_CHECK_EVERY_S):
                await self._notified.wait()
        except TimeoutError:
            return

    async def _relay_batch(self) -> bool:
        """Relay one batch; return whether there may be more.

        Raises:
            Unavailable: the log or the database does not answer; the events stay in the outbox.
        """
        try:
            async with self._postgres.transaction() as connection:
                batch = await outbox.take(connection, _BATCH)
                if batch is None or not batch.records:
                    return False
                await self._publish(batch.records)
                await outbox.delete(connection, batch.positions)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Unavailable("The database's outbox cannot be read.", debug=repr(error)) from error
        for topic, count in Counter(record.topic for record in batch.records).items():
            self._metrics.outbox_sent.add(count, topic)
        return len(batch.records) == _BATCH

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
