"""Rules that types cannot express: relations between keys, addresses, networks, well-known secrets."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from airnode.config.model import Settings
from airnode.config.problems import MASK, shown
from airnode.config.sections.cluster import ClusterSection
from airnode.config.sections.kafka import KafkaSection

_MAKE_SECRET = "make one with: openssl rand -hex 32"  # noqa: S105  # a sentence, not a password
_MIN_SECRET_CHARS = 32
_KNOWN = frozenset(
    {
        "secret",
        "password",
        "passwd",
        "pass",
        "admin",
        "root",
        "test",
        "testing",
        "default",
        "token",
        "key",
        "jwt",
        "jwtsecret",
        "letmein",
        "welcome",
        "qwerty",
        "teacher",
        "student",
        "airnode",
        "cluster",
        "clustertoken",
        "dev",
        "development",
        "123456",
        "12345678",
        "123456789",
        "1234567890",
    }
)
_KNOWN_PARTS = (
    "changeme",
    "changethis",
    "changein",
    "yoursecret",
    "yourjwt",
    "yourkey",
    "yourtoken",
    "supersecret",
    "mysecret",
    "secretkey",
    "replaceme",
    "replacethis",
    "placeholder",
    "insecure",
    "notsecure",
    "example",
    "topsecret",
    "dontuse",
)


@dataclass(frozen=True, slots=True)
class ConfigRule:
    """A rule over the values of ``keys``, reported at the first of them.

    Attributes:
        broken: gets the values in the order of ``keys``; returns a message if the rule is broken, else None.
        waived_by_set: it does not hold for a value that was given with ``--set``, by somebody who means it.
    """

    keys: tuple[str, ...]
    broken: Callable[..., str | None]
    waived_by_set: bool = False


def broken_rules(settings: Settings) -> Iterator[tuple[ConfigRule, str]]:
    """Yield each rule that the settings break, with a message."""
    for rule in (*RULES, *_join_token_rules(settings.cluster)):
        if message := rule.broken(*(value_at(settings, key) for key in rule.keys)):
            yield rule, message


def value_at(settings: object, path: str) -> Any:
    """Return the value of a dotted key."""
    for name in path.split("."):
        settings = getattr(settings, name)
    return settings


def known_secret(secret: str) -> bool:
    """Return whether a secret is easy to guess: an example, a default, or one repeated character."""
    word = re.sub(r"[^a-z0-9]", "", secret.lower())
    return word in _KNOWN or len(set(secret)) == 1 or any(part in word for part in _KNOWN_PARTS)


def warnings(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each setting that is valid but probably not intended."""
    for name in ("redis", "postgres"):
        section = getattr(settings, name)
        if section.url and section.host:
            yield f"{name}.host is not used: {name}.url is set"
        password = section.password.get_secret_value()
        if password and known_secret(password):
            yield f"{name}.password is one that everybody can guess"
    yield from _unused_by_kafka(settings.kafka)
    drain = settings.drain
    if drain.deadline_s <= drain.delay_s + drain.timeout_s:
        yield "drain.timeout_s is never reached: drain.deadline_s ends the stop before it"


def _unused_by_kafka(kafka: KafkaSection) -> Iterator[str]:
    """Yield a sentence for each account or certificate that the security protocol does not use."""
    protocol = kafka.security_protocol
    for key in ("tls_ca", "tls_cert"):
        if getattr(kafka, key) is not None and not protocol.endswith("SSL"):
            yield f"kafka.{key} is not used: kafka.security_protocol is {protocol}, without TLS"
    if kafka.sasl_username and not protocol.startswith("SASL"):
        yield f"kafka.sasl_username is not used: kafka.security_protocol is {protocol}, without SASL"
    password = kafka.sasl_password.get_secret_value()
    if password and known_secret(password):
        yield "kafka.sasl_password is one that everybody can guess"


def _needs(other: str) -> Callable[..., str | None]:
    def broken(value: object, needed: object) -> str | None:
        return f"needs {other} too" if value is not None and needed is None else None

    return broken


def _longer_than_heartbeat(lease_s: float, heartbeat_s: float) -> str | None:
    if lease_s > heartbeat_s:
        return None
    return f"must be longer than cluster.heartbeat_s ({heartbeat_s:g} seconds): a node is gone once its lease is over"


