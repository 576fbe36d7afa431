"""Supervision of a server that airnode runs: start it, wait until it answers, restart it when it ends, stop it."""

import abc
import asyncio
import contextlib
import fcntl
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import structlog
from prometheus_client import Counter

from airnode.errors import StartupError
from airnode.kernel.backoff import Backoff
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope, ended
from airnode.processes.child import ChildProcess, LaunchSpec

log = structlog.get_logger(__name__)

_PROBE_TIMEOUT_S = 2.0
_UPKEEP_S = 3600.0
_RESTART_PAUSE_LAST_S = 10.0
#: The start fails after this many exits before the first answer. One exit may be due to an orphan that is still ending.
_START_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """How long the supervision waits for a process, and how messages to people name it.

    Attributes:
        title: the start of a sentence, such as ``The embedded valkey``.
        start_timeout_s: longest wait for the first answer; start() fails afterwards.
        stop_timeout_s: longest wait for the exit after the stop signal; SIGKILL follows.
        healthy_s: after a run of at least this length, the restart comes after the shortest pause again.
    """

    title: str
    start_timeout_s: float
    stop_timeout_s: float
    healthy_s: float = 60.0


class ChildExited(Exception):
    """The child ended before it answered."""

    def __init__(self, returncode: int, tail: str) -> None:
        super().__init__(f"exit code {returncode}: {tail}")
        self.returncode, self.tail = returncode, tail


class ChildServer(Service, abc.ABC):
    """A supervised child process that answers requests. A subclass defines the program and the request.

    One run: stop the process of an earlier airnode -> :meth:`prepare` -> launch -> :meth:`probe` until it answers.

    Args:
        process: its name in the log.
        lock: see :class:`LaunchSpec`; one for each process and data directory.
        restarts: counts unexpected exits; its only label is the process's name.
    """

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, process: str, lock: Path, options: ProcessOptions, restarts: Counter) -> None:
        super().__init__()
        self.name = f"process-{process}"
        self.process = process
        self._lock = lock
        self._options = options
        self._restarts = restarts.labels(process)
        self._tasks = TaskScope(self.name)
        self._supervision: asyncio.Task[None] | None = None
        self._child: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        """Return the id of the running process; None: no process runs."""
        return self._child.pid if self._child and self._child.returncode is None else None

    @abc.abstractmethod
    async def prepare(self) -> LaunchSpec:
        """Write the files that the process needs, and return how to launch it. Called before each launch."""

    @abc.abstractmethod
    async def probe(self) -> None:
        """Send a request to the process. Raises ``OSError`` while it does not answer yet."""

    def upkeep(self) -> None:
        """Do small regular work, about once an hour while the process runs."""

    async def start(self) -> None:
        """Start the process and wait until it answers.

        Raises:
            StartupError: it does not answer in time, or ends; ``debug`` contains the last lines of its output.
        """
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                took_s = await self._start_first()
        except TimeoutError:
            tail = await self._child.tail() if self._child else ""
            raise StartupError(
                f"{self._options.title} did not answer within {self._options.start_timeout_s:g} s.", debug=tail
            ) from None
        log.info("process_started", process=self.process, pid=self.pid, took_s=round(took_s, 3))
        self._supervision = self._tasks.spawn("supervise", self._supervise())

    async def stop(self) -> None:
        """Send the stop signal, and kill the process if it still runs ``stop_timeout_s`` later."""
        if self._supervision is not None:
            await ended(self._supervision)
        if self._child is not None:
            await self._end(self._child)
            self._child = None
        await self._tasks.aclose()

    def kill(self) -> None:
        """Kill a process that hangs; the supervision starts it again."""
        if self._child is not None:
            log.warning("process_hangs", process=self.process, pid=self._child.pid)
            self._child.signal(signal.SIGKILL)

    async def _start_first(self) -> float:
        """Return how long the start took, in seconds. A process that ends before it answers is started again."""
        began_s = asyncio.get_running_loop().time()
        backoff = Backoff(last_s=_RESTART_PAUSE_LAST_S)
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                await self._run_once()
                break
            except ChildExited as error:
                if attempt == _START_ATTEMPTS:
                    last_line = error.tail.rpartition("\n")[2] or "no output"
                    raise StartupError(
                        f"{self._options.title} exits with code {error.returncode}: {last_line}", debug=error.tail
                    ) from None
                await backoff.pause()
        return asyncio.get_running_loop().time() - began_s

    async def _run_once(self) -> None:
        await stop_orphan(self._lock, self.stop_signal, self._options.stop_timeout_s)
        spec = await self.prepare()
        self._child = await ChildProcess.launch(self.process, spec, self._tasks)
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
            began_s = loop.time()
            report = await self._watch()
            if loop.time() - began_s >= self._options.healthy_s:
                backoff.reset()
            pause_s = backoff.next_s()
            self._restarts.inc()
            log.error("process_exited", process=self.process, restart_in_s=round(pause_s, 3), **report)
            await asyncio.sleep(pause_s)
            await self._restart()

    async def _watch(self) -> dict[str, object]:
        """Wait until the child has ended. Return the fields of the log event about its exit."""
        child = self._child
        if child is None:
            return {"reason": "not started"}
        while not await child.wait(_UPKEEP_S):
            self.upkeep()
        return {"exit_code": child.returncode, "output": await child.tail()}

    async def _restart(self) -> None:
        """Start the process again. A failure is logged and leaves no child, so that :meth:`_supervise` tries again."""
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                await self._run_once()
        except ChildExited:
            return  # _watch sees the ended child and reports it
        except (OSError, StartupError) as error:
            log.warning("process_restart_failed", process=self.process, error=str(error) or repr(error))
            if self._child is not None:
                await self._end(self._child)
                self._child = None
        else:
            log.info("process_restarted", process=self.process, pid=self.pid)

    async def _end(self, child: ChildProcess) -> None:
        child.signal(self.stop_signal)
        if not await child.wait(self._options.stop_timeout_s):
            log.warning("process_killed", process=self.process, after_s=self._options.stop_timeout_s)
            child.signal(signal.SIGKILL)
            await child.exited


async def stop_orphan(lock: Path, stop_signal: signal.Signals, timeout_s: float) -> None:
    """Stop a process that a killed airnode left on the same data, and wait until it has ended.

    The process and its own children hold the lock. A free lock proves that all of them have ended. If the lock is held,
    its file contains the pid of the process, which may have ended a moment ago.

    Raises:
        StartupError: something holds the lock even after SIGKILL.
    """
    if _lock_is_free(lock):
        return
    pid = read_pid(lock)
    log.warning("process_orphan_found", lock=str(lock), pid=pid)
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
    """Return the pid of the process that holds the lock or held it last; None: the file contains none."""
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
