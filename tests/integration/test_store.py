"""The pool and the migrations against a real PostgreSQL."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from airnode.config.sections.embedded import EmbeddedSection
from airnode.config.sections.postgres import PostgresSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.postgres import EmbeddedPostgres
from airnode.errors import StartupError, Unavailable
from airnode.store.migrate import Migration, load, migrate
from airnode.store.postgres import Postgres
from airnode.store.postgres_errors import translated

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def postgres(postgres_url):
    store = Postgres(PostgresSection(url=postgres_url))
    await store.start()
    yield store
    await store.stop()


async def test_the_pool_answers_and_can_be_stopped_twice(postgres):
    await postgres.ping()
    assert postgres.pool.get_size() == 1
    await postgres.stop()
    await postgres.stop()
    with pytest.raises(Unavailable):
        await postgres.ping()


async def test_a_missing_database_is_refused_at_once(postgres_url):
    store = Postgres(PostgresSection(url=postgres_url.replace("/t_", "/no_"), connect_timeout_s=30))
    async with asyncio.timeout(10):
        with pytest.raises(StartupError, match=r"refuses: .*does not exist"):
            await store.start()


async def test_a_failed_transaction_is_rolled_back(postgres):
    await postgres.pool.execute("CREATE TABLE t (x int)")
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with postgres.transaction() as connection:
            await connection.execute("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError
    assert await postgres.pool.fetchval("SELECT count(*) FROM t") == 0


async def test_a_connection_lost_while_it_returns_to_the_pool_is_an_unavailable_database(postgres):
    """asyncpg raises this error if the server is killed at that moment."""
    died = asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")
    with pytest.raises(asyncpg.ConnectionDoesNotExistError, match="the connection was lost"):
        async with postgres.transaction():
            raise died
    with pytest.raises(Unavailable), translated("Not now."):
        raise died
    await postgres.ping()


async def test_the_start_waits_for_a_server_that_starts_later(tmp_path):
    first = EmbeddedPostgres(tmp_path, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()))
    await first.start()  # creates the database: a missing one would be refused at once
    await first.stop()
    server = EmbeddedPostgres(tmp_path, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()))
    store = Postgres(PostgresSection(connect_timeout_s=30), url=server.url)
    waiting = asyncio.ensure_future(store.start())
    try:
        await server.start()
        await waiting
        await store.ping()
    finally:
        waiting.cancel()
        await store.stop()
        await server.stop()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
async def test_the_pool_recovers_after_the_server_was_killed(tmp_path, signum):
    server = EmbeddedPostgres(tmp_path, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()))
    await server.start()
    store = Postgres(PostgresSection(connect_timeout_s=5), url=server.url)
    try:
        await store.start()
        await store.pool.execute("CREATE TABLE t AS SELECT 1 AS x")
        old = server.pid
        os.kill(old, signum)
        async with asyncio.timeout(30):
            while server.pid in (old, None) or not await _answers(store):
                await asyncio.sleep(0.01)
        assert await store.pool.fetchval("SELECT x FROM t") == 1
        # The pool returns no connections that were lost while idle.
        assert await asyncio.gather(*(store.pool.fetchval("SELECT $1::int", n) for n in range(30))) == list(range(30))
    finally:
        await store.stop()
        await server.stop()


async def _answers(store: Postgres) -> bool:
    try:
        return await store.pool.fetchval("SELECT true")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


async def test_migrations_are_applied_once(postgres):
    assert await migrate(postgres) == [migration.version for migration in load()]
    assert await migrate(postgres) == []
    rows = await postgres.pool.fetch("SELECT version, name, sha256 FROM airnode_migrations ORDER BY version")
    assert [tuple(row) for row in rows] == [(m.version, m.name, m.sha256) for m in load()]


MIGRATE = """
import asyncio, sys
from airnode.config.sections.postgres import PostgresSection
from airnode.store.migrate import Migration, migrate
from airnode.store.postgres import Postgres
async def main():
    store = Postgres(PostgresSection(url=sys.argv[1], pool_max=2))
    await store.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    slow = [Migration(n, f"m{n}", f"SELECT pg_sleep(0.05); CREATE TABLE m{n} (x int); INSERT INTO m{n} VALUES (1)")
            for n in range(1, 6)]
    print(len(await migrate(store, slow)), flush=True)
    await store.stop()
