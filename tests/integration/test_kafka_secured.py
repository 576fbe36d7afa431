"""Kafka with TLS, accounts and rights: that it works, and what is said where it does not."""

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
from tests.support.kafka_secured import GUEST, GUEST_PASSWORD, PASSWORD, SecuredKafka, flags, opened
from tests.support.tls import Authority

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("all_closed")]

#: Longest wait for a broker that cannot be used: where that is sure, and where it may change.
PATIENCE_S, SHORT_S = 20.0, 2.0


async def barred(kafka: KafkaSection, patience_s: float = PATIENCE_S) -> str:
    """What is said of a Kafka that cannot be used; within the time for it."""
    with pytest.raises(StartupError) as caught:
        async with asyncio.timeout(patience_s + 10), opened(kafka, patience_s):
            pass
    if password := kafka.sasl_password.get_secret_value():
        assert password not in caught.value.detail + caught.value.debug
    return caught.value.detail


@pytest.mark.parametrize(
    ("listener", "settings"),
    [
        ("SIGNED", {"sasl_mechanism": "PLAIN"}),
        ("SIGNED", {"sasl_mechanism": "SCRAM-SHA-256"}),
        ("SIGNED", {"sasl_mechanism": "SCRAM-SHA-512"}),
        ("OPEN", {}),
        ("TLS", {}),
        ("MUTUAL", {"ours": True}),
    ],
)
async def test_records_go_in_and_come_out(secured_kafka: SecuredKafka, listener: str, settings: dict):
    if settings.pop("ours", False):
        settings |= dict(zip(("tls_cert", "tls_key"), secured_kafka.ours, strict=True))
    topic, group = uuid.uuid4().hex, uuid.uuid4().hex
    async with opened(secured_kafka.section(listener, **settings)) as log:
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
    """Something that an operator gets wrong.

    Attributes:
        says: what the sentence has in it.
    """

    listener: str
    says: str
    settings: dict[str, object] = dataclasses.field(default_factory=dict)
    host: str = "127.0.0.1"


