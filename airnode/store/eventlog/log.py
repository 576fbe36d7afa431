"""The interface of an event log. Kafka and Redis Streams implement it, and the same tests run against both.

A topic has partitions. Records with the same key go to the same partition and stay in order. A group shares the
partitions of its topics among its members; each partition has one owner at a time. Delivery is at least once: records
that were not committed are delivered again, to the next owner of the partition. Readers detect repeats by the content
of the record.
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
    """A record to publish. It is a struct because creating a frozen dataclass takes four times as long.

    Attributes:
        key: records with the same key keep their order; a record with an empty key goes to any partition.
        value: at most ``eventlog.max_record_bytes``.
    """

    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """A record that was read.

    Attributes:
        offset: increases within the partition, not always by one.
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
        """Return the offset to commit when this record is processed."""
        return self.offset + 1


@dataclass(frozen=True, slots=True)
class Lag:
    """The lag of a group in one partition.

    Attributes:
        committed: offset of the next record for the group.
        end: lowest offset that the next published record can get.
        records: number of records between the two; exact if the log can count them.
    """

    committed: int
    end: int
    records: int


async def _ignore(_partitions: Collection[Partition]) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Rebalancing:
    """Callbacks of a member for partitions that change their owner. Each is awaited before more records are read.

    Attributes:
        assigned: this member owns the partitions now.
        revoked: this member still owns the partitions during the call, and may write and commit their records. After
            the call it must discard their records. The call must end within ``eventlog.session_timeout_s``.
        lost: another member owns the partitions already, because this one sent no heartbeat for too long. This member
            must discard their records and not commit them.
    """

    assigned: Callable[[Collection[Partition]], Awaitable[None]] = field(default=_ignore)
    revoked: Callable[[Collection[Partition]], Awaitable[None]] = field(default=_ignore)
    lost: Callable[[Collection[Partition]], Awaitable[None]] = field(default=_ignore)


class GroupSubscription(Service, ABC):
    """A member of a group. ``start`` joins the group, ``drain`` stops fetching, ``stop`` leaves the group.

    Only one task may use it at a time, except for ``commit``, ``pause`` and ``resume`` during a ``poll``.
    """

    @property
    @abstractmethod
    def assigned(self) -> frozenset[Partition]:
        """Return the partitions that this member owns."""

    @abstractmethod
    async def poll(self, *, max_records: int, wait_s: float) -> list[Delivered]:
        """Return up to ``max_records`` new records, in order within each partition; none if none arrive in ``wait_s``.

        An unreachable log is not an error here: poll waits up to ``wait_s``, and ``ping`` of the log reports it.

        Raises:
            StartupError: the topic does not exist, or this user may not read it.
        """

    @abstractmethod
    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """Store the offsets at which the group continues. Partitions that this member does not own are skipped.

        Raises:
            Unavailable: the offsets are not stored; commit again later.
        """

    @abstractmethod
    def pause(self, partitions: Collection[Partition]) -> None:
        """Fetch no records of these partitions until :meth:`resume`. The member still owns them."""

    @abstractmethod
    def resume(self, partitions: Collection[Partition]) -> None:
        """Fetch records of these partitions again, from the position of the pause."""


class EventLog(Protocol):
    """An event log. It is started and stopped like the other stores."""

    @property
    def address(self) -> str:
        """Return the address of the log, for logs and error messages."""
        ...

    async def start(self) -> None:
        """Connect. Raise StartupError if the log refuses us or does not answer in time."""
        ...

    async def stop(self) -> None:
        """Send the records that are being published, and disconnect."""
        ...

    async def ping(self) -> None:
        """Raise Unavailable while the log does not answer."""
        ...

    async def ensure_topics(self, partitions: Mapping[str, int]) -> list[str]:
        """Create missing topics, {name: number of partitions}; return those that were created.

        Raises:
            StartupError: a topic exists with fewer partitions.
        """
        ...

    async def topics(self) -> dict[str, int]:
        """Return all topics, {name: number of partitions}."""
        ...

    async def grow_topics(self, partitions: Mapping[str, int]) -> None:
        """Add partitions to topics. Keys move to other partitions: stop all publishers first to keep their order."""
        ...

    async def publish(self, records: Sequence[Record]) -> None:
        """Store all records. Return when they are durable (all in-sync replicas; append-only file).

        Waits while too many records are being published (back-pressure). The order within a key is the order of calls.

        Raises:
            Unavailable: some records may be stored and others not. Publish all again; readers detect repeats.
            TooLarge: nothing was stored, because a record is over ``eventlog.max_record_bytes``.
        """
        ...

    def subscribe(self, topics: Sequence[str], group: str, rebalancing: Rebalancing | None = None) -> GroupSubscription:
        """Return a new member of the group. The caller starts and stops it."""
        ...

    async def lag(self, group: str, topics: Sequence[str]) -> dict[Partition, Lag]:
        """Return the lag of the group. In a partition without a commit, it counts from the beginning."""
        ...


def check_sizes(records: Sequence[Record], limit_bytes: int) -> None:
    """Raise TooLarge if a record is over the limit."""
    for record in records:
        if len(record.value) > limit_bytes:
            raise TooLarge(
                f"A record of {len(record.value)} bytes for {record.topic} is over eventlog.max_record_bytes "
                f"({limit_bytes})."
            )


class EventLogMetrics:
    """Metrics of the event log; the same for Kafka and Redis Streams."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter(
            "airnode_eventlog_published_total", "Records stored by this process.", ["topic"], registry=registry
        )
        self.received = Counter(
            "airnode_eventlog_received_total",
            "Records read by this process, including repeats.",
            ["topic"],
            registry=registry,
        )
        self.reclaimed = Counter(
            "airnode_eventlog_reclaimed_total",
            "Records taken over from members that left or died.",
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
            "Records deleted after every group had read them.",
            ["topic"],
            registry=registry,
        )
        self.commit_failed = Counter(
            "airnode_eventlog_commits_skipped_total",
            "Commits of partitions that another member owned by then.",
            registry=registry,
        )
