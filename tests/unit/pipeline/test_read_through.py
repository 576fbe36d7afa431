"""One load at a time, stale values served meanwhile, a bound on what is kept."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.cache.read_through import Read, ReadThrough
from tests.support.waiting import eventually


class Source:
    """Counts loads; each waits until it may."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.may = asyncio.Event()
        self.may.set()
        self.away = False
        self.none = False
        self.now_s = 0.0

    async def load(self, key: str) -> str | None:
        self.loads.append(key)
        number = len(self.loads)
        await self.may.wait()
        if self.away:
            raise Unavailable("away")
        return None if self.none else f"{key}{number}"


@pytest.fixture
async def source() -> Source:
    return Source()


@pytest.fixture
async def rows(source: Source) -> AsyncIterator[ReadThrough[str, str | None]]:
    tasks = TaskScope("test")
    yield ReadThrough(source.load, tasks, fresh_s=5, stale_s=60, most=3, clock=lambda: source.now_s)
    await tasks.aclose()


def loaded(value: str | None, *, collapsed: bool = False) -> Read[str | None]:
    return Read(value, hit=False, collapsed=collapsed)


def remembered(value: str | None, ttl_s: float) -> Read[str | None]:
    return Read(value, hit=True, ttl_s=ttl_s)


async def test_many_simultaneous_misses_make_one_load(source: Source, rows: ReadThrough[str, str | None]):
    source.may.clear()
    waiting = [asyncio.create_task(rows.get("a")) for _ in range(100)]
    await eventually(lambda: source.loads)
    waiting[0].cancel()
    source.may.set()
    assert await asyncio.gather(*waiting[1:]) == [loaded("a1", collapsed=True)] * 99
    assert source.loads == ["a"]
    assert waiting[0].cancelled()


async def test_a_stale_value_is_served_at_once_while_one_load_fetches_the_next(source, rows):
    assert await rows.get("a") == loaded("a1")
    source.now_s = 4.5
    assert await rows.get("a") == remembered("a1", 0.5)
    assert source.loads == ["a"]
    source.now_s = 59
    source.may.clear()
    assert [await rows.get("a") for _ in range(10)] == [remembered("a1", -54)] * 10
    await eventually(lambda: len(source.loads) == 2)
    source.may.set()

    async def renewed() -> bool:
        return await rows.get("a") == remembered("a2", 5)

    await eventually(renewed)
    assert source.loads == ["a", "a"]


async def test_what_is_too_old_is_not_served(source, rows):
    await rows.get("a")
    source.now_s = 61
    assert await rows.get("a") == loaded("a2")


async def test_that_there_is_nothing_is_believed_for_a_moment_only(source, rows):
    source.none = True
    assert await rows.get("a") == loaded(None)
    source.now_s = 4
    assert await rows.get("a") == remembered(None, 1)
    source.none, source.now_s = False, 6
    assert await rows.get("a") == loaded("a2"), "who was added meanwhile is found"


async def test_all_waiting_requests_get_the_error_of_a_load_and_stale_values_stay(source, rows):
    source.away = True
    results = await asyncio.gather(*(rows.get("a") for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in results] == [Unavailable] * 5
    assert source.loads == ["a"]
    source.away = False
    assert await rows.get("a") == loaded("a2")
    source.away, source.now_s = True, 10
    for count in (3, 4):
        assert await rows.get("a") == remembered("a2", -5)
        await eventually(lambda count=count: len(source.loads) == count)
        await asyncio.sleep(0)


async def test_it_keeps_no_more_than_it_may(source, rows):
    for key in "abcd":
        await rows.get(key)
    assert await rows.get("d") == remembered("d4", 5)
    assert await rows.get("a") == loaded("a5")
    assert source.loads == list("abcda")