def _not_below_shortest(segment_max_s: float, segment_duration_s: float) -> str | None:
    if segment_max_s >= segment_duration_s:
        return None
    return f"must be at least hls.segment_duration_s ({segment_duration_s:g} seconds)"


def _parts_fit(part_target_ms: int, segment_duration_s: float) -> str | None:
    if part_target_ms <= segment_duration_s * 1000:
        return None
    return f"must be at most hls.segment_duration_s ({segment_duration_s * 1000:g} ms)"


def _longer_than_shortest_piece(piece_max_s: float, piece_min_s: float) -> str | None:
    if piece_max_s > piece_min_s:
        return None
    return f"must be longer than speech.piece_min_s ({piece_min_s:g} seconds)"


def _has_remote_url(engine: str, remote_url: str) -> str | None:
    return "remote needs speech.remote_url (OPENAI_BASE_URL) too" if engine == "remote" and not remote_url else None


def _address(*schemes: str) -> Callable[..., str | None]:
    forms = [f"{scheme}://" for scheme in schemes]
    text = " or ".join(forms) if len(forms) < 3 else f"{', '.join(forms[:-1])} or {forms[-1]}"

    def broken(url: str) -> str | None:
        if not url:
            return None
        try:
            parts = urlsplit(url)
            place = parts.path if parts.scheme == "unix" else parts.hostname
            _ = parts.port
        except ValueError:
            return f"must be an address that starts with {text}, with a host and a port that exist"
        if parts.scheme not in schemes or "://" not in url:
            return f"must be an address that starts with {text}"
        return None if place or parts.query else "must name a host" if parts.scheme != "unix" else "must name a socket"

    return broken


def _loopback(url: str) -> str | None:
    host = urlsplit(url).hostname if url else "localhost"
    try:
        local = host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        local = False
    return None if local else "must be on this machine (127.0.0.1, ::1 or localhost): whoever reaches it can publish"


def _open_only_at_home(access: str, host: str) -> str | None:
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if access != "open" or local:
        return None
    return (
        f"lets everybody who reaches {host} into every room, under any name; set http.host to 127.0.0.1, or start with "
        "--set chat.access=open if that is what you want"
    )


def _slow_before_cut(cut_bytes: int, slow_client_bytes: int) -> str | None:
    if cut_bytes > slow_client_bytes:
        return None
    return f"must be above chat.slow_client_bytes ({slow_client_bytes})"


def _networks(networks: tuple[str, ...]) -> str | None:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            host_bits = "host bits" in str(error)
            reason = "bits are set beyond its prefix" if host_bits else "one is such as 10.0.0.0/8 or ::1"
            return f"must be networks in CIDR form: {shown(network)} is none, {reason}"
    return None


