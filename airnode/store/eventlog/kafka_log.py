"""The event log on Kafka, through aiokafka (KIP-98 idempotent producer, KIP-62 heartbeats beside processing)."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InvalidTimestampError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from airnode.config.sections.eventlog import EventLogSection
from airnode.config.sections.kafka import KafkaSection
from airnode.errors import AirnodeError, StartupError, TooLarge, Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble
from airnode.store.eventlog.kafka_batches import InFlightLimit, KafkaBatches
from airnode.store.eventlog.kafka_group import KafkaSubscription
from airnode.store.eventlog.kafka_probe import (
    MISSING_RIGHTS,
    KafkaRefused,
    explain,
    missing_right,
    probe,
    tls_context,
)
from airnode.store.eventlog.log import EventLogMetrics, Lag, Partition, Rebalancing, Record, check_sizes

log = structlog.get_logger(__name__)

_RETRY_S = 0.2
#: Of the time that a health check has.
_LOOK_S = 1.0
#: A topic that one broker has made, the others know after this at the latest.
_KNOWN_WITHIN_S = 3.0
_LINGER_MS = 5
_BATCH_BYTES = 512 << 10
#: What the record's frame and the batch's header may add to a value.
_FRAME_BYTES = 4 << 10
_COPIES = 3
#: With a producer's time, a clock that is ahead has its records refused, and one that is behind has them deleted early.
_TOPIC = {"message.timestamp.type": "LogAppendTime"}


class KafkaLog:
    """See :class:`airnode.store.eventlog.log.EventLog`. Durable once all in-sync replicas have it (``acks=all``)."""

    name = "eventlog"

    def __init__(
        self, kafka: KafkaSection, section: EventLogSection, metrics: EventLogMetrics, *, connect_timeout_s: float = 10
    ) -> None:
        self._kafka = kafka
        self._section = section
        self._metrics = metrics
        self._connect_timeout_s = connect_timeout_s
        self._tls: ssl.SSLContext | None = None
        #: The broker of kafka.bootstrap that took us last; clients of aiokafka would ask those that are away too.
        self._door = ""
        self._batches: KafkaBatches | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._reader: AIOKafkaConsumer | None = None
        self._tasks = TaskScope("kafka")
        self._retiring: set[asyncio.Task[None]] = set()
        #: Why this process cannot read in a group. Kept by the group's members.
        self.trouble = Trouble()
        self._in_flight = InFlightLimit(section.max_unsent_bytes)

    @property
    def address(self) -> str:
        """Where the log is; for people."""
        return f"Kafka at {', '.join(self._kafka.bootstrap)}"

    def connection(self) -> dict[str, Any]:
        """What every client of aiokafka takes."""
        kafka = self._kafka
        arguments: dict[str, Any] = {
            "bootstrap_servers": [self._door] if self._door else list(kafka.bootstrap),
            "security_protocol": kafka.security_protocol,
            "request_timeout_ms": round(self._section.request_timeout_s * 1000),
            # A topic that was just made, or a leader that just died, is known again after this at the latest.
            "metadata_max_age_ms": 10_000,
        }
        if kafka.security_protocol.startswith("SASL"):
            arguments["sasl_mechanism"] = kafka.sasl_mechanism
            arguments["sasl_plain_username"] = kafka.sasl_username
            arguments["sasl_plain_password"] = kafka.sasl_password.get_secret_value()
        if self._tls is not None:
            arguments["ssl_context"] = self._tls
        return arguments

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect.

        Raises:
            StartupError: no broker answers within the time for it, or they refuse us.
        """
        self._tls = await asyncio.to_thread(tls_context, self._kafka)
        self._admin = await self._connected(lambda: AIOKafkaAdminClient(**self.connection()))
        log.info("eventlog_connected", address=self.address)

    async def stop(self) -> None:
        """Send what is under way, and disconnect."""
        batches, self._batches = self._batches, None
        reader, self._reader = self._reader, None
        admin, self._admin = self._admin, None
        for client in (batches, reader):
            if client is not None:
                with contextlib.suppress(TimeoutError, KafkaError):
                    async with asyncio.timeout(self._section.request_timeout_s):
                        await client.stop()
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=self._section.request_timeout_s)
        await self._tasks.aclose()
        if admin is not None:
            await admin.close()

    async def ping(self) -> None:
        """Raises Unavailable while no broker answers, or lets us in, or a group does not have us."""
        try:
            with self._available():
                await self._cluster().describe_cluster()
        except Unavailable as error:
            found = await probe(self._kafka, self.connection(), _LOOK_S)
            if isinstance(found, KafkaRefused):
                raise Unavailable(found.sentence, debug=found.debug) from error
            raise
        self.trouble.check()

    async def _connected(self, make: Any, failing: type[AirnodeError] = StartupError) -> Any:
        """Make a client and start it; try again for a while.

        Raises:
            failing: it cannot be.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._connect_timeout_s
        said = explain(TimeoutError(), self.address, self._kafka)
        while True:
            found = await probe(self._kafka, self.connection(), deadline_s - loop.time())
            if isinstance(found, str):
                self._door = found
                client = make()
                try:
                    async with asyncio.timeout_at(deadline_s):
                        await client.start()
                    return client
                except (KafkaError, OSError, TimeoutError) as error:
                    await _close(client)
                    found = explain(error, self.address, self._kafka)
            said = found if found.answered else said
            if found.permanent or loop.time() + _RETRY_S >= deadline_s:
                raise failing(said.sentence, debug=said.debug)
            await asyncio.sleep(_RETRY_S)

    # -- topics -------------------------------------------------------------------------------------------------------

    async def ensure_topics(self, partitions: Mapping[str, int]) -> list[str]:
        """Make topics. Raises StartupError for one that has fewer partitions already."""
        there = await self.topics()
        missing = [topic for topic in partitions if topic not in there]
        made = await self._make_topics({topic: partitions[topic] for topic in missing}) if missing else []
        there = await self._known(partitions)
        for topic, count in partitions.items():
            if 0 < there.get(topic, 0) < count:
                raise StartupError(
                    f"The topic {topic} has {there[topic]} partitions, and {count} are wanted (eventlog.partitions): "
                    "stop all producers and consumers, then run: airnode pipeline init --grow"
                )
        return made

    async def _known(self, partitions: Mapping[str, int]) -> dict[str, int]:
        """All topics, once these have so many partitions, or do not get them: brokers hear of it one after another."""
        deadline_s = asyncio.get_running_loop().time() + _KNOWN_WITHIN_S
        while True:
            there = await self.topics()
            if all(there.get(topic, 0) >= count for topic, count in partitions.items()):
                return there
            if asyncio.get_running_loop().time() > deadline_s:
                return there
            await asyncio.sleep(_RETRY_S)

    async def _make_topics(self, partitions: Mapping[str, int]) -> list[str]:
        """Returns those that were not there."""
        copies = self._kafka.replication_factor or min(_COPIES, await self._broker_count())
        with self._available():
            answer = await self._cluster().create_topics(
                [NewTopic(t, n, copies, topic_configs=_TOPIC) for t, n in partitions.items()]
            )
        made = []
        for topic, code, *words in answer.topic_errors:
            error = for_code(code)
            if not code:
                made.append(topic)
            elif issubclass(error, MISSING_RIGHTS):
                raise StartupError(f"{self.address} {missing_right(error(topic))}")
            elif error is not TopicAlreadyExistsError:
                raise StartupError(f"{self.address} does not make the topic {topic}: {error.__name__} {words}.")
        return made

    async def grow_topics(self, partitions: Mapping[str, int]) -> None:
        """Give topics more partitions. Keys move to others: nobody may publish meanwhile, to keep their order."""
        there = await self.topics()
        wanted = {t: NewPartitions(count) for t, count in partitions.items() if 0 < there.get(t, 0) < count}
        with self._available():
            if wanted:
                await self._cluster().create_partitions(wanted)

    async def topics(self) -> dict[str, int]:
        """All topics, {name: partitions}."""
        with self._available():
            described = await self._cluster().describe_topics()
        return {each["topic"]: len(each["partitions"]) for each in described if not each["error_code"]}

    async def partitions_of(self, topics: Sequence[str]) -> list[Partition]:
        """All partitions of these topics.

        Raises:
            StartupError: there is no such topic.
        """
        deadline_s = asyncio.get_running_loop().time() + _KNOWN_WITHIN_S
        while missing := set(topics) - (there := await self.topics()).keys():
            if asyncio.get_running_loop().time() > deadline_s:
                raise StartupError(f"There is no topic {min(missing)}: make the topics with: airnode pipeline init")
            await asyncio.sleep(_RETRY_S)
        return [Partition(topic, number) for topic in topics for number in range(there[topic])]

    async def may_join(self, group: str) -> None:
        """Raises StartupError where our user may not be a member of the group."""
        try:
            await self._cluster().find_coordinator(group)
        except GroupAuthorizationFailedError as error:
            raise StartupError(f"{self.address} {missing_right(GroupAuthorizationFailedError(group))}") from error
        except (KafkaError, OSError, TimeoutError) as error:  # a member that joins waits for it
            log.info("eventlog_group_not_found", group=group, error=repr(error))

    async def _broker_count(self) -> int:
        with self._available():
            return len((await self._cluster().describe_cluster())["brokers"])

    # -- publishing ---------------------------------------------------------------------------------------------------

    async def publish(self, records: Sequence[Record]) -> None:
        """Store all, in as few batches as they fit in; waits while too many bytes are under way."""
        check_sizes(records, self._section.max_record_bytes)
        batches = self._batches or await self._make_producer()
        async with self._in_flight.reserve(sum(len(record.value) for record in records)):
            with self._available():
                try:
                    await batches.publish(records)
                except KafkaError:
                    self._retire(batches)
                    raise
        for topic in {record.topic for record in records}:
            self._metrics.published.labels(topic).inc(sum(record.topic == topic for record in records))

    async def _make_producer(self) -> KafkaBatches:
        made = await self._connected(
            lambda: AIOKafkaProducer(
                **self.connection(),
                acks="all",
                enable_idempotence=True,
                linger_ms=_LINGER_MS,
                max_batch_size=max(_BATCH_BYTES, self._section.max_record_bytes + _FRAME_BYTES),
                max_request_size=max(1 << 20, self._section.max_record_bytes + _FRAME_BYTES),
            ),
            Unavailable,
        )
        if (theirs := self._batches) is not None:  # two came at once
            await made.stop()
            return theirs
        self._batches = KafkaBatches(made)
        return self._batches

    def _retire(self, batches: KafkaBatches) -> None:
        """Take another producer from now on: one that failed has a gap in its numbers, and Kafka takes none after it.

        aiokafka tries again by itself what may still come; only what it has given up comes here.
        """
        if self._batches is not None and self._batches is batches:
            self._batches = None
            retiring = self._tasks.spawn("retire", batches.stop())
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)

    # -- reading ------------------------------------------------------------------------------------------------------

    def subscribe(self, topics: Sequence[str], group: str, rebalancing: Rebalancing | None = None) -> KafkaSubscription:
        """A new member of the group."""
        return KafkaSubscription(self, self._section, self._metrics, topics, group, rebalancing)

    async def consumer(self, **arguments: Any) -> AIOKafkaConsumer:
        """A connected consumer. Raises StartupError."""
        made: AIOKafkaConsumer = await self._connected(lambda: AIOKafkaConsumer(**self.connection(), **arguments))
        return made

    async def lag(self, group: str, topics: Sequence[str]) -> dict[Partition, Lag]:
        """How far the group is behind."""
        partitions = await self.partitions_of(topics)
        wanted = [TopicPartition(*each) for each in partitions]
        with self._available():
            committed = await self._cluster().list_consumer_group_offsets(group)
            reader = await self._offsets_reader()
            begins, ends = await reader.beginning_offsets(wanted), await reader.end_offsets(wanted)
        found = {}
        for partition, tp in zip(partitions, wanted, strict=True):
            known = committed.get(tp)
            position = known.offset if known is not None and known.offset >= 0 else begins[tp]
            found[partition] = Lag(position, ends[tp], max(0, ends[tp] - position))
        return found

    async def _offsets_reader(self) -> AIOKafkaConsumer:
        """A consumer of no group, kept for asking where partitions begin and end."""
        if self._reader is None:
            made = await self.consumer()
            if self._reader is not None:  # two came at once
                await made.stop()
            else:
                self._reader = made
        return self._reader

    def _cluster(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            raise Unavailable("Kafka is not connected.")
        return self._admin

    @contextlib.contextmanager
    def _available(self) -> Iterator[None]:
        """Turn what aiokafka raises into errors of ours."""
        try:
            yield
        except AirnodeError:
            raise
        except MessageSizeTooLargeError as error:
            raise TooLarge("Kafka refuses a record of this size: see max.message.bytes of the topic.") from error
        except InvalidTimestampError as error:
            raise Unavailable(
                "Kafka refuses records with this machine's time: set its clock right, or give the topics "
                "message.timestamp.type=LogAppendTime, as those have that airnode makes.",
                debug=repr(error),
            ) from error
        except UnknownTopicOrPartitionError as error:
            raise StartupError("There is no such topic: make the topics with: airnode pipeline init") from error
        except MISSING_RIGHTS as error:
            raise Unavailable(f"{self.address} {missing_right(error)}", debug=repr(error)) from error
        except (KafkaError, KafkaConnectionError, OSError, TimeoutError) as error:
            raise Unavailable("Kafka does not answer.", debug=repr(error)) from error


async def _close(client: Any) -> None:
    """Give back what a client opened before its start failed."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError, AssertionError):
        async with asyncio.timeout(2):
            await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
