"""Records between fetching and writing: bounded, in order within each partition, forgotten when a partition goes."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from airnode.store.eventlog.log import Delivered, Partition


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written in one transaction.

    Attributes:
        positions: {partition: what to commit once it is written}.
    """

    records: Sequence[Delivered]
    positions: dict[Partition, int]


class Buffer:
    """Holds what was fetched.

    Args:
        limit: records at which fetching should stop; it may go on at half of it.
        limit_bytes: the same of keys and values.
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        #: {partition: its records}, the partition that waits longest first.
        self._waiting: dict[Partition, deque[Delivered]] = {}
        self._count = 0
        self._bytes = 0
        self.full = False

    def __len__(self) -> int:
        return self._count

    def add(self, records: Sequence[Delivered]) -> None:
        """Put records in, as they were fetched."""
        for record in records:
            self._waiting.setdefault(record.partition, deque()).append(record)
        self._weigh(records, 1)

    def take(self, most: int) -> Batch:
        """Take up to ``most`` records, the oldest partition's first."""
        taken: list[Delivered] = []
        positions: dict[Partition, int] = {}
        while self._waiting and len(taken) < most:
            partition, waiting = next(iter(self._waiting.items()))
            count = min(len(waiting), most - len(taken))
            taken += [waiting.popleft() for _ in range(count)]
            positions[partition] = taken[-1].next_offset
            del self._waiting[partition]
            if waiting:  # its turn comes again after the others
                self._waiting[partition] = waiting
        self._weigh(taken, -1)
        return Batch(taken, positions)

    def forget(self, partitions: Collection[Partition]) -> int:
        """Drop what is held of these; returns how many records that were."""
        dropped = [record for partition in partitions for record in self._waiting.pop(partition, ())]
        self._weigh(dropped, -1)
        return len(dropped)

    def _weigh(self, records: Collection[Delivered], sign: int) -> None:
        """Count what came (1) or went (-1)."""
        self._count += sign * len(records)
        self._bytes += sign * sum(len(record.key) + len(record.value) for record in records)
        parts = 2 if self.full else 1
        self.full = self._count >= self._limit // parts or self._bytes >= self._limit_bytes // parts
