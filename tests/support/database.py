"""An empty database for nodes with an embedded PostgreSQL: creating one takes longer than most tests."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.postgres import EmbeddedPostgres


class EmptyDatabase:
    """A database without any schema, as the embedded PostgreSQL creates it at its first start."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def lay(self, data_dir: Path) -> Path:
        """Copy the database into the data directory of a node that was not started yet; return the directory."""
        data_dir.mkdir(mode=0o700)
        await asyncio.to_thread(shutil.copytree, self._directory / "postgres", data_dir / "postgres")
        return data_dir


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def empty_database(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmptyDatabase]:
    directory = tmp_path_factory.mktemp("database")
    server = EmbeddedPostgres(directory, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()))
    await server.start()
    await server.stop()
    yield EmptyDatabase(directory)
