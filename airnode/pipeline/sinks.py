"""From records to rows: what can be read is landed, what cannot is put aside, and nothing holds the others up."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

import asyncpg
import structlog

from airnode.errors import StartupError, TooLarge, Unavailable
from airnode.pipeline.deadletters import Letter, bury, keep, read_letter
from airnode.pipeline.events import AnyEvent, Undecodable, decode
from airnode.pipeline.landing import land
from airnode.pipeline.metrics import LandingMetrics
from airnode.store.eventlog.log import Delivered, EventLog
from airnode.store.postgres import Postgres

log = structlog.get_logger(__name__)

#: SQLSTATE classes that say: this row will never do. 22 data exception, 23 integrity constraint violation.
_ROWS_FAULT = ("22", "23")
#: A schema that is not ours: no row and no retry helps, only a person.
_SCHEMAS_FAULT = "42"


class Refused(Exception):
    """The database will not take what it was given."""


class Sink(Protocol):
    """Where a lane writes to."""

    async def write(self, records: Sequence[Delivered]) -> None:
        """Write all of it durably, or put aside what cannot be. Safe to call again with the same records.

        Raises:
            Unavailable: not now; nothing is lost, try again.
        """
        ...


class EventSink:
    """Lands the events of a group; buries what is none."""

    def __init__(self, postgres: Postgres, eventlog: EventLog, metrics: LandingMetrics, group: str) -> None:
        self._postgres = postgres
        self._eventlog = eventlog
        self._metrics = metrics
        self._group = group

    async def write(self, records: Sequence[Delivered]) -> None:
        """See :meth:`Sink.write`. All topics of a batch land in one transaction."""
        readable: list[tuple[Delivered, AnyEvent]] = []
        letters: list[Letter] = []
        for record in records:
            try:
                readable.append((record, decode(record.value, record.partition.topic)))
            except Undecodable as error:
                letters.append(bury(record, error.reason, str(error), self._group))
        letters += await self._land(readable)
        if letters:
            await self._bury(letters)

    async def _land(self, readable: Sequence[tuple[Delivered, AnyEvent]]) -> list[Letter]:
        """Land what can be; a batch with a row that is refused is halved until that row stands alone."""
        if not readable:
            return []
        try:
            await self._land_all([event for _, event in readable])
        except Refused as error:
            if len(readable) == 1:
                return [bury(readable[0][0], "refused", str(error), self._group)]
            middle = len(readable) // 2
            return await self._land(readable[:middle]) + await self._land(readable[middle:])
        return []

    async def _land_all(self, events: Sequence[AnyEvent]) -> None:
        by_topic: dict[str, list[AnyEvent]] = {}
        for event in events:
            by_topic.setdefault(event.topic, []).append(event)
        landed: dict[str, int] = {}
        with said_in_our_words():
            async with self._postgres.transaction() as connection:
                for topic in sorted(by_topic):
                    some = by_topic[topic]
                    landed[topic] = await land(connection, some[0].topic, some)
        now = datetime.now(UTC)
        for topic, count in landed.items():
            some = by_topic[topic]
            self._metrics.landed.labels(topic).inc(count)
            self._metrics.repeated.labels(topic).inc(len(some) - count)
            oldest = min(event.occurred_at for event in some)
            self._metrics.latency.labels(topic).observe(max(0.0, (now - oldest).total_seconds()))

    async def _bury(self, letters: Sequence[Letter]) -> None:
        try:
            letters = await self._tell(letters)
        except StartupError as error:  # somebody took the topic away; the records wait
            raise Unavailable(error.detail, debug=repr(error)) from error
        for letter in letters:
            self._metrics.dead.labels(letter.position.topic, letter.reason).inc()
            log.warning(
                "record_put_aside",
                topic=letter.position.topic,
                partition=letter.position.number,
                offset=letter.offset,
                reason=letter.reason,
                detail=letter.detail,
            )

    async def _tell(self, letters: Sequence[Letter]) -> Sequence[Letter]:
        """Publish them, whole where the log takes that; returns what was published."""
        try:
            await self._eventlog.publish([letter.record() for letter in letters])
        except TooLarge:
            if len(letters) > 1:
                return [told for letter in letters for told in await self._tell([letter])]
            letters = [letter.cut() for letter in letters]
            await self._eventlog.publish([letter.record() for letter in letters])
        return letters


class LetterSink:
    """Keeps dead letters in the table that ``airnode dlq`` works on."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def write(self, records: Sequence[Delivered]) -> None:
        """See :meth:`Sink.write`."""
        try:
            with said_in_our_words():
                async with self._postgres.transaction() as connection:
                    await keep(connection, [read_letter(record) for record in records])
        except Refused as error:
            raise Unavailable("The table of dead letters refuses a letter.", debug=str(error)) from error


@contextlib.contextmanager
def said_in_our_words() -> Iterator[None]:
    """Tell a row that is wrong from a database that is away.

    Raises:
        Refused: a row is wrong. Unavailable: anything else.
    """
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        state = getattr(error, "sqlstate", None) or ""
        # What asyncpg cannot encode never reaches the server, and is an InterfaceError as well.
        if state.startswith(_ROWS_FAULT) or isinstance(error, asyncpg.DataError):
            raise Refused(str(error)) from error
        if state.startswith(_SCHEMAS_FAULT):
            raise Unavailable(
                f"The database's schema is not this airnode's: {error}. Run: airnode pipeline init", debug=repr(error)
            ) from error
        raise Unavailable("The database does not take events now.", debug=repr(error)) from error
