"""The servers that a pipeline under test stands on."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.outage import FrailServers
from tests.support.pipeline import Pipeline


@pytest.fixture(scope="module")
def frail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrailServers]:
    running = FrailServers(tmp_path_factory.mktemp("frail"))
    try:
        yield running
    finally:
        running.close()


@contextlib.asynccontextmanager
async def opened(frail: FrailServers, directory: Path, bootstrap: Sequence[str] = ()) -> AsyncIterator[Pipeline]:
    """A pipeline on an empty database and an empty Redis, or on Kafka."""
    url = frail.create_database()
    async with Pipeline(directory, url, redis_url=frail.fresh_valkey(), bootstrap=bootstrap) as made:
        yield made
    frail.drop_database(url)
