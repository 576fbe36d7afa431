"""What an event log is. Kafka and Redis Streams each implement it, and one contract suite runs against both.

A topic has partitions; records of one key go to one partition and stay in order. A group shares the partitions of its
topics among its members: each has one owner at a time. Delivery is at least once: what was not committed comes again,
to whoever owns the partition then. Readers tell repeats by what is in the record.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec
from prometheus_client import CollectorRegistry, Counter

from airnode.errors import TooLarge
from airnode.kernel.service import Service


class Partition(NamedTuple):
    """One ordered part of a topic; ``number`` counts from 0."""

    topic: str
    number: int


class Record(msgspec.Struct, frozen=True, gc=False):
    """What is published. A struct, as a frozen dataclass takes four times as long to make.

    Attributes:
        key: records of one key keep their order; empty: any partition.
        value: at most ``eventlog.max_record_bytes``.
    """

    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """A record as it comes out.

    Attributes:
        offset: grows along the partition, not always by one.
        stored_at: unix seconds, by the clock of the log or of its producer.
    """

    partition: Partition
    offset: int
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    stored_at: float

    @property
    def next_offset(self) -> int:
        """What to commit once this one is dealt with."""
        return self.offset + 1


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a group is behind in one partition.

    Attributes:
        committed: offset that the group goes on from.
        end: offset that the next record gets, or more.
        records: how many lie between; exact where the log can tell.
    """

    committed: int
    end: int
    records: int


async def _nothing(_partitions: Collection[Partition]) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Rebalancing:
    """What a member does when partitions come and go; both are awaited before reading goes on.

    Attributes:
        revoked: the member still owns them here, and may write and commit what it holds of them; afterwards whatever
            it still holds of them must be forgotten. Takes no longer than ``eventlog.session_timeout_s``.
        lost: another member owns them already (this one was silent for too long): forget, do not commit.
    """

    assigned: Callable[[Collection[Partition]], Awaitable[None]] = field(default=_nothing)
    revoked: Callable[[Collection[Partition]], Awaitable[None]] = field(default=_nothing)
    lost: Callable[[Collection[Partition]], Awaitable[None]] = field(default=_nothing)


class GroupSubscription(Service, ABC):
    """A member of a group. ``start`` joins; ``drain`` stops fetching; ``stop`` leaves: others take over at once.

    Not to be used by two tasks at once, but for ``commit``, ``pause`` and ``resume`` beside a ``poll``.
    """

    @property
    @abstractmethod
    def assigned(self) -> frozenset[Partition]:
        """What this member owns now."""

    @abstractmethod
    async def poll(self, *, max_records: int, wait_s: float) -> list[Delivered]:
        """Up to ``max_records`` of what has come, in order within each partition; empty after ``wait_s`` of nothing.

        A log that is away is waited for, within ``wait_s``; it is not an error here (see ``ping`` of the log).

        Raises:
            StartupError: the topic is not there, or we may not read it.
        """

    @abstractmethod
    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """Go on from these offsets after a restart; partitions that this member does not own (any more) are left out.

        Raises:
            Unavailable: not stored; commit again later.
        """

    @abstractmethod
    def pause(self, partitions: Collection[Partition]) -> None:
        """Fetch nothing of these until :meth:`resume`; membership goes on."""

    @abstractmethod
    def resume(self, partitions: Collection[Partition]) -> None:
        """Fetch again, from where it was paused."""


class EventLog(Protocol):
    """The log: a service like the other stores."""

    @property
    def address(self) -> str:
        """Where the log is; for people."""
        ...

    async def start(self) -> None:
        """Connect. Raises StartupError with what to do where the log refuses us or does not answer in time."""
        ...

    async def stop(self) -> None:
        """Send what is still to be sent, and disconnect."""
        ...

    async def ping(self) -> None:
        """Raises Unavailable while the log does not answer."""
        ...

    async def ensure_topics(self, partitions: Mapping[str, int]) -> list[str]:
        """Make the topics that are not there, with so many partitions. Returns those made now.

        Raises:
            StartupError: a topic is there with fewer partitions; says how to add some.
        """
        ...

    async def topics(self) -> dict[str, int]:
        """All topics, {name: partitions}."""
        ...

    async def grow_topics(self, partitions: Mapping[str, int]) -> None:
        """Give topics more partitions. Keys move to others: nobody may publish meanwhile, to keep their order."""
        ...

    async def publish(self, records: Sequence[Record]) -> None:
        """Store all of them; returns once they are durable as the log has it (all in-sync replicas; append-only file).

        Waits while too much is under way (back-pressure). Order within a key is the order of calls.

        Raises:
            Unavailable: some may be stored and some not; publish all again (readers tell repeats).
            TooLarge: nothing was stored: a record is over ``eventlog.max_record_bytes``.
        """
        ...

    def subscribe(self, topics: Sequence[str], group: str, rebalancing: Rebalancing | None = None) -> GroupSubscription:
        """A new member of the group, to be started and stopped by the caller."""
        ...

    async def lag(self, group: str, topics: Sequence[str]) -> dict[Partition, Lag]:
        """How far the group is behind; a partition that it never committed counts from its beginning."""
        ...


def check_sizes(records: Sequence[Record], limit_bytes: int) -> None:
    """Raises TooLarge for the first record over the limit."""
    for record in records:
        if len(record.value) > limit_bytes:
            raise TooLarge(
                f"A record of {len(record.value)} bytes for {record.topic} is over eventlog.max_record_bytes "
                f"({limit_bytes})."
            )


class EventLogMetrics:
    """Metrics of the event log, by topic."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter(
            "airnode_eventlog_published_total", "Records stored by this process.", ["topic"], registry=registry
        )
        self.received = Counter(
            "airnode_eventlog_received_total", "Records handed out, repeats included.", ["topic"], registry=registry
        )
        self.reclaimed = Counter(
            "airnode_eventlog_reclaimed_total",
            "Records taken over from a member that is gone.",
            ["topic"],
            registry=registry,
        )
        self.rebalanced = Counter(
            "airnode_eventlog_partitions_moved_total",
            "Partitions assigned, revoked, lost.",
            ["how"],
            registry=registry,
        )
        self.full = Counter(
            "airnode_eventlog_full_total",
            "Times that publishing waited for readers (eventlog.stream_max_records).",
            ["topic"],
            registry=registry,
        )
        self.trimmed = Counter(
            "airnode_eventlog_trimmed_total",
            "Records let go of, as every group has read them.",
            ["topic"],
            registry=registry,
        )
        self.commit_failed = Counter(
            "airnode_eventlog_commits_skipped_total",
            "Commits of partitions that another member owns by now.",
            registry=registry,
        )
