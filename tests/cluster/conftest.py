"""Clusters of processes; each test has its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.cluster import Cluster
from tests.support.database import EmptyDatabase


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def cluster(
    tmp_path: Path, session: aiohttp.ClientSession, empty_database: EmptyDatabase
) -> AsyncIterator[Cluster]:
    """A running master; the tests add slaves."""
    await empty_database.lay(tmp_path / "master")
    made = Cluster(tmp_path, session)
    try:
        yield await made.start()
    finally:
        await made.close()