def _origins(origins: tuple[str, ...]) -> str | None:
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[^/\s?#@]+", origin):
            return f"must be origins such as https://school.example (no final '/'), or '*': {shown(origin)} is none"
    return None


def _long_enough(secret: SecretStr) -> str | None:
    text = secret.get_secret_value()
    if not text:
        return None
    if known_secret(text):
        return f"is an example that everybody knows; {_MAKE_SECRET}"
    if len(text) < _MIN_SECRET_CHARS:
        return f"must have {_MIN_SECRET_CHARS} characters or more, and has {len(text)}; {_MAKE_SECRET}"
    return None


def _join_token_rules(section: ClusterSection) -> Iterator[ConfigRule]:
    """Yield the rules of each join token: it is long enough, and differs from all other tokens."""
    paths = [f"cluster.{key}" for key in section.join_token_keys()]
    for number, path in enumerate(paths):
        yield ConfigRule((path,), _long_enough)
        for other in paths[:number]:
            yield ConfigRule((path, other), _differs_from(other))


def _differs_from(other_path: str) -> Callable[[SecretStr, SecretStr], str | None]:
    opens = "which opens everything" if other_path == "cluster.token" else "which opens other things"

    def broken(token: SecretStr, other: SecretStr) -> str | None:
        same = token.get_secret_value() and token.get_secret_value() == other.get_secret_value()
        return f"is {other_path}, {opens}; {_MAKE_SECRET}" if same else None

    return broken


def _not_known(secret: SecretStr) -> str | None:
    text = secret.get_secret_value()
    return f"is an example that everybody knows; {_MAKE_SECRET}" if text and known_secret(text) else None


def _not_masked(secret: SecretStr) -> str | None:
    masked = secret.get_secret_value() == MASK
    return "is only the mask that 'airnode config show' prints; give the real value" if masked else None


def _has_brokers(enabled: bool | None, brokers: tuple[str, ...]) -> str | None:
    return "needs kafka.bootstrap (KAFKA_BOOTSTRAP_SERVERS) too" if enabled and not brokers else None


def _brokers(brokers: tuple[str, ...]) -> str | None:
    for broker in brokers:
        if not re.fullmatch(r"[^\s:/,]+:[0-9]{1,5}|\[[0-9a-fA-F:.]+\]:[0-9]{1,5}", broker):
            return f"must be brokers such as kafka-1:9092: {shown(broker)} is none"
    return None


def _signs_in(protocol: str, username: str, password: SecretStr) -> str | None:
    if not protocol.startswith("SASL") or (username and password.get_secret_value()):
        return None
    return f"{protocol} needs kafka.sasl_username and kafka.sasl_password too"


def _topics(topics: tuple[str, ...]) -> str | None:
    known = ("users", "products", "orders")
    if not topics or len(set(topics)) < len(topics) or not set(topics) <= set(known):
        return f"must be one or more of {', '.join(known)}, each once"
    return None


RULES = (
    ConfigRule(("http.tls_cert", "http.tls_key"), _needs("http.tls_key")),
    ConfigRule(("http.tls_key", "http.tls_cert"), _needs("http.tls_cert")),
    ConfigRule(("rtmp.tls_cert", "rtmp.tls_key"), _needs("rtmp.tls_key")),
    ConfigRule(("rtmp.tls_key", "rtmp.tls_cert"), _needs("rtmp.tls_cert")),
    ConfigRule(("rtmp.tls_port", "rtmp.tls_cert"), _needs("rtmp.tls_cert")),
    ConfigRule(("rtmp.tls_port", "rtmp.tls_key"), _needs("rtmp.tls_key")),
    ConfigRule(("cluster.lease_s", "cluster.heartbeat_s"), _longer_than_heartbeat),
    ConfigRule(("hls.segment_max_s", "hls.segment_duration_s"), _not_below_shortest),
    ConfigRule(("hls.part_target_ms", "hls.segment_duration_s"), _parts_fit),
    ConfigRule(("redis.url",), _address("redis", "rediss", "unix")),
    ConfigRule(("postgres.url",), _address("postgres", "postgresql")),
    ConfigRule(("cluster.master_url",), _address("http", "https")),
    ConfigRule(("mediamtx.api_url",), _address("http")),
    ConfigRule(("mediamtx.api_url",), _loopback),
    ConfigRule(("chat.access", "http.host"), _open_only_at_home, waived_by_set=True),
    ConfigRule(("chat.cut_bytes", "chat.slow_client_bytes"), _slow_before_cut),
    ConfigRule(("http.trusted_proxies",), _networks),
    ConfigRule(("http.allowed_origins",), _origins),
    ConfigRule(("auth.jwt_secret",), _long_enough),
    ConfigRule(("auth.teacher_secret",), _not_known),
    ConfigRule(("auth.admin_secret",), _not_known),
    ConfigRule(("kafka.enabled", "kafka.bootstrap"), _has_brokers),
    ConfigRule(("kafka.bootstrap",), _brokers),
    ConfigRule(("kafka.security_protocol", "kafka.sasl_username", "kafka.sasl_password"), _signs_in),
    ConfigRule(("kafka.tls_cert", "kafka.tls_key"), _needs("kafka.tls_key")),
    ConfigRule(("kafka.tls_key", "kafka.tls_cert"), _needs("kafka.tls_cert")),
    ConfigRule(("pipeline.topics",), _topics),
    ConfigRule(("speech.piece_max_s", "speech.piece_min_s"), _longer_than_shortest_piece),
    ConfigRule(("speech.remote_url",), _address("http", "https")),
    ConfigRule(("speech.engine", "speech.remote_url"), _has_remote_url),
    ConfigRule(("speech.openai_api_key",), _not_masked),
    ConfigRule(("redis.password",), _not_masked),
    ConfigRule(("postgres.password",), _not_masked),
    ConfigRule(("kafka.sasl_password",), _not_masked),
)
