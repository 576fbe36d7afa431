"""Kafka with TLS, accounts and rights: it works, and each wrong setting is a clear error."""

import asyncio
import dataclasses
import socket
import uuid
from pathlib import Path

import pytest

from airnode.config.sections.kafka import KafkaSection
from airnode.errors import StartupError
from airnode.store.eventlog.log import Record
from tests.support.eventlog import read
from tests.support.forking import Forker
from tests.support.kafka_secured import GUEST, GUEST_PASSWORD, PASSWORD, SecuredKafka, flags, open_kafka_log
from tests.support.tls import Authority

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("connections_closed"),
    pytest.mark.xdist_group("secured-kafka"),
]

#: Timeouts for a broker that cannot be used: for permanent errors, and for errors that are retried.
TIMEOUT_S, SHORT_TIMEOUT_S = 20.0, 2.0


async def connect_error(kafka: KafkaSection, connect_timeout_s: float = TIMEOUT_S) -> str:
    """Return the error for a Kafka that cannot be used."""
    with pytest.raises(StartupError) as caught:
        async with asyncio.timeout(connect_timeout_s + 10), open_kafka_log(kafka, connect_timeout_s):
            pass
    if password := kafka.sasl_password.get_secret_value():
        assert password not in caught.value.detail + caught.value.debug
    return caught.value.detail


@pytest.mark.parametrize(
    ("listener", "settings"),
    [
        ("SASL_SSL", {"sasl_mechanism": "PLAIN"}),
        ("SASL_SSL", {"sasl_mechanism": "SCRAM-SHA-256"}),
        ("SASL_SSL", {"sasl_mechanism": "SCRAM-SHA-512"}),
        ("SASL_PLAINTEXT", {}),
        ("TLS", {}),
        ("MUTUAL", {"own_certificate": True}),
    ],
)
async def test_records_are_published_and_read(secured_kafka: SecuredKafka, listener: str, settings: dict):
    if settings.pop("own_certificate", False):
        settings |= dict(zip(("tls_cert", "tls_key"), secured_kafka.client_certificate, strict=True))
    topic, group = uuid.uuid4().hex, uuid.uuid4().hex
    async with open_kafka_log(secured_kafka.section(listener, **settings)) as log:
        assert await log.ensure_topics({topic: 2}) == [topic]
        await log.ping()
        await log.publish([Record(topic, f"k{n}", b"%d" % n) for n in range(50)])
        member = log.subscribe([topic], group)
        await member.start()
        try:
            records = await read(member, 50)
            assert sorted(int(each.value) for each in records) == list(range(50))
            await member.commit({each.partition: each.next_offset for each in records})
            assert sum(each.records for each in (await log.lag(group, [topic])).values()) == 0
        finally:
            await member.stop()


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A wrong setting of an operator.

    Attributes:
        message: part of the error.
    """

    listener: str
    message: str
    settings: dict[str, object] = dataclasses.field(default_factory=dict)
    host: str = "127.0.0.1"


WRONG = {
    "password": Wrong(
        "SASL_SSL",
        "refuses the sign-in of 'air' with SCRAM-SHA-512: check kafka.sasl_username, kafka.sasl_password",
        {"sasl_password": "a.wrong.one"},
    ),
    "password, PLAIN": Wrong(
        "SASL_SSL",
        "refuses the sign-in of 'air' with PLAIN",
        {"sasl_password": "a.wrong.one", "sasl_mechanism": "PLAIN"},
    ),
    "user": Wrong("SASL_PLAINTEXT", "refuses the sign-in of 'nobody'", {"sasl_username": "nobody"}),
    "mechanism": Wrong(
        "SASL_PLAINTEXT", "set kafka.sasl_mechanism to SCRAM-SHA-256 or SCRAM-SHA-512", {"sasl_mechanism": "PLAIN"}
    ),
    "authority": Wrong(
        "SASL_SSL",
        "of an unknown authority (unable to get local issuer certificate): set kafka.tls_ca",
        {"tls_ca": "other"},
    ),
    "system's authorities": Wrong("TLS", "set kafka.tls_ca", {"tls_ca": None}),
    "host name": Wrong(
        "SASL_SSL",
        "has a certificate for another name (Hostname mismatch, certificate is not valid "
        "for 'localhost'): use that name in kafka.bootstrap",
        host="localhost",
    ),
    "date": Wrong("EXPIRED", "has an expired certificate: renew it"),
    "no certificate of ours": Wrong("MUTUAL", "requires a client certificate: set kafka.tls_cert and kafka.tls_key"),
    "certificate of ours": Wrong("MUTUAL", "does not accept the client certificate", {"tls_cert": "other"}),
    "PLAINTEXT to TLS": Wrong(
        "TLS", "accepts TLS only: set kafka.security_protocol to SSL or SASL_SSL", {"security_protocol": "PLAINTEXT"}
    ),
    "SASL_PLAINTEXT to SASL_SSL": Wrong(
        "SASL_SSL",
        "accepts TLS only: set kafka.security_protocol to SASL_SSL.",
        {"security_protocol": "SASL_PLAINTEXT"},
    ),
    "an account where there are none": Wrong(
        "TLS", "has no SASL on this port: set kafka.security_protocol to SSL", {"security_protocol": "SASL_SSL"}
    ),
}
#: Errors that may be over in a moment, for example while a broker starts: they are retried.
TEMPORARY = {
    "TLS to PLAINTEXT": Wrong("PLAINTEXT", "does not answer with TLS", {"security_protocol": "SSL"}),
    "SASL_SSL to SASL_PLAINTEXT": Wrong(
        "SASL_PLAINTEXT", "kafka.security_protocol to SASL_PLAINTEXT", {"security_protocol": "SASL_SSL"}
    ),
    "none where there are accounts": Wrong(
        "SASL_SSL",
        "closes the connection: set kafka.security_protocol to the protocol of this port; SASL_SSL if it requires",
        {"security_protocol": "SSL"},
    ),
    "advertised address": Wrong(
        "WRONG_ADDRESS", "advertises 127.0.0.1:1 (advertised.listeners), which does not answer"
    ),
    "name": Wrong("PLAINTEXT", "is not found", {"bootstrap": ("no-such-host.invalid:9092",)}),
    "address": Wrong(
        "PLAINTEXT",
        "Kafka at 127.0.0.1:1 does not answer: check kafka.bootstrap (KAFKA_BOOTSTRAP_SERV",
        {"bootstrap": ("127.0.0.1:1",)},
    ),
}


def section_of(wrong: Wrong, kafka: SecuredKafka, directory: Path) -> KafkaSection:
    settings = dict(wrong.settings)
    other = Authority(directory / "other", "Somebody else")
    if settings.get("tls_ca") == "other":
        settings["tls_ca"] = other.cert
    if "tls_cert" in settings:
        settings["tls_cert"], settings["tls_key"] = other.issue("airnode")
    return kafka.section(wrong.listener, wrong.host, **settings)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
async def test_the_error_for_each_wrong_setting(secured_kafka: SecuredKafka, tmp_path: Path, wrong: Wrong):
    error = await connect_error(section_of(wrong, secured_kafka, tmp_path))
    assert error.startswith("Kafka at ")
    assert wrong.message in error


async def test_temporary_errors_are_retried_and_reported_at_the_end(secured_kafka: SecuredKafka, tmp_path: Path):
    errors = await asyncio.gather(
        *(connect_error(section_of(wrong, secured_kafka, tmp_path), SHORT_TIMEOUT_S) for wrong in TEMPORARY.values())
    )
    for wrong, error in zip(TEMPORARY.values(), errors, strict=True):
        assert error.startswith("Kafka at ")
        assert wrong.message in error


async def test_a_silent_broker_does_not_hide_a_working_one(secured_kafka: SecuredKafka):
    """The first one accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        good = secured_kafka.section("PLAINTEXT").bootstrap
        async with open_kafka_log(secured_kafka.section("PLAINTEXT", bootstrap=(address, *good))) as log:
            await log.topics()
        locked = secured_kafka.section("SASL_SSL", sasl_password="a.wrong.one")
        silence, refusal = await asyncio.gather(
            connect_error(secured_kafka.section("PLAINTEXT", bootstrap=(address,)), SHORT_TIMEOUT_S),
            connect_error(locked.model_copy(update={"bootstrap": (address, *locked.bootstrap)}), SHORT_TIMEOUT_S),
        )
        assert f"Kafka at {address} does not answer" in silence
        assert "sign-in" in refusal


