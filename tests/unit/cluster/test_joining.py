import pytest
from pydantic import SecretStr

from airnode.cluster.contract import Registration
from airnode.cluster.membership import completed
from airnode.cluster.nodes_api import percentage, reachable_host
from airnode.config.model import Settings
from airnode.config.sections.auth import AuthSection
from airnode.config.sections.node import NodeSection
from airnode.config.sections.recording import RecordingSection
from airnode.config.sections.redis import RedisSection
from airnode.errors import StartupError

KEY = "k" * 40


def answer(**fields) -> Registration:
    values = {
        "node_id": "node-1",
        "redis_url": "redis://airnode-node:pw@m:6390",
        "jwt_secret": KEY,
        "heartbeat_s": 1.0,
        "lease_s": 3.0,
        "node_host": "10.0.0.7",
        **fields,
    }
    return Registration(**values)


def test_a_slave_takes_over_what_it_has_not():
    found = completed(Settings(), answer())
    assert found.redis.url == "redis://airnode-node:pw@m:6390"
    assert found.auth.jwt_secret.get_secret_value() == KEY
    assert (found.cluster.heartbeat_s, found.cluster.lease_s, found.node.host) == (1.0, 3.0, "10.0.0.7")


def test_who_may_record_holds_for_the_whole_cluster():
    own = Settings(recording=RecordingSection(mode="all", student_download=True, max_age_s=60))
    found = completed(own, answer(recording_mode="off", student_download=False))
    assert (found.recording.mode, found.recording.student_download) == ("off", False)
    assert found.recording.max_age_s == 60


@pytest.mark.parametrize("redis", [RedisSection(url="redis://mine"), RedisSection(host="mine")])
def test_what_a_slave_has_itself_stands(redis: RedisSection):
    own = Settings(redis=redis, node=NodeSection(host="edge.school"), auth=AuthSection(jwt_secret=SecretStr(KEY)))
    found = completed(own, answer(redis_url=""))
    assert (found.redis, found.node.host) == (redis, "edge.school")


def test_a_slave_with_another_key_verifies_nothing():
    with pytest.raises(StartupError, match="is not the master's"):
        completed(Settings(auth=AuthSection(jwt_secret=SecretStr("other" * 8))), answer())


def test_a_redis_that_cannot_be_shared_is_said():
    with pytest.raises(StartupError, match=r"redis\.url"):
        completed(Settings(), answer(redis_url=""))


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fd00::7", "[fd00::7]"),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_the_address_that_the_master_saw(address: str, host: str):
    """A node on the master's own machine is reached as the master is: through whatever host the viewer used."""
    assert reachable_host(address) == host


def test_a_cluster_without_places_is_not_a_division_by_zero():
    assert (percentage(0, 0), percentage(1, 3)) == (0.0, 33.3)
