"""Preconditions of the pipeline: topics with enough partitions, tables with their unique keys."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from airnode.errors import StartupError
from airnode.kernel.service import Service
from airnode.pipeline.consume import dead_letters
from airnode.pipeline.consume.insert import REQUIRED_KEYS
from airnode.pipeline.event import CLASSROOM
from airnode.pipeline.events import TOPICS
from airnode.store.eventlog.log import EventLog
from airnode.store.migrate import load, migrate
from airnode.store.postgres import Postgres

#: Longest time until all brokers know new partitions.
_GROW_TIMEOUT_S = 15.0
_POLL_EVERY_S = 0.2

_UNIQUE_KEYS = """
SELECT c.relname AS table_name, a.attname AS column_name
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
WHERE n.nspname = 'pipeline' AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1
"""


class Preconditions(Service):
    """Checks the preconditions of a role before its other services start.

    Args:
        postgres: the database for events; None: the role inserts no events.
        only_classes: a master must start whatever the pipeline's tables and the topics that exist are like.
    """

    name = "pipeline-preconditions"

    def __init__(
        self, eventlog: EventLog, partitions: int, postgres: Postgres | None = None, *, only_classes: bool = False
    ) -> None:
        super().__init__()
        self._eventlog = eventlog
        self._partitions = partitions
        self._postgres = postgres
        self._only_classes = only_classes

    async def start(self) -> None:
        """Create missing topics and check the tables. Raises StartupError; its text says how to repair it."""
        if self._only_classes:
            known = await self._eventlog.topics()
            missing = {topic: n for topic, n in wanted_topics(self._partitions).items() if topic not in known}
            await self._eventlog.ensure_topics(missing)
            return
        await ensure_topics(self._eventlog, self._partitions)
        if self._postgres is not None:
            await require_unique_keys(self._postgres)


def wanted_topics(partitions: int) -> dict[str, int]:
    """Return all topics of the pipeline, {name: partitions}."""
    return {**dict.fromkeys((*TOPICS, CLASSROOM), partitions), dead_letters.TOPIC: 1}


async def ensure_topics(eventlog: EventLog, partitions: int) -> list[str]:
    """Create missing topics and return their names. Raises StartupError if a topic has too few partitions."""
    return await eventlog.ensure_topics(wanted_topics(partitions))


async def require_unique_keys(postgres: Postgres, tables: Sequence[str] = tuple(REQUIRED_KEYS)) -> None:
    """Raise StartupError unless each table has the unique key that prevents inserting an event twice.

    Raises:
        StartupError: a key is missing; the text contains the statement that creates it.
    """
    existing = {(row["table_name"], row["column_name"]) for row in await postgres.fetch(_UNIQUE_KEYS)}
    for table in tables:
        column = REQUIRED_KEYS[table]
        if (table, column) not in existing:
            raise StartupError(
                f"The table pipeline.{table} has no unique key on {column}, so events could land twice. "
                f"Make it with: ALTER TABLE pipeline.{table} ADD PRIMARY KEY ({column})"
            )


@dataclass(frozen=True, slots=True)
class InitResult:
    """The result of :func:`init`.

    Attributes:
        migrations: names of the migrations that were applied now.
        topics: {name: partitions}, all topics of the pipeline.
        created: topics that were created now.
        grown: {name: number of partitions before}.
    """

    schema_version: int
    migrations: list[str]
    topics: dict[str, int]
    created: list[str]
    grown: dict[str, int]


async def init(postgres: Postgres, eventlog: EventLog, partitions: int, *, grow: bool) -> InitResult:
    """Migrate the schema and create the topics; return the changes. Up-to-date parts stay unchanged.

    Args:
        grow: add partitions to topics that have too few.

    Raises:
        StartupError: a topic has too few partitions, a unique key is missing, or the schema is newer than this airnode.
    """
    migrations = load()
    applied = await migrate(postgres, migrations)
    await require_unique_keys(postgres)
    before = await eventlog.topics()
    wanted = wanted_topics(partitions)
    grown = {topic: before[topic] for topic, count in wanted.items() if 0 < before.get(topic, 0) < count}
    if grow and grown:
        await _grow(eventlog, {topic: wanted[topic] for topic in grown})
    created = await eventlog.ensure_topics(wanted)
    topics = {**wanted, **await eventlog.topics()}
    return InitResult(
        schema_version=len(migrations),
        migrations=[f"{each.version:04d}_{each.name}" for each in migrations if each.version in applied],
        topics={topic: topics[topic] for topic in wanted},
        created=created,
        grown=grown,
    )


async def _grow(eventlog: EventLog, wanted: dict[str, int]) -> None:
    """Add partitions and wait until the log reports them. If some stay missing, ``ensure_topics`` raises later."""
    await eventlog.grow_topics(wanted)
    for _ in range(round(_GROW_TIMEOUT_S / _POLL_EVERY_S)):
        counts = await eventlog.topics()
        if all(counts.get(topic, 0) >= count for topic, count in wanted.items()):
            return
        await asyncio.sleep(_POLL_EVERY_S)
