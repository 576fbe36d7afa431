"""Rules between keys, addresses, networks, secrets."""

from pathlib import Path

import pytest

from airnode.config import load
from airnode.config.rules import known_secret
from airnode.errors import ConfigError

GOOD_SECRET = "9f86d081884c7d659a2feaa0c55ad015"


def broken(**flags: object) -> list[str]:
    try:
        load(flags={key.replace("__", "."): value for key, value in flags.items()}, files=[], env={})
    except ConfigError as error:
        return [f"{problem.path}: {problem.message}" for problem in error.errors]
    return []


@pytest.mark.parametrize("section", ["http", "rtmp"])
def test_certificate_and_key_need_each_other(section: str) -> None:
    assert broken(**{f"{section}__tls_cert": "c"}) == [f"{section}.tls_cert: needs {section}.tls_key too"]
    assert broken(**{f"{section}__tls_key": "k"}) == [f"{section}.tls_key: needs {section}.tls_cert too"]
    assert broken(**{f"{section}__tls_cert": "c", f"{section}__tls_key": "k"}) == []


def test_rtmps_needs_both() -> None:
    assert broken(rtmp__tls_port="1936") == [
        "rtmp.tls_port: needs rtmp.tls_cert too",
        "rtmp.tls_port: needs rtmp.tls_key too",
    ]


def test_lease_outlives_heartbeat() -> None:
    (line,) = broken(cluster__heartbeat_s="6")
    assert line.startswith("cluster.lease_s: must be longer than cluster.heartbeat_s (6 seconds)")
    assert broken(cluster__heartbeat_s="5.9") == []


def test_rule_names_the_layer_that_broke_it() -> None:
    with pytest.raises(ConfigError, match=r"cluster\.lease_s: .*\(from env AIRNODE_CLUSTER__HEARTBEAT_S\)"):
        load(flags={}, files=[], env={"AIRNODE_CLUSTER__HEARTBEAT_S": "9"})


def test_rule_is_silent_where_one_of_its_keys_is_wrong_anyway() -> None:
    assert [line.partition(":")[0] for line in broken(cluster__heartbeat_s="x", cluster__lease_s="0.5")] == [
        "cluster.heartbeat_s"
    ]


def test_kafka_needs_brokers_and_an_account_where_it_asks_for_one() -> None:
    assert broken(kafka__enabled="true") == ["kafka.enabled: needs kafka.bootstrap (KAFKA_BOOTSTRAP_SERVERS) too"]
    assert broken(kafka__enabled="true", kafka__bootstrap="a:9092,[::1]:9092") == []
    (line,) = broken(kafka__bootstrap="kafka://a:9092")
    assert line.startswith("kafka.bootstrap: must be brokers such as kafka-1:9092")
    account = {"kafka__security_protocol": "SASL_SSL", "kafka__sasl_username": "air"}
    assert broken(**account) == [
        "kafka.security_protocol: SASL_SSL needs kafka.sasl_username and kafka.sasl_password too"
    ]
    assert broken(**account, kafka__sasl_password="one of ours") == []
    assert broken(kafka__tls_cert="/c.pem") == ["kafka.tls_cert: needs kafka.tls_key too"]
    assert broken(kafka__tls_key="/k.pem") == ["kafka.tls_key: needs kafka.tls_cert too"]


@pytest.mark.parametrize("topics", ["users,users", "users,shoes", "[]"])
def test_consumers_read_topics_that_there_are(topics: str) -> None:
    assert broken(pipeline__topics=topics) == [
        "pipeline.topics: must be one or more of users, products, orders, each once"
    ]


