"""Real servers for tests: one embedded Valkey and PostgreSQL per test session, an empty database for each test.

Import the fixtures in ``conftest.py``: ``from tests.support.servers import postgres_url, servers, valkey_url``.
"""

import asyncio
import itertools
import tempfile
import threading
import uuid
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from redis import asyncio as aioredis

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.data_dir import DataDir
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.postgres import EmbeddedPostgres
from airnode.embedded.valkey import EmbeddedValkey

T = TypeVar("T")

#: Valkey's default number of logical databases; database 0 is not used.
_DATABASES = 16


class TestServers:
    """Both servers, supervised on an event loop in a separate thread. Each starts at its first use."""

    __test__ = False
    valkey_kind: type[EmbeddedValkey] = EmbeddedValkey
    postgres_kind: type[EmbeddedPostgres] = EmbeddedPostgres
    postgres_parameters: Mapping[str, str] = {"fsync": "off", "max_connections": "200"}

    def __init__(self, directory: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test-servers", daemon=True)
        self._thread.start()
        self._data_dir = DataDir(directory)
        self._data_dir.acquire()
        metrics, settings = EmbeddedMetrics(CollectorRegistry()), EmbeddedSection()
        self._valkey = self.valkey_kind(self._data_dir.path, settings, metrics)
        self._postgres = self.postgres_kind(self._data_dir.path, settings, metrics, parameters=self.postgres_parameters)
        self._started: set[str] = set()
        self._next_database = itertools.cycle(range(1, _DATABASES))

    def _run(self, coro: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coro, self._loop).result(50)

    def fresh_valkey(self) -> str:
        """Return the URL of an empty logical database. All logical databases share the pub/sub channels."""
        if "valkey" not in self._started:
            self._run(self._valkey.start())
            self._started.add("valkey")
        url = f"{self._valkey.url}?db={next(self._next_database)}"
        self._run(_flush(url))
        return url

    def create_database(self) -> str:
        """Return the URL of a new, empty database."""
        if "postgres" not in self._started:
            self._run(self._postgres.start())
            self._started.add("postgres")
        name = f"t_{uuid.uuid4().hex}"
        self._run(self._execute(f'CREATE DATABASE "{name}"'))
        return self._postgres.url_of(name)

    def drop_database(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        self._run(self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    def close(self) -> None:
        for server in (self._valkey, self._postgres):
            self._run(server.stop())
        self._data_dir.release()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._postgres.url_of("postgres"), ssl=False)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def _flush(url: str) -> None:
    async with aioredis.from_url(url) as client:
        await client.flushdb()


@pytest.fixture(scope="session")
def servers() -> Iterator[TestServers]:
    with tempfile.TemporaryDirectory(prefix="airnode-test-", ignore_cleanup_errors=True) as directory:
        running = TestServers(Path(directory))
        try:
            yield running
        finally:
            running.close()


@pytest.fixture
def valkey_url(servers: TestServers) -> str:
    """Return the URL of an empty logical database of a real Valkey."""
    return servers.fresh_valkey()


@pytest.fixture
def postgres_url(servers: TestServers) -> Iterator[str]:
    """Yield the URL of an empty database of a real PostgreSQL; the database is dropped afterwards."""
    url = servers.create_database()
    yield url
    servers.drop_database(url)
