"""Finds, replays and drops dead letters in the table. The commands are in :mod:`airnode.commands.dlq`."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from airnode.config.units import parse_seconds
from airnode.errors import InvalidInput, NotFound, Unavailable
from airnode.pipeline.consume.dead_letters import ATTEMPTS, TOO_LARGE
from airnode.pipeline.event import CLASSROOM
from airnode.pipeline.events import TOPICS
from airnode.store.eventlog.log import EventLog, Record
from airnode.store.postgres import Postgres

#: Letters replayed or dropped in one transaction.
_BATCH = 200
_COLUMNS = (
    "letter_id, topic, partition, log_offset, key, value, reason, detail, attempts, group_id, died_at, replayed_at"
)
_MATCH = """
WHERE ($1::text[] IS NULL OR letter_id::text LIKE ANY($1::text[])) AND ($2::text IS NULL OR topic = $2)
  AND ($3::text IS NULL OR reason = $3) AND ($4::timestamptz IS NULL OR died_at >= $4)
  AND ($5 OR replayed_at IS NULL)
"""
NEWEST = f"SELECT {_COLUMNS} FROM pipeline.dead_letters {_MATCH} ORDER BY died_at DESC, letter_id LIMIT $6"  # noqa: S608
#: In the order of the log, so that records of one key stay in order.
_IDS = (
    f"SELECT letter_id, topic, reason FROM pipeline.dead_letters {_MATCH} "  # noqa: S608
    "ORDER BY topic, partition, log_offset, attempts, letter_id LIMIT $6"
)
_LOCKED = (
    f"SELECT {_COLUMNS} FROM pipeline.dead_letters WHERE letter_id = ANY($1::uuid[]) AND ($2 OR replayed_at IS NULL) "  # noqa: S608
    "ORDER BY topic, partition, log_offset, attempts, letter_id FOR UPDATE SKIP LOCKED"
)
_REPLAYED = "UPDATE pipeline.dead_letters SET replayed_at = now() WHERE letter_id = ANY($1::uuid[])"
_DROP = "DELETE FROM pipeline.dead_letters WHERE letter_id = ANY($1::uuid[]) RETURNING 1"
_ID = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter in the table.

    Attributes:
        topic, partition, log_offset: position of the record on the log.
        attempts: number of attempts to insert the record.
    """

    letter_id: uuid.UUID
    topic: str
    partition: int
    log_offset: int
    key: str
    value: bytes
    reason: str
    detail: str
    attempts: int
    group_id: str
    died_at: datetime
    replayed_at: datetime | None

    @property
    def position(self) -> str:
        """Return the position on the log, such as ``orders/3@8120``."""
        return f"{self.topic}/{self.partition}@{self.log_offset}"

    @property
    def can_be_replayed(self) -> bool:
        """Return whether the record is complete and its topic belongs to the pipeline."""
        return self.topic in (*TOPICS, CLASSROOM) and self.reason != TOO_LARGE


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Selects dead letters.

    Attributes:
        ids: ids, or at least their first four characters; empty: any.
        replayed: include letters that were replayed already.
    """

    ids: Sequence[str] = ()
    topic: str | None = None
    reason: str | None = None
    since: datetime | None = None
    replayed: bool = False
    limit: int | None = None

    def arguments(self) -> tuple[Any, ...]:
        """Return the arguments of the statements. Raises InvalidInput."""
        for text in self.ids:
            if not _ID.fullmatch(text.lower()):
                raise InvalidInput(f"{text!r} is no id of a dead letter, nor the first four characters or more of one.")
        patterns = [f"{text.lower()}%" for text in self.ids] or None
        return patterns, self.topic, self.reason, self.since, self.replayed, self.limit


@dataclass(frozen=True, slots=True)
class Selection:
    """Dead letters to work on.

    Attributes:
        counts: {(topic, reason): number}.
        again: include letters that were replayed before.
    """

    ids: Sequence[uuid.UUID]
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    again: bool = False


def parse_since(text: str, now: datetime) -> datetime:
    """Return the time for an age such as ``2h``, or for a time such as ``2026-11-22T05:00`` (UTC without a zone).

    Raises:
        InvalidInput: the text is neither an age nor a time.
    """
    try:
        seconds = parse_seconds(text)
        if isinstance(seconds, float):
            return now - timedelta(seconds=seconds)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{text!r} is no age such as 90m or 7d, and no time such as 2026-11-22T05:00.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def find(postgres: Postgres, wanted: DeadLetterFilter) -> list[StoredDeadLetter]:
    """Return the dead letters, the newest first."""
    return [StoredDeadLetter(**row) for row in await postgres.fetch(NEWEST, *wanted.arguments())]


async def find_one(postgres: Postgres, letter_id: str) -> StoredDeadLetter:
    """Return the only dead letter whose id begins with ``letter_id``.

    Raises:
        NotFound: no id begins with it.
        InvalidInput: several ids begin with it.
    """
    found = await find(postgres, DeadLetterFilter(ids=[letter_id], replayed=True, limit=2))
    if not found:
        raise NotFound(f"There is no dead letter {letter_id}.")
    if len(found) > 1:
        raise InvalidInput(f"Several dead letters begin with {letter_id}: give more of the id.")
    return found[0]


async def select(postgres: Postgres, wanted: DeadLetterFilter) -> Selection:
    """Return the dead letters that a replay or a drop would process.

    Raises:
        NotFound: no dead letter has a given id.
        InvalidInput: several have it.
    """
    for text in wanted.ids:
        await find_one(postgres, text)
    rows = await postgres.fetch(_IDS, *wanted.arguments())
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        counts[row["topic"], row["reason"]] = counts.get((row["topic"], row["reason"]), 0) + 1
    return Selection([row["letter_id"] for row in rows], counts, again=bool(wanted.ids))


async def replay(postgres: Postgres, eventlog: EventLog, selection: Selection) -> int:
    """Publish dead letters to their topics again and mark them; return their number.

    Shortened letters and letters of other topics are skipped. After a crash between publishing and marking, they can be
    replayed again: each ``event_id`` is inserted only once.

    Raises:
        Unavailable: the log or the database does not answer; the letters replayed before that are marked.
    """
    count = 0
    for begin in range(0, len(selection.ids), _BATCH):
        try:
            async with postgres.transaction() as connection:
                rows = await connection.fetch(_LOCKED, selection.ids[begin : begin + _BATCH], selection.again)
                letters = [letter for row in rows if (letter := StoredDeadLetter(**row)).can_be_replayed]
                await eventlog.publish([_record(letter) for letter in letters])
                await connection.execute(_REPLAYED, [letter.letter_id for letter in letters])
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise Unavailable("The database does not answer.", debug=repr(error)) from error
        count += len(letters)
    return count


async def drop(postgres: Postgres, selection: Selection) -> int:
    """Delete dead letters and return the number of deleted ones."""
    count = 0
    for begin in range(0, len(selection.ids), _BATCH):
        count += len(await postgres.fetch(_DROP, selection.ids[begin : begin + _BATCH]))
    return count


def _record(letter: StoredDeadLetter) -> Record:
    """Return the original record, with the number of its attempts."""
    return Record(letter.topic, letter.key, letter.value, ((ATTEMPTS, str(letter.attempts).encode()),))
