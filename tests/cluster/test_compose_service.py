"""The command of a Compose service: airnode, but after exit code 2 it stays, so that Docker does not start it again."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from deploy.local.topology import COMPOSE
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(60)

SERVICE = COMPOSE.with_name("airnode-service")


class Service:
    """The script with a fake airnode, in a session of its own."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path) -> None:
        self.process = process
        self._output = output

    @property
    def output(self) -> str:
        return self._output.read_text()

    async def code(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def service(directory: Path, airnode: str, *args: str) -> AsyncIterator[Service]:
    """Yield the running script. ``airnode``: the shell commands that stand for airnode."""
    program = directory / "airnode"
    program.write_text(f"#!/bin/sh\n{airnode}\n")
    program.chmod(0o755)
    output = directory / "output"
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            str(SERVICE),
            *args,
            env={**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield Service(process, output)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.mark.parametrize("code", [0, 1, 3])
async def test_it_ends_as_airnode_ends(tmp_path: Path, code: int):
    async with service(tmp_path, f'echo "$@"; exit {code}', "--role", "slave") as running:
        assert await running.code() == code
        assert running.output == "--role slave\n"


async def test_a_node_that_cannot_run_as_configured_is_not_started_again(tmp_path: Path):
    async with service(tmp_path, "echo started; exit 2", "--role", "slave") as running:
        await eventually(lambda: "is not started again" in running.output, 20, "it says so")
        assert running.process.returncode is None
        assert running.output.count("started\n") == 1
        running.process.terminate()
        assert await running.code() == 2


async def test_a_command_that_ends_by_itself_passes_exit_code_2_on(tmp_path: Path):
    async with service(tmp_path, "exit 2", "pipeline", "init") as running:
        assert await running.code() == 2


async def test_sigterm_reaches_airnode_and_its_exit_code_comes_back(tmp_path: Path):
    # As airnode: it drains for a while after the signal.
    airnode = 'trap "echo draining; sleep 0.2; exit 0" TERM; echo ready; while :; do sleep 0.05; done'
    async with service(tmp_path, airnode, "--role", "slave") as running:
        await eventually(lambda: "ready" in running.output, 20, "it runs")
        running.process.terminate()
        assert await running.code() == 0
        assert "draining" in running.output


async def test_sigterm_during_a_start_that_fails_ends_the_container(tmp_path: Path):
    airnode = 'trap "exit 2" TERM; echo ready; while :; do sleep 0.05; done'
    async with service(tmp_path, airnode, "--role", "slave") as running:
        await eventually(lambda: "ready" in running.output, 20, "it runs")
        running.process.terminate()
        assert await running.code() == 2


def test_all_services_of_airnode_run_it():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name, each in services.items():
        if "build" in each:
            assert each["entrypoint"] == [SERVICE.name], name
    assert f"COPY deploy/compose/{SERVICE.name} /usr/local/bin/" in COMPOSE.with_name("Dockerfile").read_text()
    assert os.access(SERVICE, os.X_OK)