WRONG = {
    "password": Wrong(
        "SIGNED",
        "does not let 'air' sign in with SCRAM-SHA-512: check kafka.sasl_username, kafka.sasl_password",
        {"sasl_password": "a.wrong.one"},
    ),
    "password, PLAIN": Wrong(
        "SIGNED", "does not let 'air' sign in with PLAIN", {"sasl_password": "a.wrong.one", "sasl_mechanism": "PLAIN"}
    ),
    "user": Wrong("OPEN", "does not let 'nobody' sign in", {"sasl_username": "nobody"}),
    "mechanism": Wrong(
        "OPEN", "set kafka.sasl_mechanism to SCRAM-SHA-256 or SCRAM-SHA-512", {"sasl_mechanism": "PLAIN"}
    ),
    "authority": Wrong(
        "SIGNED", "of nobody we trust (unable to get local issuer certificate): set kafka.tls_ca", {"tls_ca": "other"}
    ),
    "system's authorities": Wrong("TLS", "set kafka.tls_ca", {"tls_ca": None}),
    "host name": Wrong(
        "SIGNED",
        "shows a certificate for another name (Hostname mismatch, certificate is not valid "
        "for 'localhost'): put the name that it is for into kafka.bootstrap",
        host="localhost",
    ),
    "date": Wrong("EXPIRED", "has expired: have it renewed"),
    "no certificate of ours": Wrong(
        "MUTUAL", "wants to see a certificate of ours: set kafka.tls_cert and kafka.tls_key"
    ),
    "certificate of ours": Wrong("MUTUAL", "does not accept our certificate", {"tls_cert": "other"}),
    "PLAINTEXT to TLS": Wrong(
        "TLS", "speaks TLS only: set kafka.security_protocol to SSL or SASL_SSL", {"security_protocol": "PLAINTEXT"}
    ),
    "SASL_PLAINTEXT to SASL_SSL": Wrong(
        "SIGNED", "speaks TLS only: set kafka.security_protocol to SASL_SSL.", {"security_protocol": "SASL_PLAINTEXT"}
    ),
    "an account where there are none": Wrong(
        "TLS", "has no accounts on this port: set kafka.security_protocol to SSL", {"security_protocol": "SASL_SSL"}
    ),
}
#: What may be otherwise in a moment, as when a broker starts: it is waited for.
PERHAPS = {
    "TLS to PLAINTEXT": Wrong("PLAINTEXT", "does not speak TLS as we do", {"security_protocol": "SSL"}),
    "SASL_SSL to SASL_PLAINTEXT": Wrong(
        "OPEN", "set kafka.security_protocol to SASL_PLAINTEXT", {"security_protocol": "SASL_SSL"}
    ),
    "none where there are accounts": Wrong(
        "SIGNED",
        "hangs up: set kafka.security_protocol to what this port is for, and to SASL_SSL where it wants us to sign in",
        {"security_protocol": "SSL"},
    ),
    "advertised address": Wrong(
        "ASTRAY", "sends us on to 127.0.0.1:1 (its advertised.listeners), which does not answer"
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
async def test_what_is_wrong_is_a_sentence_that_says_what_to_do(
    secured_kafka: SecuredKafka, tmp_path: Path, wrong: Wrong
):
    said = await barred(section_of(wrong, secured_kafka, tmp_path))
    assert said.startswith("Kafka at ")
    assert wrong.says in said


async def test_what_may_pass_is_tried_again_and_is_a_sentence_in_the_end(secured_kafka: SecuredKafka, tmp_path: Path):
    all_said = await asyncio.gather(
        *(barred(section_of(wrong, secured_kafka, tmp_path), SHORT_S) for wrong in PERHAPS.values())
    )
    for wrong, said in zip(PERHAPS.values(), all_said, strict=True):
        assert said.startswith("Kafka at ")
        assert wrong.says in said


async def test_a_broker_that_never_answers_does_not_hide_one_that_does(secured_kafka: SecuredKafka):
    """The first accepts connections and says nothing, as a machine does that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        good = secured_kafka.section("PLAINTEXT").bootstrap
        async with opened(secured_kafka.section("PLAINTEXT", bootstrap=(address, *good))) as log:
            await log.topics()
        locked = secured_kafka.section("SIGNED", sasl_password="a.wrong.one")
        silence, refusal = await asyncio.gather(
            barred(secured_kafka.section("PLAINTEXT", bootstrap=(address,)), SHORT_S),
            barred(locked.model_copy(update={"bootstrap": (address, *locked.bootstrap)}), SHORT_S),
        )
        assert f"Kafka at {address} does not answer" in silence
        assert "sign in" in refusal


async def test_files_that_are_no_certificates(secured_kafka: SecuredKafka, tmp_path: Path):
    said = await barred(secured_kafka.section("TLS", tls_ca=tmp_path / "none.pem"))
    assert said == f"The certificates {tmp_path}/none.pem cannot be used: No such file or directory (kafka.tls_ca)."
    (tmp_path / "text.pem").write_text("no certificate")
    assert "cannot be used" in await barred(secured_kafka.section("TLS", tls_ca=tmp_path / "text.pem"))
    _, key = secured_kafka.ours
    said = await barred(secured_kafka.section("MUTUAL", tls_cert=tmp_path / "text.pem", tls_key=key))
    assert "(kafka.tls_cert, kafka.tls_key)" in said


# -- through the binary -----------------------------------------------------------------------------------------------


async def test_a_role_that_is_not_let_in_says_one_sentence_and_ends(
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
    wrong.append(secured_kafka.section("SIGNED", sasl_username=GUEST, sasl_password=GUEST_PASSWORD))  # has no rights
    for number, kafka in enumerate(wrong):
        args = ["pipeline", "init"] if number == 0 else ["--role", "producer" if number % 2 else "consumer"]
        shared = command[:4] if number == 0 else command
        code, out, err = await forker.run(*args, *shared, *flags(kafka))
        assert code == 2, (out, err)
        (line,) = [each for each in err.splitlines() if each.startswith("airnode: ")]
        assert line.startswith(f"airnode: Kafka at {kafka.bootstrap[0]} ")
        assert "Traceback" not in err
        assert kafka.sasl_password.get_secret_value() not in out + err


async def test_the_password_is_in_no_log_and_in_no_listing(
    forker: Forker, secured_kafka: SecuredKafka, postgres_url: str
):
    kafka = secured_kafka.section("SIGNED", sasl_mechanism="PLAIN")
    code, out, err = await forker.run(
        "pipeline", "init", "--postgres-url", postgres_url, "--log-level", "debug", *flags(kafka)
    )
    assert code == 0, err
    assert PASSWORD not in out + err
    for how in ("show", "check"):
        code, out, err = await forker.run("config", how, *flags(kafka))
        assert code == 0, err
        assert PASSWORD not in out + err