async def test_invalid_certificate_files(secured_kafka: SecuredKafka, tmp_path: Path):
    error = await connect_error(secured_kafka.section("TLS", tls_ca=tmp_path / "none.pem"))
    assert error == f"The certificates {tmp_path}/none.pem cannot be used: No such file or directory (kafka.tls_ca)."
    (tmp_path / "text.pem").write_text("no certificate")
    assert "cannot be used" in await connect_error(secured_kafka.section("TLS", tls_ca=tmp_path / "text.pem"))
    _, key = secured_kafka.client_certificate
    error = await connect_error(secured_kafka.section("MUTUAL", tls_cert=tmp_path / "text.pem", tls_key=key))
    assert "(kafka.tls_cert, kafka.tls_key)" in error


# -- through the binary -----------------------------------------------------------------------------------------------


async def test_a_role_that_kafka_refuses_prints_one_error_and_exits(
    forker: Forker, secured_kafka: SecuredKafka, valkey_url: str, postgres_url: str, tmp_path: Path
):
    command = [
        "--redis-url",
        valkey_url,
        "--postgres-url",
        postgres_url,
        "--port",
        "0",
        "--host",
        "127.0.0.1",
        "--log-level",
        "debug",
        "--data-dir",
        str(tmp_path / "d"),
        "--set",
        "auth.jwt_secret=" + "0123456789abcdef" * 3,
    ]
    wrong = [section_of(WRONG[name], secured_kafka, tmp_path) for name in ("password, PLAIN", "authority", "host name")]
    wrong.append(secured_kafka.section("SASL_SSL", sasl_username=GUEST, sasl_password=GUEST_PASSWORD))  # has no rights
    for number, kafka in enumerate(wrong):
        args = ["pipeline", "init"] if number == 0 else ["--role", "producer" if number % 2 else "consumer"]
        shared = command[:4] if number == 0 else command
        code, out, err = await forker.run(*args, *shared, *flags(kafka))
        assert code == 2, (out, err)
        (line,) = [each for each in err.splitlines() if each.startswith("airnode: ")]
        assert line.startswith(f"airnode: Kafka at {kafka.bootstrap[0]} ")
        assert "Traceback" not in err
        assert kafka.sasl_password.get_secret_value() not in out + err


async def test_the_password_is_never_printed(forker: Forker, secured_kafka: SecuredKafka, postgres_url: str):
    kafka = secured_kafka.section("SASL_SSL", sasl_mechanism="PLAIN")
    code, out, err = await forker.run(
        "pipeline", "init", "--postgres-url", postgres_url, "--log-level", "debug", *flags(kafka)
    )
    assert code == 0, err
    assert PASSWORD not in out + err
    for how in ("show", "check"):
        code, out, err = await forker.run("config", how, *flags(kafka))
        assert code == 0, err
        assert PASSWORD not in out + err
