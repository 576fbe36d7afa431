"""One run of a child process: launch, output, exit."""

import asyncio
import collections
import contextlib
import enum
import json
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from airnode.kernel.tasks import TaskScope
from airnode.processes import launch

log = structlog.get_logger(__name__)

_TAIL_LINES = 20
_LINE_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Account:
    """The system user that a child runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Limits of a child; None: no limit. Its own children inherit them; each process is counted alone (setrlimit(2)).

    Attributes:
        memory_bytes: address space; an allocation beyond it fails in the child.
        cpu_s: seconds of processor time; then SIGXCPU, a second later SIGKILL.
        file_size_bytes: largest file that it may write; then SIGXFSZ, or EFBIG if it ignores that signal.
        open_files: number of open file descriptors; opening more fails in the child.
        wall_s: seconds from the launch; then the child and its process group are killed.
    """

    memory_bytes: int | None = None
    cpu_s: int | None = None
    file_size_bytes: int | None = None
    open_files: int | None = None
    wall_s: float | None = None

    def rlimits(self) -> dict[str, int]:
        """Return the limits of the kernel, {name in the module ``resource``: value}."""
        limits = {
            "RLIMIT_AS": self.memory_bytes,
            "RLIMIT_CPU": self.cpu_s,
            "RLIMIT_FSIZE": self.file_size_bytes,
            "RLIMIT_NOFILE": self.open_files,
        }
        return {name: value for name, value in limits.items() if value is not None}


class ExitReason(enum.StrEnum):
    """Why a child has ended."""

    #: It ended by itself, with an exit code.
    EXITED = "exited"
    #: A signal that is not due to a limit.
    SIGNAL = "signal"
    CPU_TIME = "cpu_time"
    FILE_SIZE = "file_size"
    WALL_TIME = "wall_time"


_LIMIT_SIGNALS = {signal.SIGXCPU: ExitReason.CPU_TIME, signal.SIGXFSZ: ExitReason.FILE_SIZE}


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """How to launch a child.

    Attributes:
        argv: program and arguments. ``{cwd}`` in them is replaced by a path to ``cwd`` that works for the child's user.
        lock: file whose ``flock`` is held as long as the child lives; holds the child's pid.
        account: user that the child runs as, if airnode runs as root; None: airnode's own user.
        alias_uid: user id that the child sees as its own, in a user namespace if the system allows one (Linux). Some
            programs need a user name, and in a container the real user id may have none.
        death_signal: sent to the child when airnode dies (Linux).
        redact: text that airnode replaces by ``***`` when it logs the output.
        limits: limits of the child; none by default.
        inherit: open descriptors of airnode that the child has under the same numbers.
    """

    argv: Sequence[str]
    cwd: Path
    lock: Path
    account: Account | None = None
    alias_uid: int | None = None
    death_signal: signal.Signals = signal.SIGTERM
    env: Mapping[str, str] = field(default_factory=dict)
    redact: re.Pattern[str] | None = None
    limits: ProcessLimits = ProcessLimits()
    inherit: Sequence[int] = ()

    def to_json(self) -> str:
        """Return the argument for :mod:`airnode.processes.launch`."""
        return json.dumps(
            {
                "argv": list(self.argv),
                "cwd": str(self.cwd),
                "lock": str(self.lock),
                "uid": self.account.uid if self.account else None,
                "gid": self.account.gid if self.account else None,
                "alias_uid": self.alias_uid,
                "death_signal": int(self.death_signal),
                "parent": os.getpid(),
                "limits": self.limits.rlimits(),
                "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **self.env},
            }
        )


class ChildProcess:
    """A running child in its own session, so that Ctrl-C on a terminal stops airnode only.

    Its output is read line by line and logged at debug level. The last lines are kept for the report of its exit.
    """

    def __init__(
        self,
        name: str,
        process: asyncio.subprocess.Process,
        output_fd: int,
        tasks: TaskScope,
        redact: re.Pattern[str] | None = None,
        wall_s: float | None = None,
    ) -> None:
        self.name = name
        self._wall_time_over = False
        self._redact = redact
        self.pid = process.pid
        self._process = process
        #: The last lines of output, at most 20 of at most 2,000 bytes. Owned by ``_read_output``.
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        #: Its result is the exit code (negative: the signal), once the process has ended.
        self.exited: asyncio.Task[int] = tasks.spawn(f"{name}-exit", process.wait())
        self._output: asyncio.Task[None] = tasks.spawn(f"{name}-output", self._read_output(output_fd))
        if wall_s is not None:
            tasks.spawn(f"{name}-deadline", self._end_after(wall_s))

    @classmethod
    async def launch(cls, name: str, spec: LaunchSpec, tasks: TaskScope) -> "ChildProcess":
        """Start a child and return it.

        The pipe does not belong to asyncio, so that the exit is detected even while a grandchild keeps the output open.
        """
        read_fd, write_fd = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                launch.__file__,
                spec.to_json(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_fd,
                stderr=write_fd,
                start_new_session=True,
                pass_fds=tuple(spec.inherit),
            )
        except BaseException:
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)
        return cls(name, process, read_fd, tasks, spec.redact, spec.limits.wall_s)

    @property
    def returncode(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        return self.exited.result() if self.exited.done() and not self.exited.cancelled() else None

    @property
    def exit_reason(self) -> ExitReason | None:
        """Return why the child has ended; None while it runs.

        There is no reason for a memory limit, because the program decides what happens when an allocation fails.
        """
        code = self.returncode
        if code is None:
            return None
        if self._wall_time_over:
            return ExitReason.WALL_TIME
        if code >= 0:
            return ExitReason.EXITED
        return _LIMIT_SIGNALS.get(signal.Signals(-code), ExitReason.SIGNAL)

    def kill_group(self) -> None:
        """Kill the child and its own children in the same process group, also after the child has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal, unless the child has ended."""
        if self.returncode is None:
            try:
                self._process.send_signal(signum)
            except ProcessLookupError:
                return

    async def wait(self, timeout_s: float) -> bool:
        """Wait at most ``timeout_s`` for the exit. Return whether the child has ended."""
        await asyncio.wait([self.exited], timeout=timeout_s)
        return self.exited.done()

    async def _end_after(self, wall_s: float) -> None:
        if not await self.wait(wall_s):
            self._wall_time_over = True
            log.warning("child_process_killed", process=self.name, wall_s=wall_s)
            self.kill_group()

    async def tail(self) -> str:
        """Return the last lines of output. After the exit, wait up to 0.5 s until all output has been read."""
        if self.exited.done():
            await asyncio.wait([self._output], timeout=0.5)
        return "\n".join(self._tail)

    async def _read_output(self, fd: int) -> None:
        rest = b""
        try:
            os.set_blocking(fd, False)
            while data := await _read(fd, _LINE_BYTES):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._keep(line)
                if len(rest) >= _LINE_BYTES:
                    self._keep(rest)
                    rest = b""
            self._keep(rest)
        finally:
            os.close(fd)

    def _keep(self, line: bytes) -> None:
        text = line[:_LINE_BYTES].decode(errors="replace").rstrip()
        if self._redact is not None:
            text = self._redact.sub("***", text)
        if text:
            self._tail.append(text)
            log.debug("process_output", process=self.name, line=text)


async def _read(fd: int, max_bytes: int) -> bytes:
    """Return what a non-blocking descriptor has to read, or nothing at its end.

    Not by ``connect_read_pipe``: uvloop closes the descriptor of such a pipe twice, and between the two another thread
    may have opened a file under the same number.
    """
    while True:
        try:
            return os.read(fd, max_bytes)
        except BlockingIOError:
            await _readable(fd)


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
