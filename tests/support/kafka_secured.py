"""A Kafka broker with TLS, accounts and rights, with one listener for each log_backend to connect."""

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from prometheus_client import CollectorRegistry

from airnode.config.sections.eventlog import EventLogSection
from airnode.config.sections.kafka import KafkaSection
from airnode.store.eventlog.kafka_log import KafkaLog
from airnode.store.eventlog.log import EventLogMetrics
from tests.support.kafka import Kafka, fetch_jars, unavailable_reason
from tests.support.ports import free_ports
from tests.support.tls import Authority
from tests.support.waiting import eventually

USER = "air"
PASSWORD = "the.password.of=air"
#: Has all rights, but no account until a test creates it.
TEMPORARY_USER = "traveller"
#: Has an account, but no rights until a test grants them.
GUEST, GUEST_PASSWORD = "guest", "a.guest.of.the.house"

#: {listener: security protocol}
_LISTENERS = {
    "PLAINTEXT": "PLAINTEXT",
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "SASL_SSL": "SASL_SSL",
    "SASL_PLAINTEXT": "SASL_PLAINTEXT",
    "WRONG_ADDRESS": "PLAINTEXT",
    "EXPIRED": "SSL",
}
_LOGIN = "org.apache.kafka.common.security"
_PROPERTIES = f"""
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
num.partitions=3
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=200
controller.quorum.election.timeout.ms=500
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{USER};User:{TEMPORARY_USER};User:CN=airnode
ssl.keystore.type=PEM
ssl.truststore.type=PEM
listener.name.mutual.ssl.client.auth=required
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config={_LOGIN}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";
listener.name.sasl_plaintext.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;
"""
_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")


