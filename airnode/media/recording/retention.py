"""Which recordings have to go. No I/O and no clock."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredItem:
    """A recording; ``ended_at`` in unix seconds, None while it is being made: then it never goes."""

    recording_id: str
    started_at: float
    ended_at: float | None
    size_bytes: int


def expired(
    recordings: Iterable[StoredItem], now: float, *, max_age_s: float | None, max_bytes: int | None
) -> list[str]:
    """Ids of those that are too old, and of the oldest of the others while all together are too large."""
    oldest_first = sorted(recordings, key=lambda each: (each.started_at, each.recording_id))
    total = sum(each.size_bytes for each in oldest_first)
    gone = []
    for each in oldest_first:
        if each.ended_at is None:
            continue
        too_old = max_age_s is not None and now - each.ended_at > max_age_s
        if too_old or (max_bytes is not None and total > max_bytes):
            gone.append(each.recording_id)
            total -= each.size_bytes
    return gone
