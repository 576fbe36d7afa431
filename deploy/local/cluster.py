"""Starts programs in the order of their dependencies, watches them, and stops them, the master last."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.topology import Program

_POLL_S = 0.05
_LOG_TAIL_LINES = 15
#: The variables that a process inherits; a container would have those of its image.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "LD_LIBRARY_PATH")


class ClusterFailed(Exception):
    """The cluster cannot start or go on; the text says why."""


@dataclass
class Child:
    """A program that runs; its output goes to ``log``."""

    program: Program
    directory: Path
    process: asyncio.subprocess.Process
    log: Path
    #: A script with which a person starts the program again.
    start_script: Path
    endpoints: Mapping[str, Any] = field(default_factory=dict)
    #: It should have ended by itself, but was stopped before.
    interrupted: bool = False

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    @property
    def done(self) -> bool:
        """Return whether it is a program that ends, and ended without error."""
        return self.program.ends and self.process.returncode == 0

    def look(self) -> bool:
        """Return whether it is ready, and read its endpoints. A program that ends is ready when it is done."""
        if self.program.ends:
            return self.done
        try:
            found = json.loads((self.directory / "endpoints.json").read_bytes())
        except (OSError, ValueError):
            return False
        if found.get("pid") != self.process.pid:
            return False
        self.endpoints = found
        return True

    def terminate(self) -> None:
        """Send SIGTERM if it still runs."""
        if self.running:
            self.interrupted = self.program.ends
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()

    async def ended(self, within_s: float) -> None:
        """Wait for its end; send SIGKILL after ``within_s``."""
        try:
            async with asyncio.timeout(within_s):
                await self.process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    def last_words(self) -> str:
        """Return the last lines of its output."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:])


def _end_of(child: Child) -> str:
    return f"{child.program.name} ended with {child.process.returncode}:\n{child.last_words()}"


def _write_start_script(path: Path, command: Sequence[str], env: Mapping[str, str]) -> None:
    """Write a script that runs the command with this environment. Only its owner may read it: it contains secrets."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
        file.write(f"exec {shlex.join(command)}\n")


class LocalCluster:
    """The programs as processes.

    Args:
        airnode: the command. directory: each program gets a data directory and a log in it.
        say: called with each message for people.
    """

    def __init__(self, airnode: str, directory: Path, ready_within_s: float, say: Callable[[str], None]) -> None:
        self._airnode = str(Path(airnode).absolute())
        self._directory = directory
        self._ready_within_s = ready_within_s
        self._say = say
        self._asked = asyncio.Event()
        #: Programs that ended by themselves while the others went on.
        self._lost: list[Child] = []
        #: In the order of their start.
        self.children: list[Child] = []

    def ask_stop(self) -> None:
        """Begin to stop. The second call sends SIGTERM again: nodes then do not wait for their students."""
        if self._asked.is_set():
            for child in self.children:
                child.terminate()
        else:
            self._say("\nstopping; press Ctrl+C again to hurry")
        self._asked.set()

    async def run(self, programs: Sequence[Program], on_ready: Callable[[Sequence[Child]], None]) -> int:
        """Start, watch until :meth:`ask_stop`, and stop. Return 0 if all ended well, 1 if one failed."""
        code = 0
        try:
            await self._start(programs)
            if not self._asked.is_set():
                on_ready(self.children)
            await self._watch()
        except ClusterFailed as error:
            self._say(f"cluster-local: {error}")
            code = 1
        finally:
            await self._stop()
        failed = [child for child in self.children if child.process.returncode != 0 and not child.interrupted]
        for child in (each for each in failed if each not in self._lost) if not code else ():
            self._say(f"cluster-local: {child.program.name} ended with {child.process.returncode}; see {child.log}")
        return 1 if failed else code

    async def _start(self, programs: Sequence[Program]) -> None:
        """Start each program when its dependencies are ready; programs whose dependencies are ready start together."""
        waiting = list(programs)
        while waiting and not self._asked.is_set():
            ready = {child.program.name for child in self.children}
            able = [each for each in waiting if ready.issuperset(each.after)]
            if not able:
                raise ClusterFailed(f"{waiting[0].name} waits for {', '.join(waiting[0].after)}, which nothing starts")
            started = [await self._launch(each) for each in able]
            waiting = [each for each in waiting if each not in able]
            await self._ready(started)

    async def _watch(self) -> None:
        """Wait for :meth:`ask_stop`. If a program ends, the others go on: people try out such failures here.

        Raises:
            ClusterFailed: the master ended.
        """
        while not self._asked.is_set():
            for child in self._ended():
                if child.program.is_master:
                    raise ClusterFailed(_end_of(child))
                self._lost.append(child)
                self._say(
                    f"\n{child.program.name} ended with {child.process.returncode}; the others go on. See {child.log}\n"
                    f"To start it again, in another terminal:\n  sh {child.start_script}\n"
                )
            await asyncio.sleep(_POLL_S)

    def _ended(self) -> list[Child]:
        """Return the programs that ended unexpectedly and were not reported yet."""
        return [each for each in self.children if not each.running and not each.done and each not in self._lost]

    async def _ready(self, started: Sequence[Child]) -> None:
        try:
            async with asyncio.timeout(self._ready_within_s):
                await self._until(lambda: self._asked.is_set() or all(child.look() for child in started))
        except TimeoutError:
            late = next(child for child in started if not child.look())
            raise ClusterFailed(
                f"{late.program.name} is not ready after {self._ready_within_s:g} s:\n{late.last_words()}"
            ) from None

    async def _launch(self, program: Program) -> Child:
        directory = self._directory / program.name
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self._directory / f"{program.name}.log"
        basics = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        env = {**basics, **program.env, "AIRNODE_NODE__DATA_DIR": str(directory)}
        master = next((child for child in self.children if child.program.is_master), None)
        if "MASTER_URL" in env and master is not None and master.program.env.get("AIRNODE_HTTP__PORT") == "0":
            env["MASTER_URL"] = str(master.endpoints["health_url"])
        script = self._directory / f"{program.name}.sh"
        _write_start_script(script, [self._airnode, *program.args], env)
        with log.open("wb") as output:
            # In a new session, Ctrl+C reaches only this process, which then stops the others in order.
            process = await asyncio.create_subprocess_exec(
                self._airnode,
                *program.args,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                start_new_session=True,
            )
        child = Child(program, directory, process, log, script)
        self.children.append(child)
        return child

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` is true.

        Raises:
            ClusterFailed: a child ended unexpectedly.
        """
        while not condition():
            if ended := self._ended():
                raise ClusterFailed(_end_of(ended[0]))
            await asyncio.sleep(_POLL_S)

    async def _stop(self) -> None:
        """Stop the master last: slaves must move their students, and consumers must write their events."""
        for is_master in (False, True):
            group = [child for child in self.children if child.program.is_master is is_master]
            for child in group:
                child.terminate()
            await asyncio.gather(*(child.ended(child.program.grace_s) for child in group))


def run(cluster: LocalCluster, programs: Sequence[Program], on_ready: Callable[[Sequence[Child]], None]) -> int:
    """Run the cluster until Ctrl+C or SIGTERM, and return the exit code."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, cluster.ask_stop)
        return await cluster.run(programs, on_ready)

    return asyncio.run(main())


def say(text: str) -> None:
    """Print a message at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