asyncio.run(main())
"""


async def test_five_processes_migrate_at_once(postgres, postgres_url):
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            MIGRATE,
            postgres_url,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        for _ in range(5)
    ]
    outputs = []
    for process in processes:
        await process.stdout.readuntil(b"ready\n")
    for process in processes:
        process.stdin.write(b"go\n")
    for process in processes:
        output, _ = await process.communicate()
        assert process.returncode == 0
        outputs.append(int(output.split()[-1]))
    assert sum(outputs) == 5
    for n in range(1, 6):
        assert await postgres.pool.fetchval(f"SELECT count(*) FROM m{n}") == 1


async def test_a_failing_migration_is_rolled_back_and_named(postgres):
    good = Migration(1, "good", "CREATE TABLE good (x int)")
    bad = Migration(2, "bad", "CREATE TABLE half (x int); SELECT 1 / 0")
    with pytest.raises(StartupError, match=r"0002_bad\.sql failed: division by zero"):
        await migrate(postgres, [good, bad])
    assert await postgres.pool.fetchval("SELECT to_regclass('good') IS NOT NULL AND to_regclass('half') IS NULL")
    assert await migrate(postgres, [good, Migration(2, "bad", "CREATE TABLE half (x int)")]) == [2]


async def test_changed_migrations_and_newer_databases_are_refused(postgres):
    one, two = Migration(1, "one", "CREATE TABLE a ()"), Migration(2, "two", "CREATE TABLE b ()")
    await migrate(postgres, [one, two])
    with pytest.raises(StartupError, match="schema version 2"):
        await migrate(postgres, [one])
    with pytest.raises(StartupError, match="was changed"):
        await migrate(postgres, [Migration(1, "one", "CREATE TABLE c ()"), two])


GOOD_CLASS = {"room": "math-1", "title": "Mathe", "code": "AB12", "stream_key": "k" * 24}


@pytest.mark.parametrize(
    "change",
    [
        {"room": "-math"},
        {"room": "Math"},
        {"room": ""},
        {"room": "m" * 64},
        {"room": "a/b"},
        {"room": "a\n"},
        {"title": ""},
        {"code": "1"},
        {"stream_key": "short"},
    ],
)
async def test_the_schema_refuses_invalid_classes(postgres, change):
    await migrate(postgres)
    insert = "INSERT INTO classes (room, title, code, stream_key) VALUES ($1, $2, $3, $4)"
    await postgres.pool.execute(insert, *GOOD_CLASS.values())
    other = {"room": "other", "title": "x", "code": "CD34", "stream_key": "l" * 24}
    with pytest.raises(asyncpg.CheckViolationError):
        await postgres.pool.execute(insert, *{**other, **change}.values())
    for taken in ("room", "code", "stream_key"):
        with pytest.raises(asyncpg.UniqueViolationError):
            await postgres.pool.execute(insert, *{**other, taken: GOOD_CLASS[taken]}.values())


async def test_the_schema_refuses_invalid_users(postgres):
    await migrate(postgres)
    user = "INSERT INTO users (user_id, user_type) VALUES ($1, $2)"
    await postgres.pool.execute(user, "kim", "student")
    await postgres.pool.execute(user, "kim", "teacher")
    with pytest.raises(asyncpg.UniqueViolationError):
        await postgres.pool.execute(user, "kim", "student")
    for wrong in (("kim", "ghost"), ("", "student")):
        with pytest.raises(asyncpg.CheckViolationError):
            await postgres.pool.execute(user, *wrong)
