"""Clusters whose parts are killed: each test has its own, with the beats and leases that users have."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import aiohttp
import pytest

from tests.support.cluster import Cluster
from tests.support.database import EmptyDatabase
from tests.support.student import Student
from tests.support.valkey import ExternalValkey

#: airnode's defaults, said aloud: what is proven here is proven for them.
DEFAULTS = ("--set", "cluster.heartbeat_s=2", "--set", "cluster.lease_s=6")

Join = Callable[[int, Literal["hls", "live"]], Awaitable[list[Student]]]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as made:
        yield made


@pytest.fixture
async def cluster(
    tmp_path: Path, session: aiohttp.ClientSession, empty_database: EmptyDatabase
) -> AsyncIterator[Cluster]:
    """A master and three slaves."""
    await empty_database.lay(tmp_path / "master")
    made = Cluster(tmp_path, session, *DEFAULTS)
    try:
        yield await made.start(3)
    finally:
        await made.close()


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[ExternalValkey]:
    """A Redis that the test may take away."""
    made = ExternalValkey(tmp_path / "external-valkey")
    try:
        yield await made.start()
    finally:
        await made.kill()


@pytest.fixture
async def cluster_on_other_stores(
    tmp_path: Path, session: aiohttp.ClientSession, valkey: ExternalValkey, postgres_url: str
) -> AsyncIterator[Cluster]:
    """A master and two slaves on stores that are not theirs."""
    stores = ("--redis-url", valkey.url, "--postgres-url", postgres_url)
    made = Cluster(tmp_path, session, *DEFAULTS, *stores)
    try:
        yield await made.start(2)
    finally:
        await made.close()


@pytest.fixture
async def join(session: aiohttp.ClientSession, request: pytest.FixtureRequest) -> AsyncIterator[Join]:
    """Let so many students join the test's cluster."""
    async with AsyncExitStack() as students:

        async def joined(count: int, path: Literal["hls", "live"]) -> list[Student]:
            master = request.getfixturevalue("cluster").master
            made = [
                Student(session, master["api_url"], master["class_code"], f"{path}-{index}", path)
                for index in range(count)
            ]
            for student in made:
                await student.start()
                students.push_async_callback(student.stop)
            return made

        yield joined
