"""A bounded buffer of fetched records, in order per partition; records of revoked partitions are dropped."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from airnode.store.eventlog.log import Delivered, Partition


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are written together.

    Attributes:
        positions: {partition: offset to commit after the write}.
    """

    records: Sequence[Delivered]
    positions: dict[Partition, int]


class Buffer:
    """Holds fetched records.

    Args:
        limit: the buffer is full at this number of records, until it has less than half of it.
        limit_bytes: the same for the bytes of keys and values.
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        #: {partition: its records}, the partition that has waited longest first.
        self._waiting: dict[Partition, deque[Delivered]] = {}
        self._count = 0
        self._bytes = 0
        self.full = False

    def __len__(self) -> int:
        return self._count

    def add(self, records: Sequence[Delivered]) -> None:
        for record in records:
            self._waiting.setdefault(record.partition, deque()).append(record)
        self._count_records(records, 1)

    def take(self, most: int) -> Batch:
        """Remove and return up to ``most`` records. The partition that has waited longest comes first."""
        taken: list[Delivered] = []
        positions: dict[Partition, int] = {}
        while self._waiting and len(taken) < most:
            partition, waiting = next(iter(self._waiting.items()))
            count = min(len(waiting), most - len(taken))
            taken += [waiting.popleft() for _ in range(count)]
            positions[partition] = taken[-1].next_offset
            del self._waiting[partition]
            if waiting:  # the other partitions come first now
                self._waiting[partition] = waiting
        self._count_records(taken, -1)
        return Batch(taken, positions)

    def forget(self, partitions: Collection[Partition]) -> int:
        """Drop the records of these partitions and return their number."""
        dropped = [record for partition in partitions for record in self._waiting.pop(partition, ())]
        self._count_records(dropped, -1)
        return len(dropped)

    def _count_records(self, records: Collection[Delivered], sign: int) -> None:
        """Update the counts. ``sign``: 1 for added records, -1 for removed ones."""
        self._count += sign * len(records)
        self._bytes += sign * sum(len(record.key) + len(record.value) for record in records)
        divisor = 2 if self.full else 1
        self.full = self._count >= self._limit // divisor or self._bytes >= self._limit_bytes // divisor
