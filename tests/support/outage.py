"""Servers of a test's own that it may take away: they hang, or they are killed and stay away, and come back.

They are the ones that standalone nodes run, data and all: what they had confirmed is there again.
"""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from airnode.embedded.postgres import EmbeddedPostgres
from airnode.embedded.valkey import EmbeddedValkey
from airnode.processes.child import LaunchSpec
from airnode.processes.supervisor import ChildServer
from tests.support.servers import TestServers


class _Away:
    """Keeps the supervision from starting a killed server again until it may."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.may_run = asyncio.Event()
        self.may_run.set()

    async def prepare(self) -> LaunchSpec:
        await self.may_run.wait()
        return await super().prepare()  # type: ignore[misc]


class _Valkey(_Away, EmbeddedValkey):
    pass


class _Postgres(_Away, EmbeddedPostgres):
    pass


class FrailServers(TestServers):
    """A Valkey and a PostgreSQL; ``kind`` is ``"valkey"`` or ``"postgres"``."""

    valkey_kind = _Valkey
    postgres_kind = _Postgres

    def pause(self, kind: str) -> None:
        """SIGSTOP: connections stay, and nothing comes from it."""
        _signal(self._server(kind), signal.SIGSTOP)

    def kill(self, kind: str) -> None:
        """SIGKILL, also of a paused one; it stays away."""
        self._loop.call_soon_threadsafe(self._server(kind).may_run.clear)
        _signal(self._server(kind), signal.SIGKILL)

    def bring_back(self, kind: str) -> None:
        """Let it run again, whatever was done to it."""
        _signal(self._server(kind), signal.SIGCONT)
        self._loop.call_soon_threadsafe(self._server(kind).may_run.set)

    def _server(self, kind: str) -> "_Valkey | _Postgres":
        return {"valkey": self._valkey, "postgres": self._postgres}[kind]  # type: ignore[return-value]


def _signal(server: ChildServer, number: signal.Signals) -> None:
    """To the server and all of its children, who lead sessions of their own."""
    for process in _family(server.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _family(pid: int | None) -> Iterator[psutil.Process]:
    if pid is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        yield from (parent, *parent.children(recursive=True))


@pytest.fixture
def frail(tmp_path: Path) -> Iterator[FrailServers]:
    """Stores of the test's own, to be taken away."""
    running = FrailServers(tmp_path / "servers")
    try:
        yield running
    finally:
        running.bring_back("postgres")  # one that is stopped does not end
        running.close()
