"""A member of a group on Kafka."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    RebalanceInProgressError,
)

from airnode.config.sections.eventlog import EventLogSection
from airnode.errors import AirnodeError, Unavailable
from airnode.store.eventlog.kafka_client import KafkaClient
from airnode.store.eventlog.log import Delivered, EventLogMetrics, GroupSubscription, Partition, Rebalancing

log = structlog.get_logger(__name__)

_HEARTBEATS_PER_SESSION = 4
_FETCH_BYTES = 4 << 20
_FETCH_WAIT_MS = 100
_LEAVE_S = 3.0
_REJOIN_EVERY_S = 1.0
#: Errors of a commit for partitions that another member owns by now.
_NOT_OWNED = (CommitFailedError, IllegalStateError, RebalanceInProgressError)


class KafkaSubscription(GroupSubscription):
    """A group member on Kafka. aiokafka sends the heartbeats in a separate task, also while records are processed."""

    name = "eventlog-subscription"

    def __init__(
        self,
        client: KafkaClient,
        section: EventLogSection,
        metrics: EventLogMetrics,
        topics: Sequence[str],
        group: str,
        rebalancing: Rebalancing | None,
    ) -> None:
        super().__init__()
        self._client = client
        self._session_ms = round(section.session_timeout_s * 1000)
        self._metrics = metrics
        self._topics = tuple(topics)
        self._group = group
        self._listener = _RebalanceListener(rebalancing or Rebalancing(), metrics, group)
        self._consumer: AIOKafkaConsumer | None = None
        self._draining = False
        #: Loop time of the next attempt to rejoin; None while aiokafka itself keeps the membership.
        self._rejoin_s: float | None = None

    @property
    def assigned(self) -> frozenset[Partition]:
        """Return the partitions that this member owns."""
        if self._consumer is None:
            return frozenset()
        return frozenset(map(_partition, self._consumer.assignment()))

    async def start(self) -> None:
        """Join the group.

        Raises:
            StartupError: a topic does not exist, we may not join the group, or Kafka does not answer.
        """
        await self._client.partitions_of(self._topics)
        await self._client.check_group_rights(self._group)
        self._consumer = await self._client.connect_consumer(
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=self._session_ms // _HEARTBEATS_PER_SESSION,
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )
        self._consumer.subscribe(self._topics, listener=self._listener)

    async def drain(self) -> None:
        """Stop fetching; records that were returned can still be committed."""
        self._draining = True
        self.pause(self.assigned)

    async def stop(self) -> None:
        """Leave the group; other members take over at once."""
        self.pause(self.assigned)
        consumer, self._consumer = self._consumer, None
        self._client.trouble.end(self._group)
        if consumer is not None:
            # Closing a TLS connection while an answer arrives sometimes blocks for 30 s.
            await asyncio.sleep(_FETCH_WAIT_MS / 1000)
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    await consumer.stop()

    async def _rejoin(self) -> None:
        """Try to join again, at most once per ``_REJOIN_EVERY_S``. Other members own the partitions until then."""
        loop = asyncio.get_running_loop()
        if self._rejoin_s is not None and loop.time() < self._rejoin_s:
            return
        lost = self.assigned
        await self.stop()
        await self._listener.lost(lost)
        try:
            await self.start()
        except AirnodeError as error:
            self._rejoin_s = loop.time() + _REJOIN_EVERY_S
            self._client.trouble.begin(error, self._group)
        else:
            self._rejoin_s = None
            log.info("eventlog_group_joined_again", group=self._group)

    async def poll(self, *, max_records: int, wait_s: float) -> list[Delivered]:
        """See the base class."""
        if self._rejoin_s is not None and not self._draining:
            await self._rejoin()
        consumer = self._consumer
        if consumer is None or self._draining:
            await asyncio.sleep(min(wait_s, 0.05))
            return []
        try:
            answer = await consumer.getmany(timeout_ms=round(wait_s * 1000), max_records=max_records)
        except KafkaError as error:
            log.info("eventlog_read_failed", group=self._group, error=repr(error))
            if isinstance(error, GroupAuthorizationFailedError) or type(error) is KafkaError:
                await self._rejoin()  # aiokafka does not rejoin after these errors
            await asyncio.sleep(min(wait_s, 0.2))
            return []
        records = []
        for tp, messages in answer.items():
            partition = _partition(tp)
            self._metrics.received.labels(partition.topic).inc(len(messages))
            records += [_delivered(partition, message) for message in messages]
        return records

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """See the base class."""
        consumer = self._consumer
        if consumer is None:
            return
        owned = consumer.assignment()
        ours = {TopicPartition(*p): position for p, position in positions.items() if TopicPartition(*p) in owned}
        self._metrics.commit_failed.inc(len(positions) - len(ours))
        if not ours:
            return
        try:
            await consumer.commit(ours)
        except _NOT_OWNED as error:
            # Another member owns the partitions now, and continues from the last commit.
            self._metrics.commit_failed.inc(len(ours))
            log.info("eventlog_commit_skipped", group=self._group, error=repr(error))
        except KafkaError as error:
            raise Unavailable("Kafka does not answer.", debug=repr(error)) from error

    def pause(self, partitions: Collection[Partition]) -> None:
        """See the base class."""
        if self._consumer is not None:
            owned = self._consumer.assignment()
            self._consumer.pause(*(tp for each in partitions if (tp := TopicPartition(*each)) in owned))

    def resume(self, partitions: Collection[Partition]) -> None:
        """See the base class."""
        if self._consumer is not None:
            owned = self._consumer.assignment()
            self._consumer.resume(*(tp for each in partitions if (tp := TopicPartition(*each)) in owned))


class _RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Calls a :class:`Rebalancing` and counts moved partitions."""

    def __init__(self, rebalancing: Rebalancing, metrics: EventLogMetrics, group: str) -> None:
        self._rebalancing = rebalancing
        self._metrics = metrics
        self._group = group

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Handle partitions that other members will own. aiokafka also calls this for lost partitions."""
        if revoked:
            self._metrics.rebalanced.labels("revoked").inc(len(revoked))
            await self._rebalancing.revoked(frozenset(map(_partition, revoked)))

    async def lost(self, partitions: frozenset[Partition]) -> None:
        """Handle partitions that another member may own already."""
        if partitions:
            self._metrics.rebalanced.labels("lost").inc(len(partitions))
            await self._rebalancing.lost(partitions)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Handle new partitions, before their records are read."""
        self._metrics.rebalanced.labels("assigned").inc(len(assigned))
        log.info("eventlog_partitions_assigned", group=self._group, partitions=len(assigned))
        await self._rebalancing.assigned(frozenset(map(_partition, assigned)))


def _partition(tp: TopicPartition) -> Partition:
    return Partition(tp.topic, tp.partition)


def _delivered(partition: Partition, message: Any) -> Delivered:
    return Delivered(
        partition,
        message.offset,
        (message.key or b"").decode(errors="replace"),
        message.value or b"",
        tuple([(name, value or b"") for name, value in message.headers]) if message.headers else (),
        message.timestamp / 1000,
    )
