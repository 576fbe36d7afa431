"""Publishers are ended at MediaMTX, and again at growing intervals while they are listed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.media.mediamtx.api import PathSource
from airnode.media.mediamtx.kicks import Kicks

SOURCE = PathSource("srtConn", "1")


@pytest.mark.parametrize(
    ("type_", "collection"),
    [
        ("rtmpConn", "rtmpconns"),
        ("rtmpsConn", "rtmpsconns"),
        ("rtspSession", "rtspsessions"),
        ("rtspsSession", "rtspssessions"),
        ("srtConn", "srtconns"),
        ("webRTCSession", "webrtcsessions"),
        ("moqSession", "moqsessions"),
        ("rtspSource", None),
        ("rpiCameraSource", None),
        ("redirect", None),
    ],
)
def test_each_type_of_publisher_has_its_collection(type_: str, collection: str | None):
    assert PathSource(type_, "1").collection == collection


class Api:
    """Counts attempts, which fail."""

    def __init__(self) -> None:
        self.attempts: list[PathSource] = []

    async def kick(self, source: PathSource) -> None:
        self.attempts.append(source)
        raise Unavailable("MediaMTX's API does not answer.")


class World:
    def __init__(self, tasks: TaskScope) -> None:
        self.now_s = 100.0
        self.api = Api()
        self.tasks = tasks
        self.kicks = Kicks(self.api, tasks, lambda: self.now_s)

    async def attempts_in(self, seconds: int, listed: set[PathSource]) -> int:
        """Poll twice a second. Return the number of attempts."""
        before = len(self.api.attempts)
        for _ in range(2 * seconds):
            self.now_s += 0.5
            self.kicks.update(listed)
            await asyncio.sleep(0)
        return len(self.api.attempts) - before


@pytest.fixture
async def world() -> AsyncIterator[World]:
    tasks = TaskScope("test")
    yield World(tasks)
    await tasks.aclose()


async def test_attempts_become_rare(world: World):
    world.kicks.kick(SOURCE, "physics", "its codec")
    assert 3 <= await world.attempts_in(60, {SOURCE}) <= 8
    assert await world.attempts_in(600, {SOURCE}) <= 21
    assert SOURCE in world.kicks


async def test_a_publisher_that_has_gone_is_forgotten(world: World):
    world.kicks.kick(SOURCE, "physics", "its codec")
    assert await world.attempts_in(1, set()) <= 1
    assert SOURCE not in world.kicks


async def test_a_source_that_mediamtx_pulls_is_left_alone(world: World):
    pulled = PathSource("rtspSource", "")
    world.kicks.kick(pulled, "", "it was not let in by this airnode")
    assert await world.attempts_in(60, {pulled}) == 0
    assert pulled in world.kicks
