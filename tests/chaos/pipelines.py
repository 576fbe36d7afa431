"""What is done to a pipeline on either log, and the servers that it stands on."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.landing import Pipeline
from tests.support.outage import FrailServers

#: The whole minute: AIRNODE_CHAOS_REBALANCE_S=60, as `make chaos` has it.
REBALANCE_S = float(os.environ.get("AIRNODE_CHAOS_REBALANCE_S", "20"))


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


async def kill_consumers(pipeline: Pipeline) -> None:
    """In mid-batch; one comes after them."""
    first, *_ = await pipeline.start(2)
    async with pipeline.producing():
        await pipeline.more_landed(500)
        await first.kill()
        last = pipeline.consumer()
        await last.start()
        await pipeline.more_landed(500)
        await pipeline.consumers[1].kill()
        await pipeline.more_landed(500)
    assert await pipeline.balance() > 1500


async def rebalance(pipeline: Pipeline, seconds: float) -> None:
    """One stays; others join, and leave politely or not at all so."""
    await pipeline.start(1)
    rng = random.Random(4)
    async with pipeline.producing(pause_s=0.1):
        end_s = time.monotonic() + seconds
        guests = []
        while time.monotonic() < end_s:
            turn_s = time.monotonic() + 2
            if len(guests) < 2:
                guests += await pipeline.start(1)
            else:
                guest = guests.pop(rng.randrange(2))
                if rng.random() < 0.5:
                    await guest.kill()
                else:
                    assert await guest.stop() == 0
            await asyncio.sleep(max(0.0, turn_s - time.monotonic()))
        await pipeline.more_landed(200)
    assert await pipeline.balance() > 500
