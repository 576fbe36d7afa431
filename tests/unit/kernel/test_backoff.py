"""Pauses that double, and repeated work."""

import asyncio
import logging

import pytest
from structlog.testing import capture_logs

from airnode.errors import Unavailable
from airnode.kernel.backoff import Backoff, repeat_every


def test_the_pauses_double_up_to_the_longest_and_each_is_at_least_half_of_its_length():
    backoff = Backoff(0.1, 10)
    for length_s in [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]:
        assert length_s / 2 <= backoff.next_s() <= length_s


def test_a_success_starts_again_with_the_shortest_pause():
    backoff = Backoff(0.1, 10)
    for _ in range(9):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 0.1


async def test_an_error_of_ours_does_not_end_repeated_work():
    runs = 0
    third = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise Unavailable("Not now.")
        if runs == 3:
            third.set()

    task = asyncio.create_task(repeat_every(0.001, work, failed="work_failed"))
    async with asyncio.timeout(5):
        await third.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_is_logged_at_the_level_that_was_chosen():
    failed = asyncio.Event()

    async def work() -> None:
        failed.set()
        raise Unavailable("Not now.", debug="refused")

    with capture_logs() as logs:
        task = asyncio.create_task(repeat_every(0.001, work, failed="work_failed", level=logging.DEBUG))
        async with asyncio.timeout(5):
            await failed.wait()
            while not logs:
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert logs[0] == {"event": "work_failed", "log_level": "debug", "error": "Not now.", "debug": "refused"}


async def test_a_bug_ends_repeated_work():
    async def work() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await repeat_every(0.001, work, failed="work_failed")
