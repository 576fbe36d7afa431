from dataclasses import replace

import pytest
from pydantic import SecretStr

from airnode.cluster.access import NODE_ACCESS
from airnode.cluster.join_types import JoinAnswer
from airnode.config.model import Settings
from airnode.config.sections.auth import AuthSection
from airnode.config.sections.cluster import ClusterSection, with_join_tokens
from airnode.config.sections.node import NodeSection
from airnode.config.sections.postgres import PostgresSection
from airnode.config.sections.recording import RecordingSection
from airnode.config.sections.redis import RedisSection
from airnode.errors import ConfigError, StartupError
from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.runtime.joining import Join, command_join, completed, required_joins, shared_values
from airnode.runtime.registry import resolve, role_keys
from airnode.runtime.resources import Resource

KEY = "k" * 40
SHARED = {
    "cluster.heartbeat_s": 1.0,
    "cluster.lease_s": 3.0,
    "recording.mode": "on-request",
    "recording.student_download": True,
}
REDIS_AND_POSTGRES = frozenset({Resource.REDIS, Resource.POSTGRES})
NODE = Join(NODE_ACCESS, ("slave",), frozenset({Resource.REDIS}))
NODE_WITH_REDIS = replace(NODE, missing=frozenset())
CONSUMER = Join(PIPELINE_ACCESS, ("consumer",), REDIS_AND_POSTGRES)


def answer(**fields) -> JoinAnswer:
    values = {
        "redis_url": "redis://airnode-node:pw@m:6390",
        "postgres_url": "",
        "jwt_secret": KEY,
        "node_host": "10.0.0.7",
        "settings": SHARED,
        **fields,
    }
    return JoinAnswer(**values)


# -- who joins --------------------------------------------------------------------------------------------------------


def configured(**sections) -> Settings:
    secrets = {"token": "t" * 40, "pipeline_token": "p" * 40}
    model = with_join_tokens(role_keys().join_tokens)
    cluster = model.model_validate({"master_url": "http://m", **secrets, **sections.pop("cluster", {})})
    return Settings(cluster=cluster, **sections)


def test_a_slave_always_joins_and_needs_redis_only_where_it_is_not_configured():
    assert required_joins(configured(), resolve(["slave"])) == [NODE]
    own = configured(redis=RedisSection(url="redis://mine"))
    assert required_joins(own, resolve(["slave"])) == [NODE_WITH_REDIS]


def test_roles_with_one_access_join_together():
    joins = required_joins(configured(), resolve(["cache-worker", "producer", "consumer"]))
    assert joins == [Join(PIPELINE_ACCESS, ("cache-worker", "producer", "consumer"), REDIS_AND_POSTGRES)]


def test_roles_of_the_pipeline_join_for_the_stores_that_are_not_configured():
    redis, postgres = RedisSection(url="redis://mine"), PostgresSection(host="mine")
    (join,) = required_joins(configured(redis=redis), resolve(["consumer"]))
    assert join.missing == {Resource.POSTGRES}
    assert required_joins(configured(redis=redis, postgres=postgres), resolve(["consumer"])) == []


@pytest.mark.parametrize("names", [["standalone"], ["standalone", "consumer"], ["master"], ["master", "consumer"]])
def test_roles_in_a_process_with_embedded_stores_do_not_join(names: list[str]):
    assert required_joins(configured(), resolve(names)) == []


def test_without_a_master_address_no_role_joins():
    with_key = Settings(auth=AuthSection(jwt_secret=SecretStr(KEY)))
    assert required_joins(with_key, resolve(["slave", "consumer"])) == []


def test_two_accesses_cannot_share_a_process_that_has_one_redis():
    with pytest.raises(ConfigError, match=r"slave and consumer cannot share a process.*Run them as two"):
        required_joins(configured(), resolve(["slave", "consumer"]))
    shared = configured(redis=RedisSection(url="redis://mine"))
    joins = required_joins(shared, resolve(["slave", "consumer"]))
    assert [(join.access.name, join.missing) for join in joins] == [
        ("node", frozenset()),
        ("pipeline", {Resource.POSTGRES}),
    ]


@pytest.mark.parametrize(
    ("role", "error"),
    [
        ("slave", r"the cluster token is needed for the role slave to join http://m: .*AIRNODE_CLUSTER__TOKEN"),
        ("producer", r"the pipeline token is needed for the role producer.*--postgres-url"),
    ],
)
def test_a_missing_credential_is_an_error(role: str, error: str):
    with pytest.raises(ConfigError, match=error):
        required_joins(Settings(cluster=ClusterSection(master_url="http://m")), resolve([role]))


