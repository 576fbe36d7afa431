"""A running RTMP server for one test."""

from collections.abc import AsyncIterator

import pytest

from tests.support.rtmp_server import Rig, running


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as running_rig:
        yield running_rig
