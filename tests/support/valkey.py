"""A Valkey of its own for a test that takes it away: a plain server on TCP that keeps nothing on disk."""

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
    """Starts on the same port again and again; a kill loses all that it knew, as the worst of outages does."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None
        (self.port,) = free_ports(1)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> "ExternalValkey":
        self._directory.mkdir(exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            str(find_valkey()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            cwd=self._directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

        async def answers() -> bool:
            try:
                async with aioredis.from_url(self.url) as client:
                    return bool(await client.ping())
            except (RedisError, OSError):
                return False

        await eventually(answers, 20, "Valkey answers")
        return self

    def pause(self) -> None:
        """SIGSTOP: connections stay, and nothing comes from it."""
        self._signal(signal.SIGSTOP)

    async def kill(self) -> None:
        """SIGKILL, also of a paused one."""
        if self._process is not None and self._process.returncode is None:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