def test_a_slave_with_neither_a_master_nor_a_key_is_asked_for_the_master():
    with pytest.raises(ConfigError, match=r"give --master-url and AIRNODE_CLUSTER__TOKEN \(cluster.token\)"):
        required_joins(Settings(), resolve(["slave"]))
    assert required_joins(Settings(), resolve(["standalone"])) == []


def test_a_command_joins_only_for_what_it_uses_and_with_a_credential():
    join = command_join(configured(), PIPELINE_ACCESS, [Resource.POSTGRES])
    assert join == Join(PIPELINE_ACCESS, (), frozenset({Resource.POSTGRES}))
    assert command_join(configured(postgres=PostgresSection(host="mine")), PIPELINE_ACCESS, [Resource.POSTGRES]) is None
    no_token = Settings(cluster=ClusterSection(master_url="http://m"))
    assert command_join(no_token, PIPELINE_ACCESS, [Resource.POSTGRES]) is None


# -- the settings with the master's answer ----------------------------------------------------------------------------


def test_a_slave_takes_over_settings_that_it_does_not_have():
    found = completed(Settings(), NODE, answer())
    assert found.redis.url == "redis://airnode-node:pw@m:6390"
    assert found.auth.jwt_secret.get_secret_value() == KEY
    assert (found.cluster.heartbeat_s, found.cluster.lease_s, found.node.host) == (1.0, 3.0, "10.0.0.7")


def test_a_slave_takes_over_who_may_record():
    own = Settings(recording=RecordingSection(mode="all", student_download=True, max_age_s=60))
    given = {**SHARED, "recording.mode": "off", "recording.student_download": False}
    found = completed(own, NODE, answer(settings=given))
    assert (found.recording.mode, found.recording.student_download) == ("off", False)
    assert found.recording.max_age_s == 60


def test_a_slave_keeps_its_own_settings():
    redis = RedisSection(url="redis://mine")
    own = Settings(redis=redis, node=NodeSection(host="edge.school"), auth=AuthSection(jwt_secret=SecretStr(KEY)))
    found = completed(own, NODE_WITH_REDIS, answer(redis_url=""))
    assert (found.redis, found.node.host) == (redis, "edge.school")


def test_a_slave_with_another_signing_key_is_an_error():
    own = Settings(auth=AuthSection(jwt_secret=SecretStr("other" * 8)))
    with pytest.raises(StartupError, match="is not the master's"):
        completed(own, NODE, answer())


def test_a_redis_that_cannot_be_shared_is_an_error():
    with pytest.raises(StartupError, match=r"redis\.url"):
        completed(Settings(), NODE, answer(redis_url=""))


def test_a_role_of_the_pipeline_takes_addresses_and_nothing_else():
    own = Settings(auth=AuthSection(jwt_secret=SecretStr("mine" * 10)))
    found = completed(own, CONSUMER, answer(postgres_url="postgresql://airnode_pipeline:pw@m/airnode"))
    assert found.redis.url == "redis://airnode-node:pw@m:6390"
    assert found.postgres.url == "postgresql://airnode_pipeline:pw@m/airnode"
    assert (found.auth, found.cluster, found.recording, found.node) == (own.auth, own.cluster, own.recording, own.node)


def test_a_store_that_the_master_does_not_run_is_an_error():
    with pytest.raises(StartupError, match=r"does not run its PostgreSQL itself.*POSTGRES_HOST"):
        completed(Settings(), CONSUMER, answer())


def test_only_declared_keys_are_taken_and_only_valid_values():
    found = completed(Settings(), NODE, answer(settings={"cluster.lease_s": 9, "node.name": "hacked"}))
    assert (found.cluster.lease_s, found.node.name) == (9.0, Settings().node.name)
    with pytest.raises(StartupError, match=r"a value of cluster\.lease_s that is not valid here"):
        completed(Settings(), NODE, answer(settings={"cluster.lease_s": "soon"}))


def test_the_master_answers_with_the_declared_keys():
    assert shared_values(Settings(), NODE_ACCESS).keys() == SHARED.keys()
    assert shared_values(Settings(), PIPELINE_ACCESS) == {}
