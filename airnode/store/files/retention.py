"""Selects the stored items to remove, by age and by total size. No I/O and no clock."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredItem:
    """A recording or an upload. Times are unix seconds.

    An item without ``ended_at`` is still being written, and is kept.
    """

    item_id: str
    started_at: float
    ended_at: float | None
    size_bytes: int


def expired(items: Iterable[StoredItem], now: float, *, max_age_s: float | None, max_bytes: int | None) -> list[str]:
    """Return the ids of items that are too old, and of the oldest others until the rest fits into ``max_bytes``."""
    oldest_first = sorted(items, key=lambda each: (each.started_at, each.item_id))
    total = sum(each.size_bytes for each in oldest_first)
    gone = []
    for each in oldest_first:
        if each.ended_at is None:
            continue
        too_old = max_age_s is not None and now - each.ended_at > max_age_s
        if too_old or (max_bytes is not None and total > max_bytes):
            gone.append(each.item_id)
            total -= each.size_bytes
    return gone
