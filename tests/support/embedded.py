"""The embedded servers on a data directory of a test, in this process or owned by another one."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from redis import asyncio as aioredis

from airnode.embedded.postgres import EmbeddedPostgres
from airnode.embedded.valkey import EmbeddedValkey

ROOT = Path(__file__).parents[2]
OWNER = Path(__file__).with_name("embedded_owner.py")


class Pair(SimpleNamespace):
    """Both servers on one data directory."""

    valkey: EmbeddedValkey
    postgres: EmbeddedPostgres
    registry: CollectorRegistry

    async def start(self) -> None:
        await asyncio.gather(self.valkey.start(), self.postgres.start())

    async def stop(self) -> None:
        await asyncio.gather(self.valkey.stop(), self.postgres.stop())

    def restarts(self, server: str) -> float:
        return self.registry.get_sample_value("airnode_embedded_restarts_total", {"server": server}) or 0.0


async def eventually(check: Callable[[], Awaitable[object]], timeout_s: float = 20.0) -> None:
    """Wait until ``check`` stops raising and returns something true."""
    last: object = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    if last := await check():
                        return
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, aioredis.RedisError) as error:
                    last = error
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"never happened; last: {last!r}")


async def redis_do(url: str, *command: str) -> object:
    async with aioredis.from_url(url, decode_responses=True) as client:
        return await client.execute_command(*command)


async def sql(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url, ssl=False)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def write_some(pair: Pair) -> None:
    await redis_do(pair.valkey.url, "SET", "kept", "yes")
    await sql(pair.postgres.url, "CREATE TABLE kept AS SELECT 'yes' AS value")


async def read_some(pair: Pair) -> tuple[object, object]:
    return await redis_do(pair.valkey.url, "GET", "kept"), await sql(pair.postgres.url, "SELECT value FROM kept")


class OwnerProcess:
    """A Python process that owns both servers, as airnode does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.urls: dict[str, str] = {}

    @classmethod
    async def run(cls, data_dir: Path, **options: object) -> "OwnerProcess":
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(OWNER),
            str(data_dir),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            **options,
        )
        owner = cls(process)
        line = await process.stdout.readline()
        assert line, f"the owner ended with {await process.wait()}"
        owner.urls = json.loads(line)
        return owner

    async def end(self) -> int:
        self.process.stdin.close()
        return await self.process.wait()
