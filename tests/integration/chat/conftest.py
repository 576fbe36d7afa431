"""What tests of rooms share."""

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from tests.support.chat_rooms import ChatRig

#: No limit that a test reaches by itself.
FAST = {"send_rate_per_s": 1000, "send_burst": 1000, "event_rate_per_s": 1000, "event_burst": 1000}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def start_rig(valkey_url: str) -> AsyncIterator[Callable[..., Awaitable[ChatRig]]]:
    """Start a node with these settings of ``[chat]``; all are stopped at the end, whatever happens."""
    started: list[ChatRig] = []

    async def start(node_id: str, url: str = valkey_url, **section: object) -> ChatRig:
        started.append(await ChatRig(url, node_id, **{**FAST, **section}).start())
        return started[-1]

    yield start
    for rig in started:
        await rig.stop()
