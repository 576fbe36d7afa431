"""Access to the embedded servers over the network: addresses, and users for roles on other machines."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airnode.errors import StartupError
from airnode.kernel.access import RemoteAccess


@dataclass(frozen=True, slots=True)
class RemoteUser:
    """A user of a server for roles on other machines. The password has letters and digits only."""

    access: RemoteAccess
    password: str


@dataclass(frozen=True, slots=True)
class NetworkAccess:
    """How roles on other machines connect.

    Attributes:
        port: 0 takes any free port, and the same port again at the next start.
    """

    host: str
    port: int
    users: Sequence[RemoteUser]

    def password(self, access: RemoteAccess) -> str:
        """Return the password of the user for ``access``; empty: there is no such user."""
        return next((user.password for user in self.users if user.access.name == access.name), "")


def kept_port(host: str, port: int, kept: Path, *, server: str, key: str) -> int:
    """Return the port to listen on, and write it to the file ``kept``.

    For port 0, that is the port in the file if it is free, else any free port.

    Args:
        server, key: the server and the configuration key of the port, for the error.

    Raises:
        StartupError: the port is in use.
    """
    wanted = [port]
    if not port and kept.is_file() and (text := kept.read_text().strip()).isdigit():
        wanted.insert(0, int(text))
    reason = ""
    for each in wanted:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host, each))
            except OSError as error:
                reason = error.strerror or str(error)
                continue
            found: int = sock.getsockname()[1]
            kept.write_text(f"{found}\n")
            return found
    raise StartupError(
        f"Port {port} on {host} for the embedded {server} cannot be had: {reason}; choose another "
        f"with --set {key}=PORT (0 takes any free one)."
    )
