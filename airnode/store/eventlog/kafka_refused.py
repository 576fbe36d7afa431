"""The sentences that say why Kafka cannot be used, and what to change."""

import asyncio
import socket
import ssl
from dataclasses import dataclass

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

from airnode.config.sections.kafka import KafkaSection
from airnode.kernel.tls import error_reason

#: Errors of a user that lacks a right.
MISSING_RIGHTS = (ClusterAuthorizationFailedError, GroupAuthorizationFailedError, TopicAuthorizationFailedError)
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
                f"refuses the sign-in of {kafka.sasl_username!r} with {mechanism}: check kafka.sasl_username, "
                "kafka.sasl_password and kafka.sasl_mechanism."
            ), True
        case UnsupportedSaslMechanismError():
            others = " or ".join(each for each in _MECHANISMS if each != mechanism)
            return f"does not support {mechanism}: set kafka.sasl_mechanism to {others}.", True
        case IllegalSaslStateError():
            plain = protocol.removeprefix("SASL_")
            return f"has no SASL on this port: set kafka.security_protocol to {plain}, or use another port.", True
        case ClusterAuthorizationFailedError() | GroupAuthorizationFailedError() | TopicAuthorizationFailedError():
            return missing_right(error), True
        case KafkaConnectionError():
            return _explain_closed_connection(error, kafka)
        case ssl.SSLError() | ConnectionResetError() | ConnectionAbortedError() if protocol.endswith("SSL"):
            open_ = "SASL_PLAINTEXT" if protocol.startswith("SASL") else "PLAINTEXT"
            return (
                f"does not answer with TLS ({error_reason(error)}): set its TLS port in kafka.bootstrap, or "
                f"kafka.security_protocol to {open_} if it has none."
            ), False
        case socket.gaierror():
            return f"is not found ({error.strerror}): check kafka.bootstrap (KAFKA_BOOTSTRAP_SERVERS).", False
        case OSError() | TimeoutError():
            return (
                "does not answer: check kafka.bootstrap (KAFKA_BOOTSTRAP_SERVERS), or remove it to keep the event log "
                "in Redis."
            ), False
        case ValueError():
            return "does not know the password: check that kafka.bootstrap is the address of your broker.", True
    return f"refuses the connection: {error}.", False


def _explain_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _OTHER_NAMES:
        return (
            f"has a certificate for another name ({error.verify_message.rstrip('.')}): use that name in "
            "kafka.bootstrap and in advertised.listeners, or give the broker a certificate for this name."
        )
    if error.verify_code == _EXPIRED:
        return "has an expired certificate: renew it."
    return (
        f"has a certificate of an unknown authority ({error.verify_message.rstrip('.')}): set kafka.tls_ca to the PEM "
        "certificate of that authority."
    )


def _explain_closed_connection(error: KafkaConnectionError, kafka: KafkaSection) -> tuple[str, bool]:
    protocol, cause = kafka.security_protocol, error.__cause__
    signs_in = protocol.startswith("SASL")
    if isinstance(cause, ssl.SSLError):
        if kafka.tls_cert is None:
            return "requires a client certificate: set kafka.tls_cert and kafka.tls_key.", True
        return (
            f"does not accept the client certificate ({error_reason(cause)}): set kafka.tls_cert and kafka.tls_key to "
            "one of an authority that it trusts."
        ), True
    if isinstance(cause, asyncio.IncompleteReadError) and (cause.expected or 0) >> 16 == _TLS_ALERT:
        secured = "SASL_SSL" if signs_in else "SSL or SASL_SSL"
        return f"accepts TLS only: set kafka.security_protocol to {secured}.", True
    wanted = "" if signs_in else f"; SASL_{protocol} if it requires a sign-in"
    return f"closes the connection: set kafka.security_protocol to the protocol of this port{wanted}.", False


def missing_right(error: KafkaError) -> str:
    """Return the end of a sentence, with the right that our user lacks. The sentence starts with Kafka's address."""
    what = error.args[0] if error.args else ""
    names = ", ".join(sorted(map(str, what))) if isinstance(what, set | frozenset | list | tuple) else str(what)
    match error:
        case TopicAuthorizationFailedError():
            which = f"the topic {names}" if names else "its topics"
            return f"refuses access to {which}: grant the user Describe, Read and Write, and Create for new topics."
        case GroupAuthorizationFailedError():
            return f"refuses access to the group {names}: grant the user Read on it."
    return "refuses to publish: grant the user Write on the topics, and IdempotentWrite on the cluster before 2.8."
