"""A Kafka as schools run it: TLS, accounts and rights. One broker that listens in every way there is."""

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
from tests.support.kafka import Kafka, fetch_jars, why_not
from tests.support.ports import free_ports
from tests.support.tls import Authority
from tests.support.waiting import eventually

USER = "air"
PASSWORD = "the.password.of=air"
#: May do all, and has no account until a test makes one.
TRAVELLER = "traveller"
#: Signs in, and may do nothing until a test says so.
GUEST, GUEST_PASSWORD = "guest", "a.guest.of.the.house"

#: {listener: security protocol}
_LISTENERS = {
    "PLAINTEXT": "PLAINTEXT",
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "SIGNED": "SASL_SSL",
    "OPEN": "SASL_PLAINTEXT",
    "ASTRAY": "PLAINTEXT",
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
super.users=User:ANONYMOUS;User:{USER};User:{TRAVELLER};User:CN=airnode
ssl.keystore.type=PEM
ssl.truststore.type=PEM
listener.name.mutual.ssl.client.auth=required
listener.name.signed.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.signed.scram-sha-256.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;
listener.name.signed.scram-sha-512.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;
listener.name.signed.plain.sasl.jaas.config={_LOGIN}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";
listener.name.open.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.open.scram-sha-512.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;
"""
_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")


class SecuredKafka(Kafka):
    """See the module. Who does not sign in and who shows a certificate of ``airnode`` may do all, as may ``USER``."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, brokers=1)
        self.authority = Authority(directory / "tls")
        #: Certificate and key that the broker knows us by.
        self.ours = self.authority.issue("airnode")
        taken = {*self._ports.values(), *self._controller_ports.values()}
        others = [port for port in free_ports(len(_LISTENERS) + len(taken)) if port not in taken]
        self._listeners = dict(zip(_LISTENERS, [self._ports[1], *others], strict=False))

    def broker(self, listener: str, host: str = "127.0.0.1") -> str:
        """The address of a listener."""
        return f"{host}:{self._listeners[listener]}"

    def section(self, listener: str, host: str = "127.0.0.1", **settings: object) -> KafkaSection:
        """How one connects there, as far as the settings do not say otherwise."""
        protocol = str(settings.get("security_protocol", _LISTENERS[listener]))
        usual: dict[str, object] = {"bootstrap": (self.broker(listener, host),), "security_protocol": protocol}
        if protocol.endswith("SSL"):
            usual["tls_ca"] = self.authority.cert
        if protocol.startswith("SASL"):
            usual |= {"sasl_username": USER, "sasl_password": PASSWORD}
        return KafkaSection.model_validate({**usual, **settings})

    def set_password(self, user: str, password: str) -> None:
        """For SCRAM-SHA-512; empty: the account is gone."""
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
        """Let a user READ, WRITE, DESCRIBE … one topic, or one group."""
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
        """Take back what was allowed on a group."""
        rights = AclBindingFilter(
            ResourceType.GROUP, group, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY
        )
        admin = self._admin()
        for done in admin.delete_acls([rights]).values():
            done.result(20)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.broker("PLAINTEXT"), "log_level": 0})

    def _properties(self, node_id: int) -> str:
        place, controller = self._place(node_id), self._controller_ports[node_id]
        advertised = {**self._listeners, "ASTRAY": 1}
        kinds = {**_LISTENERS, "CONTROLLER": "PLAINTEXT"}
        good, expired = self._keystore("broker", 1), self._keystore("expired", -1)
        return _PROPERTIES + "\n".join(
            (
                f"controller.quorum.voters=1@127.0.0.1:{controller}",
                f"listeners={_addresses({**self._listeners, 'CONTROLLER': controller})}",
                f"advertised.listeners={_addresses(advertised)}",
                "listener.security.protocol.map=" + ",".join(f"{name}:{kind}" for name, kind in kinds.items()),
                f"log.dirs={place}/data",
                f"ssl.keystore.location={good}",
                f"ssl.truststore.location={self.authority.cert}",
                f"listener.name.expired.ssl.keystore.location={expired}",
                "listener.name.expired.ssl.keystore.type=PEM",
            )
        )

    def _keystore(self, name: str, for_days: int) -> Path:
        """Key and certificate in one file."""
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
async def opened(kafka: KafkaSection, patience_s: float = 20.0) -> AsyncIterator[KafkaLog]:
    """A log on it, started.

    Args:
        patience_s: how long a broker is waited for.
    """
    section = EventLogSection(session_timeout_s=2, request_timeout_s=patience_s)
    log = KafkaLog(kafka, section, EventLogMetrics(CollectorRegistry()), connect_timeout_s=patience_s)
    try:
        await log.start()
        yield log
    finally:
        await log.stop()


def flags(kafka: KafkaSection) -> list[str]:
    """What makes airnode use it."""
    values = kafka.model_dump(mode="json", exclude_defaults=True)
    if password := kafka.sasl_password.get_secret_value():
        values["sasl_password"] = password
    lists = {"bootstrap": ",".join(kafka.bootstrap)}
    return [part for name, value in {**values, **lists}.items() for part in ("--set", f"kafka.{name}={value}")]


def environment(kafka: KafkaSection) -> dict[str, str]:
    """The same in the environment of a process, as deployments have it."""
    names = {"kafka.bootstrap": "KAFKA_BOOTSTRAP_SERVERS"}
    pairs = (each.split("=", 1) for each in flags(kafka)[1::2])
    by_key = {names.get(key, f"AIRNODE_{key.upper().replace('.', '__')}"): value for key, value in pairs}
    return {**by_key, "KAFKA_ENABLED": "true"}


@pytest.fixture(scope="session")
def secured_kafka() -> Iterator[SecuredKafka]:
    """Started when first asked for, shared by all tests: each makes topics and groups of its own."""
    if reason := why_not():
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
async def all_closed() -> AsyncIterator[None]:
    """Waits for connections to end before the loop does: aiokafka closes those that it is not let in on by the way."""
    yield
    loop = asyncio.get_running_loop()
    await eventually(
        lambda: not [each for each in list(loop._transports.values()) if each._sock is not None],  # type: ignore[attr-defined]
        45,
        "all connections are closed",
    )


@dataclass(frozen=True)
class Way:
    """Where the event log of processes is.

    Attributes:
        env: for a process. reading: for a ``LogRig`` that looks at the same log.
    """

    kind: str
    env: dict[str, str]
    reading: dict[str, Any]


@pytest.fixture(params=["streams", "kafka"])
def way(request: pytest.FixtureRequest, valkey_url: str) -> Way:
    """In the Redis, and on a secured Kafka. Its topics outlive a test: the group is new, and reads what others left."""
    env = {"JWT_SECRET_KEY": "0123456789abcdef" * 4, "REDIS_URL": valkey_url}
    if request.param == "streams":
        return Way("streams", env, {"redis_url": valkey_url})
    kafka: SecuredKafka = request.getfixturevalue("secured_kafka")
    env |= {"AIRNODE_PIPELINE__GROUP": f"pupils-{uuid.uuid4().hex[:8]}", **environment(kafka.section("SIGNED"))}
    return Way("kafka", env, {"bootstrap": (kafka.broker("PLAINTEXT"),)})
