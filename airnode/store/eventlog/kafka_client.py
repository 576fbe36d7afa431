"""The connection to Kafka: the administration client, the topics, and how other clients connect.

aiokafka has separate client classes for administration, producing and consuming. All of them connect through this file.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
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

from airnode.config.sections.kafka import KafkaSection
from airnode.errors import AirnodeError, StartupError, TooLarge, Unavailable
from airnode.kernel.trouble import Trouble
from airnode.store.eventlog.kafka_probe import probe, tls_context
from airnode.store.eventlog.kafka_refused import MISSING_RIGHTS, KafkaRefused, explain, missing_right
from airnode.store.eventlog.log import Partition

log = structlog.get_logger(__name__)

_RETRY_S = 0.2
#: Time limit of the probe within a health check.
_PING_PROBE_S = 1.0
#: Longest time until all brokers know a topic that one of them has created.
_TOPIC_KNOWN_S = 3.0
_MAX_REPLICAS = 3
#: Kafka sets the time of each record. If producers set it, Kafka would reject records when a producer's clock is ahead,
#: and delete records too early when it is behind.
_TOPIC_CONFIG = {"message.timestamp.type": "LogAppendTime"}


class KafkaClient:
    """The connection of this process to Kafka.

    Args:
        request_timeout_s: time limit of one request to a broker.
        connect_timeout_s: time limit for connecting a new client, with all retries.
    """

    def __init__(self, kafka: KafkaSection, request_timeout_s: float, connect_timeout_s: float) -> None:
        self._kafka = kafka
        self._request_timeout_s = request_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._tls: ssl.SSLContext | None = None
        #: The broker of kafka.bootstrap that accepted us last. With the whole list, aiokafka would also try unreachable
        #: brokers.
        self._broker = ""
        self._admin: AIOKafkaAdminClient | None = None
        #: The reason why this process cannot read in a group. The members of the group set it.
        self.trouble = Trouble()

    @property
    def address(self) -> str:
        """Return the addresses of the brokers, for logs and error messages."""
        return f"Kafka at {', '.join(self._kafka.bootstrap)}"

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the arguments that every client of aiokafka takes."""
        kafka = self._kafka
        arguments: dict[str, Any] = {
            "bootstrap_servers": [self._broker] if self._broker else list(kafka.bootstrap),
            "security_protocol": kafka.security_protocol,
            "request_timeout_ms": round(self._request_timeout_s * 1000),
            # Longest time until a client detects a new topic, or a new leader of a partition.
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
            StartupError: no broker answers in time, or the brokers refuse us.
        """
        self._tls = await asyncio.to_thread(tls_context, self._kafka)
        self._admin = await self.connect(lambda: AIOKafkaAdminClient(**self.arguments))
        log.info("eventlog_connected", address=self.address)

    async def stop(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()

    async def ping(self) -> None:
        """Raise Unavailable while no broker answers or accepts us, or while a group refuses us."""
        try:
            with self.available():
                await self.admin.describe_cluster()
        except Unavailable as error:
            found = await probe(self._kafka, self.arguments, _PING_PROBE_S)
            if isinstance(found, KafkaRefused):
                raise Unavailable(found.sentence, debug=found.debug) from error
            raise
        self.trouble.check()

    async def connect(self, make: Callable[[], Any], failing: type[AirnodeError] = StartupError) -> Any:
        """Return a started client of aiokafka. Retries until ``connect_timeout_s`` have passed.

        Args:
            make: creates a client with :attr:`arguments`.

        Raises:
            failing: no broker answers, or the brokers refuse us.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._connect_timeout_s
        reason = explain(TimeoutError(), self.address, self._kafka)
        while True:
            found = await probe(self._kafka, self.arguments, deadline_s - loop.time())
            if isinstance(found, str):
                self._broker = found
                client = make()
                try:
                    async with asyncio.timeout_at(deadline_s):
                        await client.start()
                    return client
                except (KafkaError, OSError, TimeoutError) as error:
                    await _close(client)
                    found = explain(error, self.address, self._kafka)
            reason = found if found.answered else reason
            if found.permanent or loop.time() + _RETRY_S >= deadline_s:
                raise failing(reason.sentence, debug=reason.debug)
            await asyncio.sleep(_RETRY_S)

    async def connect_consumer(self, **arguments: Any) -> AIOKafkaConsumer:
        """Return a connected consumer. Raises StartupError."""
        consumer: AIOKafkaConsumer = await self.connect(lambda: AIOKafkaConsumer(**self.arguments, **arguments))
        return consumer

    @property
    def admin(self) -> AIOKafkaAdminClient:
        """Return the administration client. Raises Unavailable before the start and after the stop."""
        if self._admin is None:
            raise Unavailable("Kafka is not connected.")
        return self._admin

    @contextlib.contextmanager
    def available(self) -> Iterator[None]:
        """Translate aiokafka's errors.

        Raises:
            TooLarge: a record is too large for its topic.
            StartupError: a topic does not exist.
            Unavailable: Kafka does not answer, or refuses something else.
        """
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

    # -- topics -------------------------------------------------------------------------------------------------------

    async def topics(self) -> dict[str, int]:
        """Return all topics, {name: number of partitions}."""
        with self.available():
            described = await self.admin.describe_topics()
        return {each["topic"]: len(each["partitions"]) for each in described if not each["error_code"]}

    async def ensure_topics(self, partitions: Mapping[str, int]) -> list[str]:
        """Create missing topics, and return them. Raises StartupError if a topic exists with fewer partitions."""
        existing = await self.topics()
        missing = [topic for topic in partitions if topic not in existing]
        created = await self._create_topics({topic: partitions[topic] for topic in missing}) if missing else []
        existing = await self._wait_for_topics(partitions)
        for topic, count in partitions.items():
            if 0 < existing.get(topic, 0) < count:
                raise StartupError(
                    f"The topic {topic} has {existing[topic]} partitions, and {count} are wanted (eventlog.partitions)"
                    ": stop all producers and consumers, then run: airnode pipeline init --grow"
                )
        return created

    async def _wait_for_topics(self, partitions: Mapping[str, int]) -> dict[str, int]:
        """Return all topics, as soon as these have the wanted partitions or ``_TOPIC_KNOWN_S`` have passed.

        A broker knows a new topic a moment after another broker has created it.
        """
        deadline_s = asyncio.get_running_loop().time() + _TOPIC_KNOWN_S
        while True:
            existing = await self.topics()
            if all(existing.get(topic, 0) >= count for topic, count in partitions.items()):
                return existing
            if asyncio.get_running_loop().time() > deadline_s:
                return existing
            await asyncio.sleep(_RETRY_S)

    async def _create_topics(self, partitions: Mapping[str, int]) -> list[str]:
        """Create topics; return those that did not exist."""
        replicas = self._kafka.replication_factor or min(_MAX_REPLICAS, await self._count_brokers())
        with self.available():
            answer = await self.admin.create_topics(
                [NewTopic(t, n, replicas, topic_configs=_TOPIC_CONFIG) for t, n in partitions.items()]
            )
        created = []
        for topic, code, *message in answer.topic_errors:
            error = for_code(code)
            if not code:
                created.append(topic)
            elif issubclass(error, MISSING_RIGHTS):
                raise StartupError(f"{self.address} {missing_right(error(topic))}")
            elif error is not TopicAlreadyExistsError:
                raise StartupError(f"{self.address} does not make the topic {topic}: {error.__name__} {message}.")
        return created

    async def grow_topics(self, partitions: Mapping[str, int]) -> None:
        """Add partitions to topics that have fewer."""
        existing = await self.topics()
        wanted = {t: NewPartitions(count) for t, count in partitions.items() if 0 < existing.get(t, 0) < count}
        with self.available():
            if wanted:
                await self.admin.create_partitions(wanted)

    async def partitions_of(self, topics: Sequence[str]) -> list[Partition]:
        """Return all partitions of these topics.

        Raises:
            StartupError: a topic does not exist.
        """
        deadline_s = asyncio.get_running_loop().time() + _TOPIC_KNOWN_S
        while missing := set(topics) - (existing := await self.topics()).keys():
            if asyncio.get_running_loop().time() > deadline_s:
                raise StartupError(f"There is no topic {min(missing)}: make the topics with: airnode pipeline init")
            await asyncio.sleep(_RETRY_S)
        return [Partition(topic, number) for topic in topics for number in range(existing[topic])]

    async def check_group_rights(self, group: str) -> None:
        """Raise StartupError if our user may not join the group."""
        try:
            await self.admin.find_coordinator(group)
        except GroupAuthorizationFailedError as error:
            raise StartupError(f"{self.address} {missing_right(GroupAuthorizationFailedError(group))}") from error
        except (KafkaError, OSError, TimeoutError) as error:  # not fatal: a joining member waits for the coordinator
            log.info("eventlog_group_not_found", group=group, error=repr(error))

    async def _count_brokers(self) -> int:
        with self.available():
            return len((await self.admin.describe_cluster())["brokers"])


async def _close(client: Any) -> None:
    """Close the connections of a client whose start failed."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError, AssertionError):
        async with asyncio.timeout(2):
            await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
