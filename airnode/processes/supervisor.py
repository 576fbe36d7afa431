"""Supervision of an embedded server: start it, wait until it answers, restart it when it dies, stop it."""

import abc
import asyncio
import contextlib
import fcntl
import os
import signal
from pathlib import Path
from typing import ClassVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.config.sections.embedded import EmbeddedSection
from airnode.errors import StartupError
from airnode.kernel.backoff import Backoff
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope, ended
from airnode.processes.child import ChildProcess, LaunchSpec

log = structlog.get_logger(__name__)

_PROBE_TIMEOUT_S = 2.0
_UPKEEP_S = 3600.0
_RESTART_PAUSE_LAST_S = 10.0
#: A run of this length was healthy: the next restart comes after the shortest pause again.
_HEALTHY_S = 60.0
#: Exits before the first answer that are taken as "cannot start" rather than as bad luck (an orphan's last breath).
_START_ATTEMPTS = 5


class EmbeddedMetrics:
    """Metrics of all embedded servers of one node."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.restarts = Counter(
            "airnode_embedded_restarts_total",
            "Unexpected exits of an embedded server.",
            ["server"],
            registry=registry,
        )
        self.copies_bytes = Gauge(
            "airnode_embedded_copies_bytes",
            "Copies of PostgreSQL's binaries for a user who cannot reach the installed ones.",
            registry=registry,
        )


class ChildExited(Exception):
    """The child ended before it answered."""

    def __init__(self, returncode: int, tail: str) -> None:
        super().__init__(f"exit code {returncode}: {tail}")
        self.returncode, self.tail = returncode, tail


class ChildServer(Service, abc.ABC):
    """A supervised child server; subclasses say what to run and how to ask whether it answers.

    A run: stop what an earlier airnode left behind -> :meth:`prepare` -> launch -> :meth:`probe` until it answers.

    Args:
        lock: see :class:`LaunchSpec`; one per server and data directory.
    """

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, name: str, lock: Path, settings: EmbeddedSection, metrics: EmbeddedMetrics) -> None:
        super().__init__()
        self.name = f"embedded-{name}"
        self.server = name
        self._lock = lock
        self._settings = settings
        self._restarts = metrics.restarts.labels(server=name)
        self._tasks = TaskScope(self.name)
        self._supervision: asyncio.Task[None] | None = None
        self._child: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        return self._child.pid if self._child and self._child.returncode is None else None

    @abc.abstractmethod
    async def prepare(self) -> LaunchSpec:
        """Make what the server needs on disk and say how to launch it. Runs before each launch."""

    @abc.abstractmethod
    async def probe(self) -> None:
        """Ask the server something. Raises ``OSError`` while it does not answer yet."""

    def upkeep(self) -> None:
        """Do small regular chores, about once an hour."""

    async def start(self) -> None:
        """Start it and return once it answers.

        Raises:
            StartupError: it does not, with the last lines of its output.
        """
        try:
            async with asyncio.timeout(self._settings.start_timeout_s):
                started_s = await self._start_first()
        except TimeoutError:
            tail = await self._child.tail() if self._child else ""
            raise StartupError(
                f"The embedded {self.server} did not answer within {self._settings.start_timeout_s:g} s.", debug=tail
            ) from None
        log.info("embedded_server_started", server=self.server, pid=self.pid, took_s=round(started_s, 3))
        self._supervision = self._tasks.spawn("supervise", self._supervise())

    async def stop(self) -> None:
        """Ask it to stop, and kill it when it takes longer than ``embedded.stop_timeout_s``."""
        if self._supervision is not None:
            await ended(self._supervision)
        if self._child is not None:
            await self._end(self._child)
            self._child = None
        await self._tasks.aclose()

    def kill(self) -> None:
        """End a server that hangs; the supervision starts it again."""
        if self._child is not None:
            log.warning("embedded_server_hangs", server=self.server, pid=self._child.pid)
            self._child.signal(signal.SIGKILL)

    async def _start_first(self) -> float:
        began = asyncio.get_running_loop().time()
        backoff = Backoff(last_s=_RESTART_PAUSE_LAST_S)
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                await self._run_once()
                break
            except ChildExited as error:
                if attempt == _START_ATTEMPTS:
                    last_line = error.tail.rpartition("\n")[2] or "no output"
                    raise StartupError(
                        f"The embedded {self.server} exits with code {error.returncode}: {last_line}", debug=error.tail
                    ) from None
                await backoff.pause()
        return asyncio.get_running_loop().time() - began

    async def _run_once(self) -> None:
        await stop_orphan(self._lock, self.stop_signal, self._settings.stop_timeout_s)
        spec = await self.prepare()
        self._child = await ChildProcess.launch(self.server, spec, self._tasks)
        await self._until_answering(self._child)

    async def _until_answering(self, child: ChildProcess) -> None:
        pause_s = 0.002
        while child.returncode is None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_PROBE_TIMEOUT_S):
                    await self.probe()
                    return
            await child.wait(pause_s)
            pause_s = min(pause_s * 1.5, 0.05)
        raise ChildExited(child.returncode, await child.tail())

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(last_s=_RESTART_PAUSE_LAST_S)
        while True:
            began = loop.time()
            report = await self._watch()
            if loop.time() - began >= _HEALTHY_S:
                backoff.reset()
            pause_s = backoff.next_s()
            self._restarts.inc()
            log.error("embedded_server_exited", server=self.server, restart_in_s=round(pause_s, 3), **report)
            await asyncio.sleep(pause_s)
            await self._restart()

    async def _watch(self) -> dict[str, object]:
        """Return what is known about the exit once the child has ended."""
        child = self._child
        if child is None:
            return {"reason": "not started"}
        while not await child.wait(_UPKEEP_S):
            self.upkeep()
        return {"exit_code": child.returncode, "output": await child.tail()}

    async def _restart(self) -> None:
        """Run it again; a failure is logged and leaves no child, so that the supervision goes round again."""
        try:
            async with asyncio.timeout(self._settings.start_timeout_s):
                await self._run_once()
        except ChildExited:
            return  # _watch sees the ended child and reports it
        except (OSError, StartupError) as error:
            log.warning("embedded_server_restart_failed", server=self.server, error=str(error) or repr(error))
            if self._child is not None:
                await self._end(self._child)
                self._child = None
        else:
            log.info("embedded_server_restarted", server=self.server, pid=self.pid)

    async def _end(self, child: ChildProcess) -> None:
        child.signal(self.stop_signal)
        if not await child.wait(self._settings.stop_timeout_s):
            log.warning("embedded_server_killed", server=self.server, after_s=self._settings.stop_timeout_s)
            child.signal(signal.SIGKILL)
            await child.exited


async def stop_orphan(lock: Path, stop_signal: signal.Signals, timeout_s: float) -> None:
    """Stop the server that an earlier, killed airnode left on the same data; returns once nothing of it is left.

    The lock is held by the server and its own children, so a free lock proves that none is left, and a held one that
    the pid in it is (or just was) the server's.

    Raises:
        StartupError: something holds the lock even after SIGKILL.
    """
    if _lock_is_free(lock):
        return
    pid = read_pid(lock)
    log.warning("embedded_server_orphan_found", lock=str(lock), pid=pid)
    for signum in (stop_signal, signal.SIGKILL):
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
        if await _wait_for_lock(lock, timeout_s):
            return
    raise StartupError(f"An earlier server (pid {pid}) still holds {lock} and does not stop; end it by hand.")


async def _wait_for_lock(lock: Path, timeout_s: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not (free := _lock_is_free(lock)) and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # waiting in flock cannot be cancelled
    return free


def read_pid(lock: Path) -> int | None:
    """Return the pid of the server that holds or last held the lock."""
    try:
        return int(lock.read_text())
    except (OSError, ValueError):
        return None


def _lock_is_free(lock: Path) -> bool:
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