def test_segment_lengths() -> None:
    assert broken(hls__segment_duration_s="5", hls__segment_max_s="4") == [
        "hls.segment_max_s: must be at least hls.segment_duration_s (5 seconds)"
    ]
    assert broken(hls__segment_duration_s="4", hls__segment_max_s="4") == []
    assert broken(hls__part_target_ms="1500") == [
        "hls.part_target_ms: must be at most hls.segment_duration_s (1000 ms)"
    ]


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        (
            "redis__url",
            ["", "redis://h", "rediss://u:p@h:6380/0", "unix:///run/redis.sock", "redis://[::1]:6379"],
            ["http://h", "h:6379", "redis:h", "redis://", "unix://", "redis://h:99999", "redis://[::1"],
        ),
        (
            "postgres__url",
            ["", "postgres://h/db", "postgresql://u@h:5432/db", "postgresql://?host=/run"],
            ["mysql://h", "h", "postgresql+asyncpg://h/db"],
        ),
        ("cluster__master_url", ["", "http://h:8000", "https://h/x"], ["h:8000", "ws://h", "http://"]),
    ],
)
def test_addresses(key: str, good: list[str], bad: list[str]) -> None:
    for url in good:
        assert broken(**{key: url}) == [], url
    for url in bad:
        (line,) = broken(**{key: url})
        assert line.startswith(key.replace("__", ".") + ": must ")


def test_networks_and_origins() -> None:
    assert broken(http__trusted_proxies="10.0.0.0/8, ::1, 192.168.1.1") == []
    (line,) = broken(http__trusted_proxies="10.0.0.1/8")
    assert "'10.0.0.1/8' is none, bits are set beyond its prefix" in line
    assert "'proxy' is none" in broken(http__trusted_proxies="proxy")[0]
    assert broken(http__allowed_origins="*,http://localhost:3000") == []
    for origin in ("school.example", "https://school.example/", "https://school.example/path"):
        assert f"'{origin}' is none" in broken(http__allowed_origins=origin)[0]


def test_short_secret_says_how_to_make_one() -> None:
    assert broken(auth__jwt_secret=GOOD_SECRET) == []
    (line,) = broken(auth__jwt_secret=GOOD_SECRET[:-1])
    assert line == "auth.jwt_secret: must have 32 characters or more, and has 31; make one with: openssl rand -hex 32"


EXAMPLES = [
    "secret",
    "changeme",
    "Change-Me",
    "your-secret-key",
    "your-secret-key-change-in-production",
    "super_secret_jwt_key_for_this_school",
    "my-secret-my-secret-my-secret-my-secret",
    "replace-this-with-a-real-key-of-yours",
    "x" * 40,
    "********",
    "password",
    "example-key-0123456789abcdef0123456789",
]


@pytest.mark.parametrize("secret", EXAMPLES)
def test_example_secrets_are_refused(secret: str) -> None:
    for key in ("auth__jwt_secret", "auth__teacher_secret", "cluster__token"):
        (line,) = broken(**{key: secret})
        assert line.endswith("is an example that everybody knows; make one with: openssl rand -hex 32")


def test_real_secrets_are_not_taken_for_examples() -> None:
    import secrets

    assert not any(known_secret(secrets.token_hex(32)) or known_secret(secrets.token_urlsafe(32)) for _ in range(500))


def test_mask_pasted_from_show_is_refused_as_a_password() -> None:
    assert "mask" in broken(redis__password="********")[0]
    assert "mask" in broken(postgres__password="********")[0]


def test_warnings(tmp_path: Path) -> None:
    flags = {
        "redis.url": "redis://a",
        "redis.host": "b",
        "postgres.password": "postgres-changeme",
        "drain.timeout_s": "30",
        "kafka.tls_ca": "/ca.pem",
        "kafka.sasl_username": "air",
        "kafka.sasl_password": "changeme",
    }
    assert load(flags=flags, files=[], env={}).warnings == (
        "redis.host is not used: redis.url is set",
        "postgres.password is one that everybody can guess",
        "kafka.tls_ca is not used: kafka.security_protocol is PLAINTEXT, without TLS",
        "kafka.sasl_username is not used: kafka.security_protocol is PLAINTEXT, without SASL",
        "kafka.sasl_password is one that everybody can guess",
        "drain.timeout_s is never reached: drain.deadline_s ends the stop before it",
    )
