"""Copies of the PostgreSQL binaries, for a user who cannot reach those that are installed.

Each build that was installed on the machine leaves one, of some 40 MB, in a cache directory that all airnodes of the
machine share. Those that were used last are kept, and any that a server runs from.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from airnode.embedded.pg_install import PACKAGE, PostgresInstall, can_reach
from airnode.errors import StartupError
from airnode.processes.child import Account

log = structlog.get_logger(__name__)

#: Making a copy takes a second; what lies there half made for so long was left by a kill.
_ABANDONED_S = 3600.0


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
    target = cache / f"{PACKAGE}-{digest.hexdigest()[:16]}"
    with contextlib.suppress(OSError):
        os.utime(target)  # used now: another node's prune() leaves it alone
    if not _is_whole(target, sizes):
        _make_copy(base, files, target)
    return PostgresInstall(target / PACKAGE)


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


def prune(cache: Path, keep: int) -> int:
    """Remove all copies but the ``keep`` that were used last and those that a server runs from. Returns bytes left."""
    copies = {path: path.stat().st_mtime for path in cache.glob(f"{PACKAGE}-*")}
    newest = sorted(copies, key=lambda path: copies[path], reverse=True)
    for copy in newest[keep:]:
        if not _is_run(copy):
            _remove(copy)
    for torn in cache.glob(f".{PACKAGE}-*"):
        if time.time() - torn.stat().st_mtime > _ABANDONED_S:
            _remove(torn)
    return sum(_size_bytes(copy) for copy in copies if copy.exists())


def _is_run(copy: Path) -> bool:
    """Whether a process of this machine runs a program of it."""
    return any(program.is_relative_to(copy.resolve()) for program in _programs())


def _programs() -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            yield (process / "exe").readlink()


def _remove(path: Path) -> None:
    freed_bytes = _size_bytes(path)
    shutil.rmtree(path, ignore_errors=True)
    log.info("embedded_copy_removed", path=str(path), freed_bytes=freed_bytes)


def _size_bytes(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
