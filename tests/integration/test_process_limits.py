"""What a child process may use: each limit on a real child, and none by default."""

import os
import resource
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from airnode.kernel.tasks import TaskScope
from airnode.processes.child import ChildProcess, ExitReason, LaunchSpec, ProcessLimits
from tests.support.waiting import eventually

MIB = 1 << 20


class Launcher:
    """Launches Python programs with limits."""

    def __init__(self, folder: Path, tasks: TaskScope) -> None:
        self._folder, self._tasks = folder, tasks

    async def start(self, code: str, limits: ProcessLimits) -> ChildProcess:
        argv = [sys.executable, "-I", "-S", "-c", code]
        spec = LaunchSpec(argv, self._folder, self._folder / "lock", limits=limits)
        return await ChildProcess.launch("child", spec, self._tasks)

    async def run(self, code: str, limits: ProcessLimits) -> tuple[int | None, ExitReason | None, str]:
        child = await self.start(code, limits)
        assert await child.wait(30)
        return child.returncode, child.exit_reason, await child.tail()


@pytest.fixture
async def launcher(tmp_path: Path) -> AsyncIterator[Launcher]:
    tasks = TaskScope("test")
    yield Launcher(tmp_path, tasks)
    await tasks.aclose()


async def test_there_is_no_limit_by_default(launcher: Launcher):
    code = "import resource as r; print([r.getrlimit(k) for k in (r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_FSIZE)])"
    assert LaunchSpec([], Path(), Path()).limits == ProcessLimits()
    exit_code, reason, output = await launcher.run(code, ProcessLimits())
    assert (exit_code, reason) == (0, ExitReason.EXITED)
    here = [resource.getrlimit(each) for each in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)]
    assert output == str(here)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces RLIMIT_AS")
async def test_an_allocation_beyond_the_memory_limit_fails(launcher: Launcher):
    limits = ProcessLimits(memory_bytes=512 * MIB)
    exit_code, reason, output = await launcher.run("x = bytearray(1 << 30)", limits)
    assert (exit_code, reason) == (1, ExitReason.EXITED)
    assert "MemoryError" in output
    assert (await launcher.run("x = bytearray(1 << 20); print('fits')", limits))[2] == "fits"


async def test_a_spinning_child_ends_at_its_processor_time(launcher: Launcher):
    exit_code, reason, _ = await launcher.run("while True: pass", ProcessLimits(cpu_s=1))
    assert (exit_code, reason) == (-signal.SIGXCPU, ExitReason.CPU_TIME)


async def test_a_child_that_ignores_the_signal_is_killed(launcher: Launcher):
    code = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    exit_code, reason, _ = await launcher.run(code, ProcessLimits(cpu_s=1))
    assert (exit_code, reason) == (-signal.SIGKILL, ExitReason.SIGNAL)


async def test_a_file_beyond_the_limit_ends_the_child(launcher: Launcher, tmp_path: Path):
    restore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"  # Python ignores it
    write = f"f = open({str(tmp_path / 'large')!r}, 'wb')\nwhile True: f.write(bytes(1 << 16)); f.flush()"
    limits = ProcessLimits(file_size_bytes=MIB)
    exit_code, reason, _ = await launcher.run(restore + write, limits)
    assert (exit_code, reason) == (-signal.SIGXFSZ, ExitReason.FILE_SIZE)
    assert (tmp_path / "large").stat().st_size == MIB
    exit_code, reason, output = await launcher.run(write, limits)
    assert (exit_code, reason) == (1, ExitReason.EXITED)
    assert "File too large" in output


async def test_a_program_that_is_not_python_gets_the_signal_too(tmp_path: Path):
    tasks = TaskScope("test")
    copy = [str(shutil.which("dd")), "if=/dev/zero", f"of={tmp_path / 'large'}", "bs=65536", "count=100"]
    spec = LaunchSpec(copy, tmp_path, tmp_path / "lock", limits=ProcessLimits(file_size_bytes=MIB))
    child = await ChildProcess.launch("dd", spec, tasks)
    assert await child.wait(30)
    assert (child.returncode, child.exit_reason) == (-signal.SIGXFSZ, ExitReason.FILE_SIZE)
    await tasks.aclose()


async def test_more_open_files_than_the_limit_are_refused(launcher: Launcher):
    code = "import os\nfiles = [os.open('/dev/null', 0) for _ in range(100)]"
    exit_code, _, output = await launcher.run(code, ProcessLimits(open_files=32))
    assert exit_code == 1
    assert "Too many open files" in output


async def test_after_its_time_a_child_is_killed_with_its_own_children(launcher: Launcher, tmp_path: Path):
    code = (
        "import os, time\npid = os.fork()\n"
        f"if pid: open({str(tmp_path / 'pid')!r}, 'w').write(str(pid))\n"
        "time.sleep(600)"
    )
    child = await launcher.start(code, ProcessLimits(wall_s=1.0))
    assert await child.wait(30)
    assert (child.returncode, child.exit_reason) == (-signal.SIGKILL, ExitReason.WALL_TIME)
    grandchild = int((tmp_path / "pid").read_text())

    async def gone() -> bool:
        try:
            os.kill(grandchild, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{grandchild}/stat").read_text().split()[2] == "Z"  # nobody reaps it in a container

    await eventually(gone, 10, "the grandchild is gone")


async def test_a_child_within_its_time_is_left_alone(launcher: Launcher):
    assert await launcher.run("print('done')", ProcessLimits(wall_s=30)) == (0, ExitReason.EXITED, "done")
