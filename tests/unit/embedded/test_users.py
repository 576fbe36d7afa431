"""How a declared access is rendered for the embedded servers."""

import pytest

from airnode.cluster.access import NODE_ACCESS
from airnode.embedded.network import NetworkAccess, RemoteUser
from airnode.embedded.pg_network import remote_url, rights
from airnode.embedded.valkey import acl_line
from airnode.kernel.access import JoinToken, RedisAccess, RemoteAccess, SqlGrant

JOBS = RemoteAccess(
    "jobs",
    JoinToken("jobs_token", "jobs token", ""),
    redis=RedisAccess(keys=("jobs:*", "results"), channels=("jobs:*",), categories=("list",), commands=("info",)),
    grants=(SqlGrant("public", "SELECT", "classes"), SqlGrant("speech", "SELECT, INSERT")),
)


def test_a_redis_user_has_its_keys_channels_and_commands():
    line = acl_line(RemoteUser(JOBS, "secret"), JOBS.redis)
    assert line.startswith("user airnode-jobs on #")
    assert "secret" not in line
    rules = line.split()[4:]
    assert rules[:5] == ["resetchannels", "~jobs:*", "~results", "&jobs:*", "-@all"]
    assert "+@list" in rules
    assert "+@pubsub" not in rules
    assert rules.index("-@dangerous") < rules.index("+info")


def test_a_postgres_user_has_its_grants_and_no_others():
    statements = rights(RemoteUser(JOBS, "secret"), 5)
    assert "REVOKE ALL ON ALL TABLES IN SCHEMA public, speech FROM airnode_jobs;" in statements
    granted = [line for line in statements.splitlines() if line.startswith("GRANT")]
    assert granted == [
        "GRANT CONNECT ON DATABASE airnode TO airnode_jobs;",
        "GRANT USAGE ON SCHEMA public, speech TO airnode_jobs;",
        "GRANT SELECT ON public.classes TO airnode_jobs;",
        "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA speech TO airnode_jobs;",
        "GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA speech TO airnode_jobs;",
    ]


def test_a_password_that_could_end_the_statement_is_refused():
    with pytest.raises(ValueError, match="letters and digits"):
        rights(RemoteUser(JOBS, "x'; DROP TABLE classes; --"), 5)


def test_without_a_user_there_is_no_address():
    network = NetworkAccess("0.0.0.0", 0, [RemoteUser(JOBS, "secret")])
    assert remote_url(network, JOBS, "m", 5432) == "postgresql://airnode_jobs:secret@m:5432/airnode"
    assert remote_url(network, NODE_ACCESS, "m", 5432) == ""
