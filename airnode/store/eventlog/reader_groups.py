"""Lists and deletes the groups of the event log in Redis.

Records are kept until every group has read them, so an unused group has to be deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from redis.exceptions import ResponseError

from airnode.bus.client import Bus, unavailable
from airnode.errors import Conflict, NotFound
from airnode.store.eventlog.log import Partition
from airnode.store.eventlog.stream_layout import stream_key
from airnode.store.eventlog.stream_log import StreamLog
from airnode.store.eventlog.stream_membership import count_members


@dataclass(frozen=True, slots=True)
class ReaderGroup:
    """A group and the topics that it has read.

    Attributes:
        members: current number of members.
        unread: {topic: number of records that it has not committed}.
    """

    name: str
    members: int
    unread: Mapping[str, int]


async def list_groups(log: StreamLog, bus: Bus) -> list[ReaderGroup]:
    """Return all groups, sorted by name. Raises Unavailable."""
    topics: dict[str, set[str]] = {}
    for partition in await _partitions(log):
        for name in await _groups_of(bus, partition):
            topics.setdefault(name, set()).add(partition.topic)
    return [await _group(log, bus, name, sorted(read)) for name, read in sorted(topics.items())]


async def unused_group(log: StreamLog, bus: Bus, group: str) -> ReaderGroup:
    """Return a group that has no members.

    Raises:
        NotFound: the group does not exist.
        Conflict: it has members.
        Unavailable: Redis does not answer.
    """
    found = {each.name: each for each in await list_groups(log, bus)}.get(group)
    if found is None:
        raise NotFound(f"There is no group {group}: airnode pipeline groups lists them.")
    if found.members:
        raise Conflict(f"The group {group} is being read ({found.members}): stop its consumers first.")
    return found


async def forget_group(log: StreamLog, bus: Bus, group: str) -> None:
    """Delete a group, and the records that were kept for it. Raises the same errors as :func:`unused_group`."""
    await unused_group(log, bus, group)
    for partition in await _partitions(log):
        if group in await _groups_of(bus, partition):
            with unavailable():
                await bus.client.xgroup_destroy(stream_key(partition), group)
            await log.trim(partition)


async def _group(log: StreamLog, bus: Bus, name: str, topics: Sequence[str]) -> ReaderGroup:
    behind = dict.fromkeys(topics, 0)
    for partition, lag in (await log.lag(name, topics)).items():
        behind[partition.topic] += lag.records
    return ReaderGroup(name, await count_members(bus, name), behind)


async def _groups_of(bus: Bus, partition: Partition) -> list[str]:
    with unavailable():
        try:
            found = await bus.client.xinfo_groups(stream_key(partition))
        except ResponseError:  # no record was ever published there
            return []
    return [each["name"].decode(errors="replace") for each in found]


async def _partitions(log: StreamLog) -> list[Partition]:
    return await log.partitions_of(sorted(await log.topics()))
