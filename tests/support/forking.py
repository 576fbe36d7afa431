"""Commands of airnode without Python's start time of a second: forks of a process that has imported airnode.

``python -m tests.support.forking`` reads a JSON line for each command and answers with its exit code.
"""

import asyncio
import contextlib
import faulthandler
import io
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NoReturn

import pytest_asyncio

_ROOT = Path(__file__).parents[2]
_STUCK_S = 40


class Forker:
    """Runs commands one at a time, each in a new process."""

    def __init__(self, process: asyncio.subprocess.Process, directory: Path) -> None:
        self._process = process
        self._out, self._err = directory / "out", directory / "err"

    async def run(self, *args: str, within_s: float = 50, typed: str | None = None) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error. ``typed``: what somebody at a terminal answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps([args, str(self._out), str(self._err), typed])
        self._process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(within_s):
            code = int(await self._process.stdout.readline())
        return code, self._out.read_text(errors="replace"), self._err.read_text(errors="replace")


@pytest_asyncio.fixture
async def forker() -> AsyncIterator[Forker]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AIRNODE_", "KAFKA_", "CACHE_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.forking",
        cwd=_ROOT,
        env=env,
        start_new_session=True,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    with tempfile.TemporaryDirectory(prefix="airnode-fork-") as directory:
        try:
            yield Forker(process, Path(directory))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _serve() -> None:
    import airnode.commands.dlq_view
    import airnode.commands.pipeline_work
    import airnode.runtime.main
    import airnode.store.eventlog.kafka_log  # noqa: F401 - imported once for all forks
    from airnode.cli import main
    from airnode.runtime.registry import installed

    installed()
    for line in sys.stdin:
        args, out, err, typed = json.loads(line)
        if pid := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
            continue
        for path, descriptor in ((os.devnull, 0), (out, 1), (err, 2)):
            opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(opened, descriptor)
        _run(main, args, typed)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _run(main: Callable[[], None], args: list[str], typed: str | None) -> NoReturn:
    # The parent may have read ahead; its buffer must not be used here.
    sys.stdin = io.StringIO() if typed is None else _Terminal(f"{typed}\n")
    sys.argv = ["airnode", *args]
    faulthandler.dump_traceback_later(_STUCK_S, exit=True)  # on standard error, which the test shows
    try:
        main()
        code: object = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001 - handles all errors as the interpreter does
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _serve()
