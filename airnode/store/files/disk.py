"""Free space, reads and writes of a disk. All functions block: call them in a thread, never on the event loop."""

import contextlib
import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

#: Prefix of directories that are being removed. If a crash leaves one behind, it is removed at the next start.
REMOVED_PREFIX = ".removed-"
_PROBE = ".probe"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskTooFull(OSError):
    """The disk has less free space than a setting requires.

    Args:
        key: the configuration key that sets ``least_bytes``.
    """

    def __init__(self, free_bytes: int, least_bytes: int, key: str) -> None:
        text = f"{free_bytes >> 10:,} KiB are free, and {least_bytes >> 10:,} KiB have to be ({key})"
        super().__init__(text)


def is_full(error: OSError) -> bool:
    """Return whether the disk, or the quota, is full."""
    return isinstance(error, DiskTooFull) or error.errno in _FULL


def require_free_bytes(root: Path, least_bytes: int, key: str) -> None:
    """Raise DiskTooFull if the disk of ``root`` has less free space; the error names the setting ``key``."""
    free = free_bytes(root)
    if free < least_bytes:
        raise DiskTooFull(free, least_bytes, key)


def free_bytes(root: Path) -> int:
    """Return the free bytes on the disk of ``root``, without those reserved for the superuser.

    The directory ``root`` may not exist yet.
    """
    while not root.exists() and root != root.parent:
        root = root.parent
    found = os.statvfs(root)
    return found.f_bavail * found.f_frsize


def probe_writable(root: Path) -> None:
    """Write and remove a small file in ``root``. Create the directory if it is missing.

    Raises:
        OSError: nothing can be written there.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o750)
    path = root / _PROBE
    try:
        with path.open("wb") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def read_at(fd: int, at: int, size: int) -> bytes:
    """Return ``size`` bytes from the offset ``at`` on, or fewer at the end of the file."""
    pieces = []
    while size > 0 and (piece := os.pread(fd, size, at)):
        pieces.append(piece)
        at, size = at + len(piece), size - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def write_at(fd: int, pieces: Sequence[bytes], at: int) -> int:
    """Write all pieces from the offset ``at`` on. Return the offset after the last byte."""
    for piece in pieces:
        view = memoryview(piece)
        while view:
            written = os.pwrite(fd, view, at)
            if written <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            view, at = view[written:], at + written
    return at


def sync_directory(path: Path) -> None:
    """Flush the entries of a directory to the disk, so that they survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_directory(directory: Path) -> None:
    """Remove a directory, and its parent if that is empty then. It is renamed first, so that it disappears at once."""
    gone = directory.with_name(REMOVED_PREFIX + directory.name)
    directory.rename(gone)
    shutil.rmtree(gone)
    with contextlib.suppress(OSError):
        directory.parent.rmdir()  # fails if the parent is not empty
