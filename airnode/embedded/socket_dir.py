"""Short paths for unix sockets.

``sockaddr_un.sun_path`` holds about 100 bytes, and the path of a data directory may be longer. The servers bind a
relative path in their own working directory, which is always short; only clients need a short path. Instead of a long
path, they use a symbolic link in a private directory (mode 700, owner checked). The name of this directory is derived
from the data directory.
"""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from airnode.errors import StartupError

#: Linux allows 107 bytes, macOS 103; the rest is left for suffixes that a server adds.
MAX_SOCKET_PATH_BYTES = 100


class SocketDir:
    """The path under which clients reach the sockets in ``directory``.

    Args:
        directory: absolute path of the server's working directory, which contains the socket.
        longest_name: the longest file name of a socket in it.
    """

    def __init__(self, directory: Path, longest_name: str) -> None:
        self._directory = directory
        # Commas separate hosts in a PostgreSQL address, so such a path needs the link too.
        short = len(os.fsencode(directory / longest_name)) <= MAX_SOCKET_PATH_BYTES and "," not in str(directory)
        self._private = None if short else _private_dir(directory)
        #: The directory in which clients find the socket.
        self.path = directory if self._private is None else self._private / "s"

    def ensure(self) -> None:
        """Create the link if it is needed, and keep it from being removed as an old temporary file. Cheap.

        Raises:
            StartupError: the private directory belongs to another user, or cannot be created.
        """
        if self._private is None:
            return
        try:
            self._private.mkdir(mode=0o700, exist_ok=True)
            _check_private(self._private)
            if not self.path.is_symlink() or os.readlink(self.path) != str(self._directory):
                self.path.unlink(missing_ok=True)
                self.path.symlink_to(self._directory)
            os.utime(self._private)
            os.utime(self.path, follow_symlinks=False)
        except OSError as error:
            raise StartupError(f"Cannot make the socket directory {self._private}: {error.strerror}.") from error

    def remove(self) -> None:
        """Remove the link and its directory, if they exist."""
        if self._private is not None:
            try:
                self.path.unlink(missing_ok=True)
                self._private.rmdir()
            except OSError:
                return


def _private_dir(directory: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return _runtime_base() / f"airnode-{os.getuid()}-{digest}"


def _runtime_base() -> Path:
    for candidate in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()):
        if candidate and len(os.fsencode(candidate)) <= 52 and "," not in candidate and os.access(candidate, os.W_OK):
            return Path(candidate)
    return Path("/tmp")  # noqa: S108 - the name below it is private, and its owner is checked


def _check_private(path: Path) -> None:
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
        raise StartupError(f"{path} is not a private directory of this user; remove it.")
