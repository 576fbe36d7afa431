"""The pipeline's roles on another machine, on the stores that a master runs itself: what they get, and what not."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry
from redis import asyncio as aioredis
from redis.exceptions import NoPermissionError

from airnode.bus import keys
from airnode.config.sections.embedded import EmbeddedSection
from airnode.config.sections.postgres import PostgresSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.network import NetworkAccess, RemoteUser
from airnode.embedded.postgres import EmbeddedPostgres
from airnode.errors import StartupError
from airnode.pipeline import keys as pipeline_keys
from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.store.migrate import Migration, load, migrate
from airnode.store.postgres import Postgres
from tests.support.forking import Forker
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

KEY, TOKEN, PIPELINE = "5ea1ed" * 8, "c0ffee" * 8, "0ddba11" * 6
ROLES = "cache-worker,producer,consumer"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def master(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AirnodeProcess]:
    """A master with stores of its own, open to slaves and to the pipeline's roles."""
    env = {"JWT_SECRET_KEY": KEY, "AIRNODE_CLUSTER__TOKEN": TOKEN, "AIRNODE_CLUSTER__PIPELINE_TOKEN": PIPELINE}
    node = AirnodeProcess(tmp_path_factory.mktemp("master") / "data", role="master", env=env)
    try:
        yield await node.start(60)
    finally:
        await node.close()


async def posted(master: AirnodeProcess, path: str, token: str, body: dict[str, object]) -> tuple[int, dict]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(master["api_url"] + path, json=body) as response,
    ):
        return response.status, await response.json()


JOIN = {"access": "pipeline", "roles": ["consumer"], "node_name": "b", "version": "1"}
OLD_JOIN = {"role": "consumer", "node_name": "b", "version": "1"}


async def given(master: AirnodeProcess) -> dict[str, str]:
    """Return the addresses that a role of the pipeline gets."""
    status, answer = await posted(master, "/cluster/join", PIPELINE, JOIN)
    assert status == 200, answer
    assert (answer["jwt_secret"], answer["settings"]) == ("", {})
    status, old = await posted(master, "/api/pipeline/join", PIPELINE, OLD_JOIN)
    assert (status, old) == (200, {name: answer[name] for name in ("redis_url", "postgres_url")})
    return old


async def test_with_the_token_and_the_masters_address_orders_land(
    master: AirnodeProcess, tmp_path: Path, forker: Forker
):
    there = ("--master-url", master["api_url"], "--set", f"cluster.pipeline_token={PIPELINE}")
    there += ("--data-dir", str(tmp_path / "nothing-here"))
    code, out, err = await forker.run("pipeline", "init", "--json", *there)
    assert (code, json.loads(out)["migrations_applied"]) == (0, []), err
    code, _, err = await forker.run("seed", "--users", "20", "--products", "20", *there)
    assert code == 0, err
    env = {"AIRNODE_CLUSTER__PIPELINE_TOKEN": PIPELINE, "MASTER_URL": master["api_url"]}
    node = AirnodeProcess(tmp_path / "elsewhere", "--rate", "100", role=ROLES, env=env)
    try:
        await node.start(60)
        async with aiohttp.ClientSession() as session:

            async def landed() -> bool:
                headers = {"Authorization": f"Bearer {TOKEN}"}
                async with session.get(master["api_url"] + "/api/pipeline/status", headers=headers) as response:
                    status = await response.json()
                orders = next(each for each in status["topics"] if each["topic"] == "orders")
                return bool(orders["landed"]) and status["cache"]["users"] == 20

            await eventually(landed, 40, "the master shows what lands")
            async with session.get(node["health_url"] + "/health") as response:
                assert (await response.json())["status"] == "healthy"
        assert json.loads((await forker.run("cache-monitor", "--once", "--json", *there))[1])["users"] == 20
        assert (await forker.run("dlq", "list", *there))[:2] == (0, "No dead letters.\n")
        for secret in (KEY, TOKEN):
            for path in (node.log_path, *(each for each in node.data_dir.rglob("*") if each.is_file())):
                assert secret not in path.read_text(errors="replace")
        assert await node.stop() == 0
    finally:
        await node.close()


async def test_a_credential_opens_only_what_it_is_for(master: AirnodeProcess):
    for token, status in (("", 401), (TOKEN, 403), (KEY, 403), (PIPELINE[:-1], 403)):
        assert (await posted(master, "/cluster/join", token, JOIN))[0] == status
        assert (await posted(master, "/api/pipeline/join", token, OLD_JOIN))[0] == status
    for access in ("node", "no-such-access"):
        status, answer = await posted(master, "/cluster/join", PIPELINE, {**JOIN, "access": access, "node_id": "b"})
        assert status == 403
        assert "redis_url" not in answer
    slave = {"node_name": "b", "media_port": 1, "rtmp_port": 1, "max_connections": 1, "version": "1"}
    assert (await posted(master, "/cluster/register", PIPELINE, slave))[0] == 403
    headers = {"Authorization": f"Bearer {PIPELINE}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for path in (
            "/api/pipeline/status",
            "/api/pipeline/users/1",
            "/api/pipeline/products/1",
            "/cluster/nodes",
            "/api/classes",
        ):
            async with session.get(master["api_url"] + path) as response:
                assert response.status in (401, 403), path


