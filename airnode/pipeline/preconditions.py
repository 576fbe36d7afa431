"""What must be there before events can flow: topics with enough partitions, tables with their unique keys."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from airnode.errors import StartupError
from airnode.kernel.service import Service
from airnode.pipeline.consume import dead_letters
from airnode.pipeline.consume.insert import REQUIRED_KEYS
from airnode.pipeline.events import TOPICS
from airnode.store.eventlog.log import EventLog
from airnode.store.migrate import load, migrate
from airnode.store.postgres import Postgres

#: Brokers tell each other of new partitions within this.
_GROWN_WITHIN_S = 15.0
_LOOK_S = 0.2

_UNIQUE_KEYS = """
SELECT c.relname AS table_name, a.attname AS column_name
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
WHERE n.nspname = 'pipeline' AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1
"""


class Ground(Service):
    """Sees that what a role stands on is there, before its other services begin.

    Args:
        postgres: where events land; None: the role lands none.
    """

    name = "pipeline-ground"

    def __init__(self, eventlog: EventLog, partitions: int, postgres: Postgres | None = None) -> None:
        super().__init__()
        self._eventlog = eventlog
        self._partitions = partitions
        self._postgres = postgres

    async def start(self) -> None:
        """Raises StartupError with what to do."""
        await ensure_topics(self._eventlog, self._partitions)
        if self._postgres is not None:
            await require_keys(self._postgres)


def wanted_topics(partitions: int) -> dict[str, int]:
    """All topics of the pipeline, {name: partitions}."""
    return {**dict.fromkeys(TOPICS, partitions), dead_letters.TOPIC: 1}


async def ensure_topics(eventlog: EventLog, partitions: int) -> list[str]:
    """Make the topics that are not there. Raises StartupError where one has too few partitions."""
    return await eventlog.ensure_topics(wanted_topics(partitions))


async def require_keys(postgres: Postgres, tables: Sequence[str] = tuple(REQUIRED_KEYS)) -> None:
    """See that each table still has the unique key that keeps events from landing twice.

    Raises:
        StartupError: one has not; says the statement that makes it.
    """
    there = {(row["table_name"], row["column_name"]) for row in await postgres.fetch(_UNIQUE_KEYS)}
    for table in tables:
        column = REQUIRED_KEYS[table]
        if (table, column) not in there:
            raise StartupError(
                f"The table pipeline.{table} has no unique key on {column}, so events could land twice. "
                f"Make it with: ALTER TABLE pipeline.{table} ADD PRIMARY KEY ({column})"
            )


@dataclass(frozen=True, slots=True)
class Made:
    """What :func:`init` found and made.

    Attributes:
        migrations: names of those applied now.
        topics: {name: partitions}, all of the pipeline's.
        made: topics made now. grown: {name: partitions before}.
    """

    schema_version: int
    migrations: list[str]
    topics: dict[str, int]
    made: list[str]
    grown: dict[str, int]


async def init(postgres: Postgres, eventlog: EventLog, partitions: int, *, grow: bool) -> Made:
    """Bring the schema up to date and make the topics; nothing changes where all is there.

    Args:
        grow: give topics that have too few partitions more.

    Raises:
        StartupError: a topic has too few partitions, a table has lost its unique key, the schema is newer than we.
    """
    migrations = load()
    applied = await migrate(postgres, migrations)
    await require_keys(postgres)
    before = await eventlog.topics()
    wanted = wanted_topics(partitions)
    grown = {topic: before[topic] for topic, count in wanted.items() if 0 < before.get(topic, 0) < count}
    if grow and grown:
        await _grow(eventlog, {topic: wanted[topic] for topic in grown})
    made = await eventlog.ensure_topics(wanted)
    there = {**wanted, **await eventlog.topics()}
    return Made(
        schema_version=len(migrations),
        migrations=[f"{each.version:04d}_{each.name}" for each in migrations if each.version in applied],
        topics={topic: there[topic] for topic in wanted},
        made=made,
        grown=grown,
    )


async def _grow(eventlog: EventLog, wanted: dict[str, int]) -> None:
    """Returns once the log tells of the new partitions; one that does not is told of by ``ensure_topics``."""
    await eventlog.grow_topics(wanted)
    for _ in range(round(_GROWN_WITHIN_S / _LOOK_S)):
        there = await eventlog.topics()
        if all(there.get(topic, 0) >= count for topic, count in wanted.items()):
            return
        await asyncio.sleep(_LOOK_S)
