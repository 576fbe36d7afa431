"""The work of ``airnode pipeline init``, ``groups`` and ``forget``, and their output."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airnode.bus.client import Bus
from airnode.commands.dlq_view import columns
from airnode.config.model import Settings
from airnode.errors import StartupError
from airnode.pipeline import preconditions
from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.runtime.open_stores import open_stores
from airnode.runtime.resources import Resource
from airnode.store.eventlog import reader_groups
from airnode.store.eventlog.create_log import uses_kafka
from airnode.store.eventlog.reader_groups import ReaderGroup
from airnode.store.eventlog.stream_log import StreamLog


async def init(settings: Settings, *, grow: bool) -> dict[str, Any]:
    """Create the missing parts, and return a document about them. Raises StartupError with what to do."""
    async with open_stores(settings, PIPELINE_ACCESS, Resource.POSTGRES, Resource.EVENT_LOG) as stores:
        result = await preconditions.init(stores.postgres, stores.event_log, settings.eventlog.partitions, grow=grow)
        return {
            "database": stores.postgres.address,
            "schema_version": result.schema_version,
            "migrations_applied": result.migrations,
            "event_log": stores.event_log.address,
            "topics": {
                topic: {
                    "partitions": partitions,
                    "made": topic in result.created,
                    "grown_from": result.grown.get(topic),
                }
                for topic, partitions in result.topics.items()
            },
        }


def init_text(document: dict[str, Any]) -> str:
    """Return the document of :func:`init` as text."""
    applied = document["migrations_applied"]
    schema = f"schema {document['schema_version']}, " + (f"applied {', '.join(applied)}" if applied else "up to date")
    lines = [f"Database   {document['database']}: {schema}", f"Event log  {document['event_log']}"]
    for topic, facts in document["topics"].items():
        word = "made" if facts["made"] else "there already"
        if facts["grown_from"] is not None:
            word = f"had {facts['grown_from']}"
        count = facts["partitions"]
        lines.append(f"  {topic.ljust(14)}{count} {'partition' if count == 1 else 'partitions'}, {word}")
    return "\n".join(lines)


async def groups(settings: Settings) -> list[ReaderGroup]:
    """Return all reader groups. Raises StartupError if the event log is on Kafka or cannot be reached."""
    async with _streams(settings) as (log, bus):
        return await reader_groups.list_groups(log, bus)


async def unread(settings: Settings, group: str) -> int:
    """Return how many events a group has not read. Raises NotFound, or Conflict if it has members."""
    async with _streams(settings) as (log, bus):
        return sum((await reader_groups.unused_group(log, bus, group)).unread.values())


async def forget(settings: Settings, group: str) -> None:
    """Delete a group. Raises NotFound, or Conflict if it has members."""
    async with _streams(settings) as (log, bus):
        await reader_groups.forget_group(log, bus, group)


@contextlib.asynccontextmanager
async def _streams(settings: Settings) -> AsyncIterator[tuple[StreamLog, Bus]]:
    if uses_kafka(settings.kafka):
        raise StartupError(
            "The event log is on Kafka, which forgets groups by itself (offsets.retention.minutes): "
            "see its kafka-consumer-groups.sh --list, --describe and --delete."
        )
    async with open_stores(settings, PIPELINE_ACCESS, Resource.REDIS, Resource.EVENT_LOG) as stores:
        assert isinstance(stores.event_log, StreamLog)  # noqa: S101 - checked by uses_kafka
        yield stores.event_log, stores.bus


def groups_table(found: Sequence[ReaderGroup]) -> str:
    """Return one line per group and topic."""
    rows = [("group", "members", "topic", "behind")]
    rows += [
        (each.name, str(each.members) if each.members else "nobody", topic, f"{records:,}")
        for each in found
        for topic, records in each.unread.items()
    ]
    if len(rows) == 1:
        return "Nobody has read anything yet."
    return columns(rows)


def groups_document(found: Sequence[ReaderGroup]) -> list[dict[str, Any]]:
    """Return the groups as JSON objects."""
    return [{"group": each.name, "members": each.members, "behind": dict(each.unread)} for each in found]
