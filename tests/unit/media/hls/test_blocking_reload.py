"""Requests that wait for a room: one wake resolves all of them; each one has its own timeout."""

import asyncio

from airnode.media.hls.blocking_reload import Waiters


async def settled(waiters: Waiters, count: int) -> None:
    """Wait until this many requests wait."""
    while len(waiters) < count:
        await asyncio.sleep(0)


async def test_wake_resolves_all_requests_and_they_may_wait_again():
    waiters, loop = Waiters(), asyncio.get_running_loop()
    for _ in range(2):
        tasks = [asyncio.create_task(waiters.wait(loop.time() + 30)) for _ in range(3)]
        await settled(waiters, 3)
        waiters.wake()
        assert await asyncio.gather(*tasks) == [True] * 3
        assert len(waiters) == 0
    waiters.wake()


async def test_each_request_ends_at_its_own_timeout():
    waiters, loop = Waiters(), asyncio.get_running_loop()
    now_s = loop.time()
    longest = asyncio.create_task(waiters.wait(now_s + 60))
    await settled(waiters, 1)
    ends_s = {}

    async def wait(until_s: float) -> bool:
        woken = await waiters.wait(until_s)
        ends_s[until_s] = loop.time()
        return woken

    timeouts_s = [now_s + 0.15, now_s + 0.05, now_s + 0.1]
    assert await asyncio.gather(*map(wait, timeouts_s)) == [False] * 3
    assert list(ends_s) == sorted(timeouts_s)
    assert all(at_s > until_s - 0.01 for until_s, at_s in ends_s.items())
    assert not longest.done()
    assert len(waiters) == 1
    waiters.wake()
    assert await longest


async def test_a_timeout_in_the_past_ends_at_once():
    waiters, loop = Waiters(), asyncio.get_running_loop()
    assert not await waiters.wait(loop.time() - 1)
    assert not await waiters.wait(loop.time())


async def test_a_cancelled_request_affects_no_other():
    waiters, loop = Waiters(), asyncio.get_running_loop()
    gone, stays = (asyncio.create_task(waiters.wait(loop.time() + 0.05 + 30 * each)) for each in range(2))
    await settled(waiters, 2)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert gone.cancelled()
    assert not await waiters.wait(loop.time() + 0.1)
    assert not stays.done()
    assert len(waiters) == 1
    waiters.wake()
    assert await stays
