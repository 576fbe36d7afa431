"""The servers that a pipeline under test stands on, and how long what is done to it lasts."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.outage import FrailServers
from tests.support.pipeline import Pipeline

#: AIRNODE_CHAOS_WHOLE=1, as `make chaos` has it: all of it lasts as long as it is promised to be survived.
_WHOLE = bool(os.environ.get("AIRNODE_CHAOS_WHOLE"))


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


def lasting_s(pipeline: Pipeline, whole_s: float, streams_s: float, kafka_s: float) -> float:
    """In the suite shorter, and on Kafka just longer than a session, as the rest of the code is the same there."""
    if _WHOLE:
        return whole_s
    return kafka_s if pipeline.bootstrap else streams_s
