"""Extra servers for tests of outages: a test pauses or kills them, and lets them run again.

They are the embedded servers of standalone nodes. They keep their data: writes that they confirmed survive an outage.
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
    """Keeps the supervisor from starting a killed server again until ``may_run`` is set."""

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
        """Send SIGSTOP: connections stay open, but the server does not answer."""
        _signal(self._server(kind), signal.SIGSTOP)

    def kill(self, kind: str) -> None:
        """Send SIGKILL, also to a paused server; it is not started again until :meth:`bring_back`."""
        self._loop.call_soon_threadsafe(self._server(kind).may_run.clear)
        _signal(self._server(kind), signal.SIGKILL)

    def bring_back(self, kind: str) -> None:
        """Let a paused or killed server run again."""
        _signal(self._server(kind), signal.SIGCONT)
        self._loop.call_soon_threadsafe(self._server(kind).may_run.set)

    def _server(self, kind: str) -> "_Valkey | _Postgres":
        return {"valkey": self._valkey, "postgres": self._postgres}[kind]  # type: ignore[return-value]


def _signal(server: ChildServer, number: signal.Signals) -> None:
    """Send a signal to the server and to all its children, because they are in other sessions."""
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
    """Yield extra servers that the test may pause and kill."""
    running = FrailServers(tmp_path / "servers")
    try:
        yield running
    finally:
        running.bring_back("postgres")  # a paused server does not end
        running.close()
