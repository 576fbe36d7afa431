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
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        #: {partition: its records}, the partition that waits longest first.
        self._waiting: dict[Partition, deque[Delivered]] = {}
        self._count = 0
        self.full = False

    def __len__(self) -> int:
        return self._count

    def add(self, records: Sequence[Delivered]) -> None:
        """Put records in, as they were fetched."""
        for record in records:
            self._waiting.setdefault(record.partition, deque()).append(record)
        self._count += len(records)
        self._weigh()

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
        self._count -= len(taken)
        self._weigh()
        return Batch(taken, positions)

    def forget(self, partitions: Collection[Partition]) -> int:
        """Drop what is held of these; returns how many records that were."""
        dropped = sum(len(self._waiting.pop(partition, ())) for partition in partitions)
        self._count -= dropped
        self._weigh()
        return dropped

    def _weigh(self) -> None:
        self.full = self._count >= (self._limit // 2 if self.full else self._limit)
