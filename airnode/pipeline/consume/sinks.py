"""Sinks write records to the database. Records that cannot be inserted become dead letters, so they block nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import structlog

from airnode.errors import StartupError, TooLarge, Unavailable
from airnode.pipeline.consume.dead_letters import DeadLetter, make_dead_letter, parse_dead_letter, store_dead_letters
from airnode.pipeline.consume.insert import DecodedRecord, insert_events
from airnode.pipeline.event import Topic
from airnode.pipeline.events import EventDecodeError, decode_event
from airnode.pipeline.metrics import ConsumerMetrics
from airnode.store.eventlog.log import Delivered, EventLog
from airnode.store.postgres import Postgres
from airnode.store.postgres_errors import StatementRefused, translated

log = structlog.get_logger(__name__)

_NOT_NOW = "The database does not take events now."


class Sink(Protocol):
    """The destination of a consumer member."""

    async def write(self, records: Sequence[Delivered]) -> None:
        """Write all records durably, or make dead letters of them. Safe to call again with the same records.

        Raises:
            Unavailable: writing is not possible at the moment; nothing is lost, call it again.
        """
        ...


class EventSink:
    """Inserts the events of a group; publishes dead letters for the other records."""

    def __init__(self, postgres: Postgres, eventlog: EventLog, metrics: ConsumerMetrics, group: str) -> None:
        self._postgres = postgres
        self._eventlog = eventlog
        self._metrics = metrics
        self._group = group

    async def write(self, records: Sequence[Delivered]) -> None:
        """See :meth:`Sink.write`. All topics of a batch are inserted in one transaction."""
        decoded: list[DecodedRecord] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                decoded.append(DecodedRecord(record, decode_event(record.value, record.partition.topic)))
            except EventDecodeError as error:
                letters.append(make_dead_letter(record, error.reason, str(error), self._group))
        letters += await self._insert(decoded)
        if letters:
            await self._publish_dead(letters)

    async def _insert(self, decoded: Sequence[DecodedRecord]) -> list[DeadLetter]:
        """Insert records and return dead letters. A batch with a refused row is halved until the row is alone."""
        if not decoded:
            return []
        try:
            await self._insert_all(decoded)
        except StatementRefused as error:
            if len(decoded) == 1:
                return [make_dead_letter(decoded[0].record, "refused", str(error), self._group)]
            middle = len(decoded) // 2
            return await self._insert(decoded[:middle]) + await self._insert(decoded[middle:])
        return []

    async def _insert_all(self, decoded: Sequence[DecodedRecord]) -> None:
        by_topic: dict[Topic, list[DecodedRecord]] = {}
        for each in decoded:
            by_topic.setdefault(each.event.topic, []).append(each)
        inserted: dict[Topic, int] = {}
        with translated(_NOT_NOW):
            async with self._postgres.transaction() as connection:
                for topic in sorted(by_topic):
                    inserted[topic] = await insert_events(connection, topic, by_topic[topic])
        now = datetime.now(UTC)
        for topic, count in inserted.items():
            batch = by_topic[topic]
            self._metrics.landed.add(count, topic)
            self._metrics.repeated.labels(topic).inc(len(batch) - count)
            oldest = min(each.event.occurred_at for each in batch)
            self._metrics.latency.labels(topic).observe(max(0.0, (now - oldest).total_seconds()))

    async def _publish_dead(self, letters: Sequence[DeadLetter]) -> None:
        try:
            letters = await self._publish_or_shorten(letters)
        except StartupError as error:  # the topic was deleted; the records wait
            raise Unavailable(error.detail, debug=repr(error)) from error
        for letter in letters:
            self._metrics.dead.add(1, letter.position.topic, letter.reason)
            log.warning(
                "record_put_aside",
                topic=letter.position.topic,
                partition=letter.position.number,
                offset=letter.offset,
                reason=letter.reason,
                detail=letter.detail,
            )

    async def _publish_or_shorten(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """Publish dead letters, and return them as published: shortened if they are too large for the log."""
        try:
            await self._eventlog.publish([letter.record() for letter in letters])
        except TooLarge:
            if len(letters) > 1:
                return [one for letter in letters for one in await self._publish_or_shorten([letter])]
            letters = [letter.shortened() for letter in letters]
            await self._eventlog.publish([letter.record() for letter in letters])
        return letters


class DeadLetterSink:
    """Stores dead letters in the table of ``airnode dlq``."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def write(self, records: Sequence[Delivered]) -> None:
        """See :meth:`Sink.write`."""
        try:
            with translated(_NOT_NOW):
                async with self._postgres.transaction() as connection:
                    await store_dead_letters(connection, [parse_dead_letter(record) for record in records])
        except StatementRefused as error:
            raise Unavailable("The table of dead letters refuses a letter.", debug=str(error)) from error
