"""The embedded servers as other users than the one that installed them, and as root."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.pg_binaries import PostgresInstall, can_reach, find_install, reachable_install
from airnode.embedded.pg_cluster import DatabaseCluster
from airnode.embedded.postgres import EmbeddedPostgres
from airnode.errors import StartupError
from airnode.kernel.tasks import TaskScope
from airnode.processes.child import Account
from tests.support.embedded import OwnerProcess, redis_do, sql

NOBODY = Account("nobody", pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def home_of_nobody() -> Iterator[Path]:
    """A directory that the user nobody owns and reaches."""
    with tempfile.TemporaryDirectory(prefix="airnode-nobody-", ignore_cleanup_errors=True) as directory:
        os.chown(directory, NOBODY.uid, NOBODY.gid)
        yield Path(directory)


def _python_for_everybody() -> str:
    """An interpreter that nobody may execute (the launcher needs the standard library only), else a skip."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        if Path(candidate).exists() and can_reach(Path(candidate), NOBODY):
            return candidate
    pytest.skip("the user nobody can execute no Python here")


@needs_root
async def test_an_ordinary_user_runs_both(home_of_nobody):
    if not can_reach(find_install().bin / "postgres", NOBODY):
        pytest.skip("the user nobody cannot reach the installed packages")
    environment = {**os.environ, "BECOME": "nobody", "CHILD_PYTHON": _python_for_everybody()}
    owner = await OwnerProcess.run(home_of_nobody / "data", env=environment)
    await redis_do(owner.urls["valkey"], "SET", "kept", "yes")
    await sql(owner.urls["postgres"], "CREATE TABLE kept ()")
    for name in ("data", "data/postgres", "data/valkey", "data/postgres/PG_VERSION"):
        info = (home_of_nobody / name).stat()
        assert (info.st_uid, info.st_mode & 0o077) == (NOBODY.uid, 0), name
    owner.process.kill()
    await owner.process.wait()
    owner = await OwnerProcess.run(home_of_nobody / "data", env=environment)
    assert await redis_do(owner.urls["valkey"], "GET", "kept") == "yes"
    assert await sql(owner.urls["postgres"], "SELECT count(*) FROM kept") == 0
    assert await owner.end() == 0


@needs_root
async def test_a_user_id_without_a_name_runs_both(home_of_nobody):
    """As in containers that run with any number for a user."""
    if not can_reach(find_install().bin / "postgres", NOBODY):
        pytest.skip("other users cannot reach the installed packages")
    uid = 54321
    probe = subprocess.run(["unshare", "--user", "true"], user=uid, group=uid, extra_groups=[], check=False)
    if probe.returncode != 0:
        pytest.skip("user namespaces are forbidden here")
    os.chown(home_of_nobody, uid, uid)
    environment = {**os.environ, "BECOME": str(uid), "CHILD_PYTHON": _python_for_everybody()}
    owner = await OwnerProcess.run(home_of_nobody / "data", env=environment)
    assert await sql(owner.urls["postgres"], "SELECT 1") == 1
    info = (home_of_nobody / "data" / "postgres" / "PG_VERSION").stat()
    assert (info.st_uid, info.st_gid) == (uid, uid)
    assert await owner.end() == 0


@needs_root
async def test_root_keeps_the_data_in_its_private_directory_and_changes_no_permissions(tmp_path, make_pair):
    private = tmp_path / "home"
    private.mkdir(mode=0o700)
    pair = make_pair(private)
    await pair.start()
    assert not can_reach(private, NOBODY)
    assert (private / "postgres").stat().st_uid == NOBODY.uid
    assert stat.S_IMODE((private / "postgres").stat().st_mode) == 0o700
    assert Path(f"/proc/{pair.postgres.pid}").stat().st_uid == NOBODY.uid
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    await sql(pair.postgres.url, "CREATE TABLE reloaded AS SELECT pg_reload_conf()")
    assert await sql(pair.postgres.url, "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == 0


@needs_root
async def test_root_copies_binaries_that_its_user_cannot_reach(tmp_path):
    hidden = tmp_path / "venv"
    hidden.mkdir(mode=0o700)
    package = find_install().package
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.parent / name, hidden / name, copy_function=os.link)
    install = PostgresInstall(hidden / package.name)
    with tempfile.TemporaryDirectory(prefix="airnode-cache-", ignore_cleanup_errors=True) as cache:
        os.chmod(cache, 0o755)
        copy = reachable_install(install, NOBODY, [Path(cache)])
        assert copy.package.is_relative_to(cache)
        assert reachable_install(install, NOBODY, [Path(cache)]).package == copy.package
        server = EmbeddedPostgres(tmp_path, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()), install=copy)
        await server.start()
        try:
            assert await sql(server.url, "SELECT 1") == 1
            assert str(Path(f"/proc/{server.pid}/exe").readlink()).startswith(cache)
        finally:
            await server.stop()
        (copy.bin / "initdb").write_bytes(b"torn")
        again = reachable_install(install, NOBODY, [Path(cache)])
        assert (again.bin / "initdb").stat().st_size == (install.bin / "initdb").stat().st_size
        assert [path.name for path in Path(cache).iterdir()] == [again.package.parent.name]


@needs_root
async def test_an_unknown_user_for_postgres_is_one_sentence(tmp_path, make_pair):
    for user, words in (("no-such-user", "no user 'no-such-user'"), ("root", "refuses to run as root")):
        with pytest.raises(StartupError, match=words):
            await make_pair(tmp_path, postgres_user=user).postgres.start()


@needs_root
async def test_root_hands_the_data_over_when_the_user_for_postgres_changes(tmp_path, make_pair):
    daemon = pwd.getpwnam("daemon")
    first = make_pair(tmp_path)
    await first.postgres.start()
    await sql(first.postgres.url, "CREATE TABLE kept AS SELECT 'yes' AS value")
    await first.stop()
    second = make_pair(tmp_path, postgres_user="daemon")
    await second.postgres.start()
    assert await sql(second.postgres.url, "SELECT value FROM kept") == "yes"
    owners = {path.lstat().st_uid for path in (tmp_path / "postgres").rglob("*")}
    assert owners == {daemon.pw_uid}


@needs_root
async def test_data_of_another_user_is_refused_with_advice(tmp_path):
    cluster = DatabaseCluster(tmp_path, tmp_path / "postgres.lock", account=None)
    cluster.path.mkdir()
    (cluster.path / "PG_VERSION").write_text(f"{find_install().major}\n")
    os.chown(cluster.path, NOBODY.uid, NOBODY.gid)
    with pytest.raises(StartupError, match="belongs to another user"):
        await cluster.ensure(find_install(), TaskScope("test"))
