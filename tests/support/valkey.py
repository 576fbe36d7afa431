"""An extra Valkey for tests that pause or kill it: a plain server on TCP that stores nothing on disk."""

import asyncio
import signal
import subprocess
from pathlib import Path

from redis import asyncio as aioredis
from redis.exceptions import RedisError

from airnode.embedded.valkey import find_valkey
from tests.support.ports import free_ports
from tests.support.waiting import eventually


class ExternalValkey:
    """A Valkey that always starts on the same port. A kill loses all its data, as in the worst outage.

    Args:
        cluster: run as the only node of a cluster; it refuses commands whose keys are in several slots.
    """

    def __init__(self, directory: Path, *, cluster: bool = False) -> None:
        self._directory = directory
        self._cluster = cluster
        self._process: asyncio.subprocess.Process | None = None
        (self.port,) = free_ports(1)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> "ExternalValkey":
        self._directory.mkdir(exist_ok=True)
        cluster = ("--cluster-enabled", "yes", "--cluster-port", str(*free_ports(1))) if self._cluster else ()
        self._process = await asyncio.create_subprocess_exec(
            str(find_valkey()),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            *cluster,
            cwd=self._directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        async def answers() -> bool:
            try:
                async with aioredis.from_url(self.url) as client:
                    return bool(await client.ping())
            except (RedisError, OSError):
                return False

        await eventually(answers, 20, "Valkey answers")
        if self._cluster:
            await eventually(self._serves_all_slots, 20, "the cluster serves all slots")
        return self

    async def _serves_all_slots(self) -> bool:
        async with aioredis.from_url(self.url, decode_responses=True) as client:
            info = await client.execute_command("CLUSTER INFO")
            if info["cluster_slots_assigned"] == "0":
                await client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            return bool(info["cluster_state"] == "ok")

    def pause(self) -> None:
        """Send SIGSTOP: connections stay open, but the server does not answer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT."""
        self._signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Send SIGKILL. This also works while the server is paused."""
        if self._process is not None and self._process.returncode is None:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
