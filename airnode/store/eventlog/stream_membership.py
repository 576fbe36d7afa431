"""Who owns which partition. Every member computes the same from the same view; no leader is needed."""

from collections.abc import Collection, Iterable, Mapping

from airnode.store.eventlog.log import Partition


def share(
    partitions: Iterable[Partition], members: Mapping[str, Collection[str]], owners: Mapping[Partition, str]
) -> dict[Partition, str]:
    """Give each partition an owner among the members that read its topic.

    Who owns a partition keeps it, as far as shares stay even: no member has two more than another that could take one.

    Args:
        members: {member: topics that it reads}.
        owners: {partition: member}, as it is; members that are gone may stand in it.
    """
    readers = {part: sorted(m for m, topics in members.items() if part.topic in topics) for part in sorted(partitions)}
    owned: dict[str, list[Partition]] = {member: [] for member in members}
    for part, able in readers.items():
        if (owner := owners.get(part, "")) in able:
            owned[owner].append(part)
    kept = {part for parts in owned.values() for part in parts}
    for part, able in readers.items():
        if able and part not in kept:
            owned[min(able, key=lambda member: (len(owned[member]), member))].append(part)
    while move := _uneven(readers, owned):
        part, giver, taker = move
        owned[giver].remove(part)
        owned[taker].append(part)
    return {part: member for member, parts in owned.items() for part in parts}


def _uneven(
    readers: Mapping[Partition, list[str]], owned: Mapping[str, list[Partition]]
) -> tuple[Partition, str, str] | None:
    """A partition whose move makes shares more even, from whom, and to whom."""
    for giver in sorted(owned, key=lambda member: (-len(owned[member]), member)):
        for part in sorted(owned[giver], reverse=True):
            taker = min(readers[part], key=lambda member: (len(owned[member]), member))
            if len(owned[giver]) - len(owned[taker]) > 1:
                return part, giver, taker
    return None
