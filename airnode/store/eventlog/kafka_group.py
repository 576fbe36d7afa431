"""A member of a group on Kafka."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
from airnode.store.eventlog.log import Delivered, EventLogMetrics, GroupSubscription, Partition, Rebalancing

if TYPE_CHECKING:
    from airnode.store.eventlog.kafka_log import KafkaLog

log = structlog.get_logger(__name__)

_HEARTBEATS_PER_SESSION = 4
_FETCH_BYTES = 4 << 20
_FETCH_WAIT_MS = 100
_LEAVE_S = 3.0
_AGAIN_S = 1.0
_NOT_OURS = (CommitFailedError, IllegalStateError, RebalanceInProgressError)


class KafkaSubscription(GroupSubscription):
    """A group member on Kafka. aiokafka sends the heartbeats in its own task, beside the processing."""

    name = "eventlog-subscription"

    def __init__(
        self,
        kafka: "KafkaLog",
        section: EventLogSection,
        metrics: EventLogMetrics,
        topics: Sequence[str],
        group: str,
        rebalancing: Rebalancing | None,
    ) -> None:
        super().__init__()
        self._log = kafka
        self._session_ms = round(section.session_timeout_s * 1000)
        self._metrics = metrics
        self._topics = tuple(topics)
        self._group = group
        self._listener = _RebalanceListener(rebalancing or Rebalancing(), metrics, group)
        self._consumer: AIOKafkaConsumer | None = None
        self._draining = False
        #: Loop time from which on to join again, where aiokafka gave the group up.
        self._again_s: float | None = None

    @property
    def assigned(self) -> frozenset[Partition]:
        """What this member owns now."""
        if self._consumer is None:
            return frozenset()
        return frozenset(map(_partition, self._consumer.assignment()))

    async def start(self) -> None:
        """Join the group.

        Raises:
            StartupError: a topic is not there, we may not join the group, or Kafka does not answer.
        """
        await self._log.partitions_of(self._topics)
        await self._log.may_join(self._group)
        self._consumer = await self._log.consumer(
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
        """Fetch no more; what was handed out can still be committed."""
        self._draining = True
        self.pause(self.assigned)

    async def stop(self) -> None:
        """Leave; others take over at once."""
        self.pause(self.assigned)
        consumer, self._consumer = self._consumer, None
        self._log.trouble.end(self._group)
        if consumer is not None:
            # A connection with TLS that is closed while an answer is on its way hangs for 30 s at times.
            await asyncio.sleep(_FETCH_WAIT_MS / 1000)
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    await consumer.stop()

    async def _join_again(self) -> None:
        """Begin anew, now and then until it succeeds; whoever reads meanwhile has the partitions."""
        loop = asyncio.get_running_loop()
        if self._again_s is not None and loop.time() < self._again_s:
            return
        lost = self.assigned
        await self.stop()
        await self._listener.lost(lost)
        try:
            await self.start()
        except AirnodeError as error:
            self._again_s = loop.time() + _AGAIN_S
            self._log.trouble.begin(error, self._group)
        else:
            self._again_s = None
            log.info("eventlog_group_joined_again", group=self._group)

    async def poll(self, *, max_records: int, wait_s: float) -> list[Delivered]:
        """What has come."""
        if self._again_s is not None and not self._draining:
            await self._join_again()
        consumer = self._consumer
        if consumer is None or self._draining:
            await asyncio.sleep(min(wait_s, 0.05))
            return []
        try:
            answer = await consumer.getmany(timeout_ms=round(wait_s * 1000), max_records=max_records)
        except KafkaError as error:
            log.info("eventlog_read_failed", group=self._group, error=repr(error))
            if isinstance(error, GroupAuthorizationFailedError) or type(error) is KafkaError:
                await self._join_again()  # aiokafka has given the group up for good
            await asyncio.sleep(min(wait_s, 0.2))
            return []
        records = []
        for tp, messages in answer.items():
            partition = _partition(tp)
            self._metrics.received.labels(partition.topic).inc(len(messages))
            records += [_delivered(partition, message) for message in messages]
        return records

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """Store where the group goes on."""
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
        except _NOT_OURS as error:
            # They have gone to another member meanwhile, which reads from the last commit on.
            self._metrics.commit_failed.inc(len(ours))
            log.info("eventlog_commit_skipped", group=self._group, error=repr(error))
        except KafkaError as error:
            raise Unavailable("Kafka does not answer.", debug=repr(error)) from error

    def pause(self, partitions: Collection[Partition]) -> None:
        """Fetch nothing of these."""
        if self._consumer is not None:
            owned = self._consumer.assignment()
            self._consumer.pause(*(tp for each in partitions if (tp := TopicPartition(*each)) in owned))

    def resume(self, partitions: Collection[Partition]) -> None:
        """Fetch them again."""
        if self._consumer is not None:
            owned = self._consumer.assignment()
            self._consumer.resume(*(tp for each in partitions if (tp := TopicPartition(*each)) in owned))


class _RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Tells of partitions that come and go, in the words of the log."""

    def __init__(self, rebalancing: Rebalancing, metrics: EventLogMetrics, group: str) -> None:
        self._rebalancing = rebalancing
        self._metrics = metrics
        self._group = group

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Before they go to others; also where they are lost, as aiokafka does not tell these apart."""
        if revoked:
            self._metrics.rebalanced.labels("revoked").inc(len(revoked))
            await self._rebalancing.revoked(frozenset(map(_partition, revoked)))

    async def lost(self, partitions: frozenset[Partition]) -> None:
        """They may be others' already."""
        if partitions:
            self._metrics.rebalanced.labels("lost").inc(len(partitions))
            await self._rebalancing.lost(partitions)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Before reading goes on."""
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
