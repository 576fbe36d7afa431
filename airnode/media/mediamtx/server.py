"""Starts MediaMTX: finds the program, writes its configuration and supervises the process."""

import asyncio
import os
import re
import shutil
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter

from airnode.errors import AirnodeError, StartupError
from airnode.media.mediamtx.config_file import ENVIRONMENT
from airnode.processes.child import LaunchSpec
from airnode.processes.supervisor import ChildServer, ProcessOptions

_FILE = "mediamtx.yml"
#: MediaMTX logs paths, and paths contain stream keys.
SECRET_PATHS = re.compile(r"live/[^\s'\"\]/?]+")


@dataclass(frozen=True, slots=True)
class MediaMtxPorts:
    """The loopback ports of one run. ``whip`` is the port behind airnode's WHIP port."""

    api: int
    hls: int
    whip: int = 0


class MediaMtxServer(ChildServer):
    """The MediaMTX process in ``<data_dir>/mediamtx``.

    Args:
        api_port, hls_port: 0: each launch takes a free port.
        render: returns the configuration for these ports.
        probe: sends a request; raises AirnodeError until MediaMTX answers.
    """

    def __init__(
        self,
        binary: Path,
        data_dir: Path,
        options: ProcessOptions,
        restarts: Counter,
        *,
        api_port: int,
        hls_port: int,
        render: Callable[[MediaMtxPorts], str],
        probe: Callable[[], Awaitable[object]],
    ) -> None:
        super().__init__("mediamtx", data_dir / "mediamtx.lock", options, restarts)
        self._binary = binary
        self._directory = data_dir / "mediamtx"
        self._configured_ports = MediaMtxPorts(api_port, hls_port)
        self._render = render
        self._probe = probe
        self.ports = self._configured_ports

    async def prepare(self) -> LaunchSpec:
        """Return the command to start, after choosing the ports and writing the configuration file."""
        self.ports = MediaMtxPorts(*_free_ports(self._configured_ports.api, self._configured_ports.hls, 0))
        await asyncio.to_thread(self._write, self._render(self.ports))
        return LaunchSpec([str(self._binary), _FILE], self._directory, self._lock, env=ENVIRONMENT, redact=SECRET_PATHS)

    async def probe(self) -> None:
        """Send a request to MediaMTX's API."""
        try:
            await self._probe()
        except AirnodeError as error:
            raise ConnectionError(error.detail) from error

    def _write(self, text: str) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / _FILE
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)


class HangDetector:
    """Detects that a running server does not answer for ``restart_after_s``. The caller passes monotonic times."""

    def __init__(self, restart_after_s: float, now_s: float) -> None:
        self._restart_after_s = restart_after_s
        self._last_answer_s = now_s

    def answered(self, now_s: float) -> None:
        """Note an answer of the server."""
        self._last_answer_s = now_s

    def hangs(self, now_s: float) -> bool:
        """Return whether the server hangs: True once per ``restart_after_s`` without an answer."""
        if now_s - self._last_answer_s < self._restart_after_s:
            return False
        self._last_answer_s = now_s
        return True


def _free_ports(*configured: int) -> list[int]:
    """Return the ports, with a free loopback port for each 0.

    If another program takes a port before MediaMTX binds it, MediaMTX exits and is started again with other ports.

    Raises:
        StartupError: a configured port is in use.
    """
    sockets: list[socket.socket] = []
    try:
        for port in configured:
            sock = socket.socket()
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                raise StartupError(
                    f"MediaMTX cannot use port {port} on 127.0.0.1: {error.strerror}. Set mediamtx.api_port and "
                    "mediamtx.hls_port to 0; airnode then takes free ports."
                ) from None
        return [int(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def find_mediamtx(configured: Path | None) -> Path:
    """Return the path of the MediaMTX program.

    Raises:
        StartupError: the program is not found, or cannot be run.
    """
    if configured is not None:
        path = configured.expanduser().absolute()
        if not path.is_file() or not os.access(path, os.X_OK):
            raise StartupError(f"mediamtx.binary is {path}, which is not a program that this user may run.")
        return path
    found = shutil.which("mediamtx")
    if found is None:
        raise StartupError(
            "media.engine is mediamtx, but there is no 'mediamtx' on PATH: install MediaMTX 1.18.1 or later, set "
            "mediamtx.binary, or set mediamtx.api_url to one that is running already. media.engine = builtin works "
            "without it."
        )
    return Path(found).absolute()
