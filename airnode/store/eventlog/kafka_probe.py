"""Tests the connection to Kafka, and explains in one sentence why a broker cannot be used.

aiokafka only logs the reason, and then raises the same error for all reasons. So this module opens connections itself.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from airnode.config.sections.kafka import KafkaSection
from airnode.errors import StartupError
from airnode.kernel.tasks import TaskScope
from airnode.kernel.tls import error_reason, load_certificate
from airnode.kernel.urls import host_port

#: Errors of a user that lacks a right.
MISSING_RIGHTS = (ClusterAuthorizationFailedError, GroupAuthorizationFailedError, TopicAuthorizationFailedError)
_CLOSE_S = 1.0
#: OpenSSL's X509_V_ERR_*: the certificate has expired; it is for another host name, or for another IP address.
_EXPIRED, _OTHER_NAMES = 10, (62, 64)
#: The first bytes of a TLS alert (RFC 8446, 5.1), read as the length of an answer: content type 21, version 3.x.
_TLS_ALERT = 0x1503
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class KafkaRefused:
    """The reason why Kafka cannot be used.

    Attributes:
        sentence: the reason, and what to do.
        permanent: a retry does not help; a setting has to change first.
        answered: a server answered.
    """

    sentence: str
    permanent: bool
    answered: bool = True
    debug: str = ""


def tls_context(kafka: KafkaSection) -> ssl.SSLContext | None:
    """Return the TLS context, with our certificate if one is configured; None without TLS. Reads files.

    Raises:
        StartupError: a file is missing, unreadable, encrypted, or contains something else.
    """
    if not kafka.security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=kafka.tls_ca)
    except OSError as error:
        raise StartupError(
            f"The certificates {kafka.tls_ca} cannot be used: {error_reason(error)} (kafka.tls_ca)."
        ) from None
    if kafka.tls_cert is not None and kafka.tls_key is not None:
        load_certificate(context, kafka.tls_cert, kafka.tls_key, "kafka")
    return context


async def probe(kafka: KafkaSection, arguments: Mapping[str, Any], within_s: float) -> str | KafkaRefused:
    """Return the first broker of ``kafka.bootstrap`` that accepts us, or the reason why none does.

    Signs in to all brokers at the same time.

    Args:
        arguments: keyword arguments of an aiokafka client.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    tasks, refusals = TaskScope("kafka-probe"), list[KafkaRefused]()
    pending = {tasks.spawn(each, _probe_broker(each, kafka, arguments)) for each in kafka.bootstrap}
    try:
        while pending:
            left_s = max(0.0, deadline_s - loop.time())
            done, pending = await asyncio.wait(pending, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            for found in [each.result() for each in done]:
                if isinstance(found, str):
                    return found
                refusals.append(found)
            if not done:
                refusals.append(explain(TimeoutError(), f"Kafka at {', '.join(kafka.bootstrap)}", kafka))
                break
    finally:
        await tasks.aclose()
    return max(refusals, key=lambda each: (each.permanent, each.answered))


async def _probe_broker(broker: str, kafka: KafkaSection, arguments: Mapping[str, Any]) -> str | KafkaRefused:
    """Return the address of the broker, or the reason why it cannot be used."""
    try:
        async with _connection(broker, arguments) as connection:
            known = (await connection.send(MetadataRequest([]))).brokers
    except (KafkaError, OSError, TimeoutError, ValueError) as error:
        return explain(error, f"Kafka at {broker}", kafka)
    others = {host_port(host, port) for _, host, port, *_ in known}
    if not others or broker in others:
        return broker
    return await _probe_advertised(broker, sorted(others), kafka, arguments)


async def _probe_advertised(
    broker: str, others: list[str], kafka: KafkaSection, arguments: Mapping[str, Any]
) -> str | KafkaRefused:
    """Return the address of the broker if one of its advertised addresses can be used, else the reason why not."""
    refused = None
    for other in others:
        try:
            async with _connection(other, arguments):
                return broker
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            refusal = explain(
                error, f"Kafka at {broker} sends us on to {other} (its advertised.listeners), which", kafka
            )
            refused = refused or refusal
    assert refused is not None  # noqa: S101 - others is not empty
    return refused


@contextlib.asynccontextmanager
async def _connection(broker: str, arguments: Mapping[str, Any]) -> AsyncIterator[AIOKafkaConnection]:
    """Yield a connection that has signed in."""
    host, _, port = broker.rpartition(":")
    options = {
        name: value for name, value in arguments.items() if name not in ("bootstrap_servers", "metadata_max_age_ms")
    }
    connection = await create_conn(host.strip("[]"), int(port), **options)
    try:
        yield connection
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await connection.close()


def explain(error: Exception, where: str, kafka: KafkaSection) -> KafkaRefused:
    """Return the explanation of an error.

    Args:
        where: the start of the sentence, such as ``Kafka at <address>``.
    """
    reason, permanent = _explain(error, kafka)
    return KafkaRefused(f"{where} {reason}", permanent, not isinstance(error, TimeoutError), repr(error))


def _explain(error: Exception, kafka: KafkaSection) -> tuple[str, bool]:
    protocol, mechanism = kafka.security_protocol, kafka.sasl_mechanism
    match error:
        case ssl.SSLCertVerificationError():
            return _explain_certificate(error), True
        case SaslAuthenticationFailed() | AuthenticationFailedError():
            return (
                f"does not let {kafka.sasl_username!r} sign in with {mechanism}: check kafka.sasl_username, "
                "kafka.sasl_password and kafka.sasl_mechanism."
            ), True
        case UnsupportedSaslMechanismError():
            others = " or ".join(each for each in _MECHANISMS if each != mechanism)
            return f"does not let anybody sign in with {mechanism}: set kafka.sasl_mechanism to {others}.", True
        case IllegalSaslStateError():
            plain = protocol.removeprefix("SASL_")
            return f"has no accounts on this port: set kafka.security_protocol to {plain}, or name another port.", True
        case ClusterAuthorizationFailedError() | GroupAuthorizationFailedError() | TopicAuthorizationFailedError():
            return missing_right(error), True
        case KafkaConnectionError():
            return _explain_closed_connection(error, kafka)
        case ssl.SSLError() | ConnectionResetError() | ConnectionAbortedError() if protocol.endswith("SSL"):
            open_ = "SASL_PLAINTEXT" if protocol.startswith("SASL") else "PLAINTEXT"
            return (
                f"does not speak TLS as we do ({error_reason(error)}): name its TLS port in kafka.bootstrap, or set "
                f"kafka.security_protocol to {open_} where it has none."
            ), False
        case socket.gaierror():
            return f"is not found ({error.strerror}): check kafka.bootstrap (KAFKA_BOOTSTRAP_SERVERS).", False
        case OSError() | TimeoutError():
            return (
                "does not answer: check kafka.bootstrap (KAFKA_BOOTSTRAP_SERVERS), or leave it out to keep the event "
                "log in the Redis."
            ), False
        case ValueError():
            return "does not know the password itself: see who answers there (kafka.bootstrap).", True
    return f"refuses us: {error}.", False


def _explain_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _OTHER_NAMES:
        return (
            f"shows a certificate for another name ({error.verify_message.rstrip('.')}): put the name that it is for "
            "into kafka.bootstrap and the brokers' advertised.listeners, or have one made for this name."
        )
    if error.verify_code == _EXPIRED:
        return "shows a certificate that has expired: have it renewed."
    return (
        f"shows a certificate of nobody we trust ({error.verify_message.rstrip('.')}): set kafka.tls_ca to the PEM "
        "certificate of the authority that signed it."
    )


def _explain_closed_connection(error: KafkaConnectionError, kafka: KafkaSection) -> tuple[str, bool]:
    protocol, cause = kafka.security_protocol, error.__cause__
    signs_in = protocol.startswith("SASL")
    if isinstance(cause, ssl.SSLError):
        if kafka.tls_cert is None:
            return "wants to see a certificate of ours: set kafka.tls_cert and kafka.tls_key.", True
        return (
            f"does not accept our certificate ({error_reason(cause)}): set kafka.tls_cert and kafka.tls_key to one of "
            "an authority that it trusts."
        ), True
    if isinstance(cause, asyncio.IncompleteReadError) and (cause.expected or 0) >> 16 == _TLS_ALERT:
        return f"speaks TLS only: set kafka.security_protocol to {'SASL_SSL' if signs_in else 'SSL or SASL_SSL'}.", True
    wanted = "" if signs_in else f", and to SASL_{protocol} where it wants us to sign in"
    return f"hangs up: set kafka.security_protocol to what this port is for{wanted}.", False


def missing_right(error: KafkaError) -> str:
    """Return the end of a sentence, with the right that our user lacks. The sentence starts with Kafka's address."""
    what = error.args[0] if error.args else ""
    names = ", ".join(sorted(map(str, what))) if isinstance(what, set | frozenset | list | tuple) else str(what)
    match error:
        case TopicAuthorizationFailedError():
            which = f"the topic {names}" if names else "its topics"
            return (
                f"does not let us use {which}: give our user Describe, Read and Write, and Create if it is to be made."
            )
        case GroupAuthorizationFailedError():
            return f"does not let us join the group {names}: give our user Read on it."
    return "does not let us publish: give our user Write on the topics, and IdempotentWrite on the cluster before 2.8."