class SecuredKafka(Kafka):
    """One broker. ``USER``, clients with the certificate ``airnode`` and clients without an account have all rights."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, brokers=1)
        self.authority = Authority(directory / "tls")
        #: Certificate and key for the listener MUTUAL.
        self.client_certificate = self.authority.issue("airnode")
        taken = {*self._ports.values(), *self._controller_ports.values()}
        others = [port for port in free_ports(len(_LISTENERS) + len(taken)) if port not in taken]
        self._listeners = dict(zip(_LISTENERS, [self._ports[1], *others], strict=False))

    def broker(self, listener: str, host: str = "127.0.0.1") -> str:
        """Return the address of a listener."""
        return f"{host}:{self._listeners[listener]}"

    def section(self, listener: str, host: str = "127.0.0.1", **settings: object) -> KafkaSection:
        """Return the configuration for a listener; ``settings`` override single keys."""
        protocol = str(settings.get("security_protocol", _LISTENERS[listener]))
        usual: dict[str, object] = {"bootstrap": (self.broker(listener, host),), "security_protocol": protocol}
        if protocol.endswith("SSL"):
            usual["tls_ca"] = self.authority.cert
        if protocol.startswith("SASL"):
            usual |= {"sasl_username": USER, "sasl_password": PASSWORD}
        return KafkaSection.model_validate({**usual, **settings})

    def set_password(self, user: str, password: str) -> None:
        """Set a password for SCRAM-SHA-512; an empty one deletes the account."""
        mechanism = ScramMechanism.SCRAM_SHA_512
        change = (
            UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), password.encode())
            if password
            else UserScramCredentialDeletion(user, mechanism)
        )
        admin = self._admin()
        for done in admin.alter_user_scram_credentials([change]).values():
            done.result(20)

    def allow(self, user: str, operation: str, topic: str = "", group: str = "") -> None:
        """Grant an operation (READ, WRITE, DESCRIBE, …) on a topic or a group."""
        kind = ResourceType.TOPIC if topic else ResourceType.GROUP
        right = AclBinding(
            kind,
            topic or group,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )
        admin = self._admin()
        for done in admin.create_acls([right]).values():
            done.result(20)

    def deny_all(self, group: str) -> None:
        """Revoke all rights on a group."""
        rights = AclBindingFilter(
            ResourceType.GROUP, group, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY
        )
        admin = self._admin()
        for done in admin.delete_acls([rights]).values():
            done.result(20)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.broker("PLAINTEXT"), "log_level": 0})

    def _properties(self, node_id: int) -> str:
        directory, controller = self._directory_of(node_id), self._controller_ports[node_id]
        advertised = {**self._listeners, "WRONG_ADDRESS": 1}
        kinds = {**_LISTENERS, "CONTROLLER": "PLAINTEXT"}
        good, expired = self._keystore("broker", 1), self._keystore("expired", -1)
        return _PROPERTIES + "\n".join(
            (
                f"controller.quorum.voters=1@127.0.0.1:{controller}",
                f"listeners={_addresses({**self._listeners, 'CONTROLLER': controller})}",
                f"advertised.listeners={_addresses(advertised)}",
                "listener.security.protocol.map=" + ",".join(f"{name}:{kind}" for name, kind in kinds.items()),
                f"log.dirs={directory}/data",
                f"ssl.keystore.location={good}",
                f"ssl.truststore.location={self.authority.cert}",
                f"listener.name.expired.ssl.keystore.location={expired}",
                "listener.name.expired.ssl.keystore.type=PEM",
            )
        )

    def _keystore(self, name: str, for_days: int) -> Path:
        """Write key and certificate into one file, and return its path."""
        cert, key = self.authority.issue(name, "127.0.0.1", for_days=for_days)
        both = self.authority.folder / f"{name}.keystore.pem"
        both.write_bytes(key.read_bytes() + cert.read_bytes())
        return both

    def _format_options(self) -> list[str]:
        accounts = ((USER, PASSWORD), (GUEST, GUEST_PASSWORD))
        return [
            part
            for mechanism in _MECHANISMS
            for name, password in accounts
            for part in ("--add-scram", f'{mechanism}=[name="{name}",password="{password}"]')
        ]


def _addresses(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


@contextlib.asynccontextmanager
async def open_kafka_log(kafka: KafkaSection, connect_timeout_s: float = 20.0) -> AsyncIterator[KafkaLog]:
    """Yield a started event log."""
    section = EventLogSection(session_timeout_s=2, request_timeout_s=connect_timeout_s)
    log = KafkaLog(kafka, section, EventLogMetrics(CollectorRegistry()), connect_timeout_s=connect_timeout_s)
    try:
        await log.start()
        yield log
    finally:
        await log.stop()


def flags(kafka: KafkaSection) -> list[str]:
    """Return the command line arguments for this configuration."""
    values = kafka.model_dump(mode="json", exclude_defaults=True)
    if password := kafka.sasl_password.get_secret_value():
        values["sasl_password"] = password
    lists = {"bootstrap": ",".join(kafka.bootstrap)}
    return [part for name, value in {**values, **lists}.items() for part in ("--set", f"kafka.{name}={value}")]


def environment(kafka: KafkaSection) -> dict[str, str]:
    """Return the environment variables for this configuration, as deployments use them."""
    names = {"kafka.bootstrap": "KAFKA_BOOTSTRAP_SERVERS"}
    pairs = (each.split("=", 1) for each in flags(kafka)[1::2])
    by_key = {names.get(key, f"AIRNODE_{key.upper().replace('.', '__')}"): value for key, value in pairs}
    return {**by_key, "KAFKA_ENABLED": "true"}


@pytest.fixture(scope="session")
def secured_kafka() -> Iterator[SecuredKafka]:
    """Yield the broker. It starts at the first use and is shared by all tests; use new topics and groups."""
    if reason := unavailable_reason():
        pytest.skip(reason)
    fetch_jars()
    with tempfile.TemporaryDirectory(prefix="airnode-kafka-", ignore_cleanup_errors=True) as directory:
        broker = SecuredKafka(Path(directory))
        try:
            broker.start()
            yield broker
        finally:
            broker.close()


@pytest.fixture
async def connections_closed() -> AsyncIterator[None]:
    """Wait after the test until all connections are closed. aiokafka closes refused connections in the background."""
    yield
    loop = asyncio.get_running_loop()
    await eventually(
        lambda: not [each for each in list(loop._transports.values()) if each._sock is not None],  # type: ignore[attr-defined]
        45,
        "all connections are closed",
    )


@dataclass(frozen=True)
class LogBackend:
    """The event log that the processes under test use.

    Attributes:
        env: environment variables of a process.
        rig_arguments: arguments of a ``LogRig`` on the same log.
    """

    kind: str
    env: dict[str, str]
    rig_arguments: dict[str, Any]


@pytest.fixture(params=["streams", "kafka"])
def log_backend(request: pytest.FixtureRequest, valkey_url: str) -> LogBackend:
    """Return Redis Streams, then a secured Kafka. Topics on Kafka have records of other tests, so the group is new."""
    env = {"JWT_SECRET_KEY": "0123456789abcdef" * 4, "REDIS_URL": valkey_url}
    if request.param == "streams":
        return LogBackend("streams", env, {"redis_url": valkey_url})
    kafka: SecuredKafka = request.getfixturevalue("secured_kafka")
    env |= {"AIRNODE_PIPELINE__GROUP": f"pupils-{uuid.uuid4().hex[:8]}", **environment(kafka.section("SASL_SSL"))}
    return LogBackend("kafka", env, {"bootstrap": (kafka.broker("PLAINTEXT"),)})
