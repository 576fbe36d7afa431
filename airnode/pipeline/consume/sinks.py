"""From records to rows: what can be read is landed, what cannot is put aside, and nothing holds the others up."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import structlog

from airnode.errors import StartupError, TooLarge, Unavailable
from airnode.pipeline.consume.dead_letters import Letter, bury, keep, read_letter
from airnode.pipeline.consume.insert import Readable, land
from airnode.pipeline.events import Topic, Undecodable, decode
from airnode.pipeline.metrics import LandingMetrics
from airnode.store.eventlog.log import Delivered, EventLog
from airnode.store.postgres import Postgres
from airnode.store.postgres_errors import Refused, in_our_words

log = structlog.get_logger(__name__)

_NOT_NOW = "The database does not take events now."


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
        readable: list[Readable] = []
        letters: list[Letter] = []
        for record in records:
            try:
                readable.append(Readable(record, decode(record.value, record.partition.topic)))
            except Undecodable as error:
                letters.append(bury(record, error.reason, str(error), self._group))
        letters += await self._land(readable)
        if letters:
            await self._bury(letters)

    async def _land(self, readable: Sequence[Readable]) -> list[Letter]:
        """Land what can be; a batch with a row that is refused is halved until that row stands alone."""
        if not readable:
            return []
        try:
            await self._land_all(readable)
        except Refused as error:
            if len(readable) == 1:
                return [bury(readable[0].record, "refused", str(error), self._group)]
            middle = len(readable) // 2
            return await self._land(readable[:middle]) + await self._land(readable[middle:])
        return []

    async def _land_all(self, readable: Sequence[Readable]) -> None:
        by_topic: dict[Topic, list[Readable]] = {}
        for each in readable:
            by_topic.setdefault(each.event.topic, []).append(each)
        landed: dict[Topic, int] = {}
        with in_our_words(_NOT_NOW):
            async with self._postgres.transaction() as connection:
                for topic in sorted(by_topic):
                    landed[topic] = await land(connection, topic, by_topic[topic])
        now = datetime.now(UTC)
        for topic, count in landed.items():
            some = by_topic[topic]
            self._metrics.landed.labels(topic).inc(count)
            self._metrics.repeated.labels(topic).inc(len(some) - count)
            oldest = min(each.event.occurred_at for each in some)
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
            with in_our_words(_NOT_NOW):
                async with self._postgres.transaction() as connection:
                    await keep(connection, [read_letter(record) for record in records])
        except Refused as error:
            raise Unavailable("The table of dead letters refuses a letter.", debug=str(error)) from error