@pytest.mark.parametrize(
    "command",
    [
        ("HGETALL", keys.lease_values("nodes")),
        ("HGETALL", keys.records("stream-keys")),
        ("HSET", keys.claim("room:stream"), "owner", "me"),
        ("GET", "airnode:anything"),
        ("SET", "something", "1"),
        ("PUBLISH", keys.channel("heartbeat"), "{}"),
        ("SUBSCRIBE", keys.channel("heartbeat")),
        ("EVAL", "return redis.call('GET', KEYS[1])", "1", "airnode:anything"),
        ("EVAL", "return redis.call('HGETALL', 'airnode:lease:{nodes}:values')", "0"),
        ("RENAME", "cache:users", "airnode:anything"),
        *(tuple(each.split()) for each in ("KEYS *", "SCAN 0", "FLUSHALL", "CONFIG GET *", "ACL LIST", "CLIENT LIST")),
        *(tuple(each.split()) for each in ("SHUTDOWN", "MONITOR", "BGREWRITEAOF", "SAVE", "FUNCTION LIST")),
    ],
    ids=" ".join,
)
async def test_the_pipelines_redis_user_reaches_nothing_else(master: AirnodeProcess, command: tuple[str, ...]):
    async with aioredis.from_url((await given(master))["redis_url"]) as client:
        assert await client.hset(pipeline_keys.cache("users"), "0", "{}") in (0, 1)
        await client.hdel(pipeline_keys.cache("users"), "0")
        with pytest.raises(Exception, match=r"(?i)no permission|ACL|NOPERM") as refused:
            await client.execute_command(*command)
        assert isinstance(refused.value, NoPermissionError) or "ACL" in str(refused.value)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM public.classes",
        "SELECT * FROM public.users",
        "SELECT * FROM public.recordings",
        "UPDATE public.airnode_migrations SET version = 9",
        "CREATE TABLE public.mine (a int)",
        "CREATE TABLE pipeline.mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "DROP TABLE pipeline.orders",
        "TRUNCATE pipeline.orders",
        "ALTER TABLE pipeline.orders ADD COLUMN a int",
        "CREATE SCHEMA mine",
        "CREATE ROLE friend LOGIN",
        "ALTER ROLE airnode_pipeline SUPERUSER",
        "SET ROLE airnode",
        "SET SESSION AUTHORIZATION airnode",
        "COPY pipeline.orders TO PROGRAM 'cat'",
        "COPY pipeline.users FROM '/etc/passwd'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('.')",
        "SELECT rolpassword FROM pg_authid",
        "ALTER SYSTEM SET listen_addresses = '*'",
        "CREATE EXTENSION dblink",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'airnode'",
    ],
)
async def test_the_pipelines_database_user_reaches_nothing_else(master: AirnodeProcess, statement: str):
    database = await asyncpg.connect((await given(master))["postgres_url"])
    try:
        assert await database.fetchval("SELECT count(*) >= 0 FROM pipeline.orders")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(statement)
    finally:
        await database.close()


async def test_a_role_newer_than_the_master_reports_what_to_do(master: AirnodeProcess):
    postgres = Postgres(PostgresSection(url=(await given(master))["postgres_url"]))
    await postgres.start()
    try:
        assert await migrate(postgres) == []
        newer = [*load(), Migration(len(load()) + 1, "next", "CREATE TABLE pipeline.next (a int)")]
        with pytest.raises(StartupError, match=r"older than this airnode.*upgrade the master first"):
            await migrate(postgres, newer)
    finally:
        await postgres.stop()


async def test_nobody_else_can_connect_to_the_database(master: AirnodeProcess):
    url = (await given(master))["postgres_url"]
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port}"
    for other in (
        f"postgresql://airnode@{address}/airnode",
        f"postgresql://airnode:{parts.password}@{address}/airnode",
        f"postgresql://airnode_pipeline@{address}/airnode",
        f"postgresql://airnode_pipeline:{PIPELINE}@{address}/airnode",
        f"postgresql://airnode_pipeline:{parts.password}@{address}/postgres",
        f"postgresql://airnode_pipeline:{parts.password}@{address}/template1",
        f"postgresql://postgres@{address}/postgres",
    ):
        with pytest.raises((asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError)):
            await asyncpg.connect(other)


async def sentence(forker: Forker, directory: Path, role: str, *args: str) -> str:
    """What a role says that cannot start."""
    code, _, err = await forker.run("--role", role, "--data-dir", str(directory), "--port", "0", *args)
    assert code == 2, err
    assert "Traceback" not in err
    return err


