"""The data directory, with all files that this node keeps. One airnode uses it at a time."""

import errno
import fcntl
import os
from pathlib import Path

from airnode.errors import StartupError

#: Written and synced once at the start, so that a full disk is reported before a database fails on it.
_PROBE_BYTES = 256 << 10


class DataDir:
    """A directory that one airnode process locks at a time. The lock (flock(2)) ends with the process, also on SIGKILL.

    Args:
        path: created with mode 700 when missing; the permissions of an existing one do not change.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(os.path.expanduser(path)))
        self._lock_fd: int | None = None

    def acquire(self) -> None:
        """Create the directory, check that it can be written, and lock it.

        Raises:
            StartupError: it is not writable, is a file, is on a full disk, or is in use by another airnode.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._startup_error(error) from error
        try:
            self._lock(fd)
            self._probe()
        except BaseException:
            os.close(fd)
            raise
        self._lock_fd = fd

    def release(self) -> None:
        """Unlock the directory. A second call does nothing."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            raise StartupError(
                f"Another airnode (pid {pid}) is using {self.path}; stop it or give this one its own --data-dir."
            ) from None
        except OSError as error:
            raise self._startup_error(error) from error
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise self._startup_error(error) from error

    def _probe(self) -> None:
        probe = self.path / ".probe"
        try:
            fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                left = _PROBE_BYTES
                while left > 0:
                    left -= os.write(fd, bytes(left))
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._startup_error(error) from error
        finally:
            probe.unlink(missing_ok=True)

    def _startup_error(self, error: OSError) -> StartupError:
        place = f"The data directory {self.path}"
        match error.errno:
            case errno.EACCES | errno.EPERM | errno.EROFS:
                text = f"{place} is not writable for this user; choose another with --data-dir."
            case errno.EEXIST | errno.ENOTDIR:
                text = f"{place} is a file or lies below one; choose another with --data-dir."
            case errno.ENOSPC | errno.EDQUOT:
                text = f"{place} cannot be used: the disk is full."
            case _:
                text = f"{place} cannot be used: {error.strerror or error}."
        return StartupError(text)
