"""A MediaMTX of airnode's own: found, given its configuration, supervised."""

import asyncio
import os
import re
import shutil
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from airnode.config.sections.embedded import EmbeddedSection
from airnode.errors import AirnodeError, StartupError
from airnode.processes.child import LaunchSpec
from airnode.processes.supervisor import ChildServer, EmbeddedMetrics

_FILE = "mediamtx.yml"
#: Stream keys stand in paths, and paths in MediaMTX's log.
SECRET_PATHS = re.compile(r"live/[^\s'\"\]/?]+")


@dataclass(frozen=True, slots=True)
class MediaMtxPorts:
    """Loopback ports of one run."""

    api: int
    hls: int


class MediaMtxServer(ChildServer):
    """MediaMTX in ``<data_dir>/mediamtx``.

    Args:
        render: the configuration for these ports. probe: asks it something; raises AirnodeError while it is not there.
        api_port, hls_port: 0 takes any free one, at each launch anew.
    """

    def __init__(
        self,
        binary: Path,
        data_dir: Path,
        settings: EmbeddedSection,
        metrics: EmbeddedMetrics,
        *,
        api_port: int,
        hls_port: int,
        render: Callable[[MediaMtxPorts], str],
        probe: Callable[[], Awaitable[object]],
    ) -> None:
        super().__init__("mediamtx", data_dir / "mediamtx.lock", settings, metrics)
        self._binary = binary
        self._directory = data_dir / "mediamtx"
        self._wanted = MediaMtxPorts(api_port, hls_port)
        self._render = render
        self._probe = probe
        self.ports = self._wanted

    async def prepare(self) -> LaunchSpec:
        """Choose the ports and write the file."""
        self.ports = MediaMtxPorts(*_free_ports(self._wanted.api, self._wanted.hls))
        await asyncio.to_thread(self._write, self._render(self.ports))
        return LaunchSpec([str(self._binary), _FILE], self._directory, self._lock, redact=SECRET_PATHS)

    async def probe(self) -> None:
        """Ask its API."""
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
    """Whether a server that runs has hung: it did not answer for ``restart_after_s``. Time is passed in."""

    def __init__(self, restart_after_s: float, now_s: float) -> None:
        self._restart_after_s = restart_after_s
        self._since_s = now_s

    def answered(self, now_s: float) -> None:
        """It did."""
        self._since_s = now_s

    def hangs(self, now_s: float) -> bool:
        """It did not; True once each time that it has gone on for too long."""
        if now_s - self._since_s < self._restart_after_s:
            return False
        self._since_s = now_s
        return True


def _free_ports(*wanted: int) -> list[int]:
    """Each port, or a free one of loopback where it is 0. Another program may take it before MediaMTX does, which then
    ends and is started again with others.

    Raises:
        StartupError: a port that was asked for cannot be had.
    """
    taken: list[socket.socket] = []
    try:
        for port in wanted:
            sock = socket.socket()
            taken.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                raise StartupError(
                    f"Port {port} on 127.0.0.1 for MediaMTX cannot be had: {error.strerror}; set mediamtx.api_port and "
                    "mediamtx.hls_port to 0 for any free ones."
                ) from None
        return [int(sock.getsockname()[1]) for sock in taken]
    finally:
        for sock in taken:
            sock.close()


def find_mediamtx(configured: Path | None) -> Path:
    """The program to run.

    Raises:
        StartupError: there is none.
    """
    if configured is not None:
        path = configured.expanduser().absolute()
        if not path.is_file() or not os.access(path, os.X_OK):
            raise StartupError(f"mediamtx.binary is {path}, which is no program that this user may run.")
        return path
    found = shutil.which("mediamtx")
    if found is None:
        raise StartupError(
            "media.engine is mediamtx, but there is no 'mediamtx' on PATH: install MediaMTX 1.18.1 or later, set "
            "mediamtx.binary, or set mediamtx.api_url to one that runs already; media.engine = builtin needs none."
        )
    return Path(found).absolute()
