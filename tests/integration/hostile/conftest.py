"""One live class for each file of tests."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.support.ffmpeg import Publisher
from tests.support.hostile import (
    LOG_FROM,
    LiveClass,
    make_class,
)
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(school: AirnodeProcess, clip: Path, request: pytest.FixtureRequest) -> AsyncIterator[LiveClass]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        room = "hostile-" + request.module.__name__.rpartition("_")[2]
        key, token = await make_class(school, session, room)
        publisher = await Publisher.of_clip(f"{school['rtmp_server']}/{key}", clip).start()
        made = LiveClass(school, session, publisher, f"{school['media_url']}/v/{token}/{room}")

        async def begun() -> bool:
            async with session.get(f"{made.base}/media.m3u8") as response:
                return response.status == 200

        watching = None
        try:
            await eventually(begun, what="the class is live")
            watching = asyncio.create_task(made.watch())
            await eventually(lambda: made.parts, what="the first part")
            yield made
            assert not watching.done()
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.wait((watching,))
            await publisher.stop()


@pytest.fixture(autouse=True)
def log_begins_here(live: LiveClass) -> None:
    LOG_FROM[live.node] = len(live.node.log)