async def test_a_missing_setting_is_one_sentence(master: AirnodeProcess, tmp_path: Path, forker: Forker):
    url = ("--master-url", master["api_url"])
    error = await sentence(forker, tmp_path / "a", "consumer", *url)
    assert "the pipeline token is needed" in error
    assert "AIRNODE_CLUSTER__PIPELINE_TOKEN" in error
    error = await sentence(forker, tmp_path / "a", "consumer", *url, "--set", f"cluster.pipeline_token={TOKEN}")
    assert "refuses this node: The pipeline token is not right." in error
    error = await sentence(forker, tmp_path / "a", "producer")
    assert "cluster.pipeline_token" in error
    both = ("--set", f"cluster.token={TOKEN}", "--set", f"cluster.pipeline_token={PIPELINE}")
    assert "Run them as two" in await sentence(forker, tmp_path / "a", "slave,consumer", *url, *both)
    both = ("--set", f"cluster.token={TOKEN}", "--set", f"cluster.pipeline_token={TOKEN}")
    assert "is cluster.token, which opens everything" in await sentence(forker, tmp_path / "a", "consumer", *url, *both)


async def test_stores_that_are_not_the_masters_own_are_not_handed_over(
    tmp_path: Path, forker: Forker, lone_master: AirnodeProcess, valkey_url: str, postgres_url: str
):
    """Their users may do all. Without a token nobody gets an address."""
    stores = ("--redis-url", valkey_url, "--postgres-url", postgres_url)
    env = {"AIRNODE_CLUSTER__PIPELINE_TOKEN": PIPELINE}
    open_one = AirnodeProcess(tmp_path / "open", *stores, env=env)
    try:
        await open_one.start(60)
        assert await given(open_one) == {"redis_url": "", "postgres_url": ""}
        token = ("--set", f"cluster.pipeline_token={PIPELINE}")
        error = await sentence(forker, tmp_path / "a", "consumer", "--master-url", open_one["api_url"], *token)
        assert "does not run its Redis itself" in error
        redis = ("--redis-url", "redis://127.0.0.1:1")
        error = await sentence(forker, tmp_path / "a", "consumer", "--master-url", open_one["api_url"], *token, *redis)
        assert "does not run its PostgreSQL itself" in error
        assert "POSTGRES_HOST" in error
        error = await sentence(forker, tmp_path / "a", "consumer", "--master-url", lone_master["api_url"], *token)
        assert "cluster.pipeline_token is not set on the master" in error
    finally:
        await open_one.close()


# -- the embedded PostgreSQL on the network ---------------------------------------------------------------------------


def embedded(directory: Path, port: int = 0, *, network: bool = True) -> EmbeddedPostgres:
    access = NetworkAccess("127.0.0.1", port, [RemoteUser(PIPELINE_ACCESS, "guest" * 8)]) if network else None
    parameters = {"fsync": "off"}
    return EmbeddedPostgres(
        directory, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()), access, parameters=parameters
    )


async def opened(server: EmbeddedPostgres) -> None:
    """What a node does once its server runs."""
    postgres = Postgres(PostgresSection(url=server.url))
    await postgres.start()
    await migrate(postgres)
    await postgres.stop()
    await server.grant_rights()


async def orders(url: str) -> int:
    database = await asyncpg.connect(url)
    try:
        await database.execute("INSERT INTO pipeline.orders_per_minute SELECT now() + random() * interval '1 d', 1, 1")
        return int(await database.fetchval("SELECT count(*) FROM pipeline.orders_per_minute"))
    finally:
        await database.close()


async def killed_and_back(server: EmbeddedPostgres, url: str) -> None:
    """At the same address."""
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: server.pid not in (None, pid), 20, "it is restarted")

    async def back() -> bool:
        try:
            await (await asyncpg.connect(url)).close()
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        return True

    await eventually(back, 20, "it answers again")


async def test_its_port_and_rows_are_kept_when_access_changes(tmp_path: Path):
    tmp_path.chmod(0o700)
    urls = []
    for count, network in enumerate((False, True, True, False), 1):
        server = embedded(tmp_path, network=network)
        await server.start()
        try:
            await opened(server)
            urls.append(server.remote_url(PIPELINE_ACCESS, "127.0.0.1"))
            assert await orders(urls[-1] or server.url) == count
            if count == 3:
                await killed_and_back(server, urls[-1])
        finally:
            await server.stop()
    assert urls[0] == urls[3] == ""
    assert urls[1] == urls[2]


async def test_a_port_in_use_is_one_sentence(tmp_path: Path):
    holder = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = holder.sockets[0].getsockname()[1]
    try:
        with pytest.raises(StartupError, match=rf"Port {port} .*PostgreSQL.*embedded\.postgres_port"):
            await embedded(tmp_path, port).start()
    finally:
        holder.close()
        await holder.wait_closed()
