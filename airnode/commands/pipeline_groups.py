"""``airnode pipeline groups`` and ``forget``: who reads the event log in the Redis."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airnode.bus.client import Bus
from airnode.commands.dlq_view import columns
from airnode.config.model import Settings
from airnode.errors import StartupError
from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.runtime.open_stores import open_stores
from airnode.runtime.resources import Resource
from airnode.store.eventlog import reader_groups
from airnode.store.eventlog.open_log import on_kafka
from airnode.store.eventlog.reader_groups import Group
from airnode.store.eventlog.streams import StreamLog


async def groups(settings: Settings) -> list[Group]:
    """All of them. Raises StartupError where the event log is on Kafka, or cannot be reached."""
    async with _streams(settings) as (log, bus):
        return await reader_groups.groups(log, bus)


async def unread(settings: Settings, group: str) -> int:
    """How many events it has not read. Raises NotFound, and Conflict where somebody reads on."""
    async with _streams(settings) as (log, bus):
        return sum((await reader_groups.gone(log, bus, group)).behind.values())


async def forget(settings: Settings, group: str) -> None:
    """Keep nothing for it any more. Raises NotFound, Conflict."""
    async with _streams(settings) as (log, bus):
        await reader_groups.forget(log, bus, group)


@contextlib.asynccontextmanager
async def _streams(settings: Settings) -> AsyncIterator[tuple[StreamLog, Bus]]:
    if on_kafka(settings):
        raise StartupError(
            "The event log is on Kafka, which forgets groups by itself (offsets.retention.minutes): "
            "see its kafka-consumer-groups.sh --list, --describe and --delete."
        )
    async with open_stores(settings, PIPELINE_ACCESS, Resource.REDIS, Resource.EVENT_LOG) as stores:
        assert isinstance(stores.event_log, StreamLog)  # noqa: S101 - on_kafka said so
        yield stores.event_log, stores.bus


def table(found: Sequence[Group]) -> str:
    """For people: one line a group and topic."""
    rows = [("group", "members", "topic", "behind")]
    rows += [
        (each.name, str(each.members) if each.members else "nobody", topic, f"{records:,}")
        for each in found
        for topic, records in each.behind.items()
    ]
    if len(rows) == 1:
        return "Nobody has read anything yet."
    return columns(rows)


def document(found: Sequence[Group]) -> list[dict[str, Any]]:
    """For programs."""
    return [{"group": each.name, "members": each.members, "behind": dict(each.behind)} for each in found]
