import asyncio

import pytest
from structlog.testing import capture_logs

from airnode.kernel.tasks import TaskScope, ended, unfinished


async def fails():
    raise ValueError("broken")


async def test_a_result_comes_back_and_the_task_is_forgotten():
    scope = TaskScope("scope")

    async def work() -> int:
        return 5

    task = scope.spawn("work", work())
    assert len(scope) == 1
    assert task.get_name() == "scope:work"
    assert await task == 5
    await asyncio.sleep(0)
    assert len(scope) == 0


async def test_a_failure_is_reported_once_with_its_name():
    failures = []
    scope = TaskScope("scope", lambda name, error: failures.append((name, error)))
    with capture_logs() as logs:
        task = scope.spawn("work", fails())
        await asyncio.wait((task,))
        await asyncio.sleep(0)
    assert [(name, str(error)) for name, error in failures] == [("scope:work", "broken")]
    assert [(line["event"], line["task"]) for line in logs] == [("task_failed", "scope:work")]
    assert len(scope) == 0


async def test_without_a_callback_a_failure_is_only_logged():
    scope = TaskScope("scope")
    with capture_logs() as logs:
        await asyncio.wait((scope.spawn("work", fails()),))
        await asyncio.sleep(0)
    assert [line["event"] for line in logs] == ["task_failed"]


async def test_a_cancelled_task_is_no_failure():
    failures = []
    scope = TaskScope("scope", lambda name, error: failures.append(name))
    task = scope.spawn("work", asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    await asyncio.sleep(0)
    assert failures == []


async def test_closing_cancels_and_waits_for_what_is_left():
    scope, ended = TaskScope("scope"), []

    async def work(number: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    for number in range(3):
        scope.spawn("work", work(number))
    await asyncio.sleep(0)
    await scope.aclose()
    assert sorted(ended) == [0, 1, 2]
    assert len(scope) == 0
    await scope.aclose()


async def test_a_task_that_resists_once_is_cancelled_again():
    scope, cancelled = TaskScope("scope"), 0

    async def stubborn() -> None:
        nonlocal cancelled
        while cancelled < 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled += 1
        await asyncio.sleep(60)

    scope.spawn("stubborn", stubborn())
    await asyncio.sleep(0)
    closing = asyncio.create_task(scope.aclose())
    done, _ = await asyncio.wait((closing,), timeout=0.2)
    assert not done
    closing.cancel()
    await asyncio.wait((closing,))
    await scope.aclose()
    assert len(scope) == 0


async def test_a_scope_can_be_closed_by_one_of_its_tasks():
    scope = TaskScope("scope")
    other = scope.spawn("other", asyncio.sleep(60))
    closer = scope.spawn("closer", scope.aclose())
    async with asyncio.timeout(5):
        await closer
    assert other.cancelled()


async def test_a_closed_scope_refuses_and_leaks_no_coroutine():
    scope = TaskScope("scope")
    await scope.aclose()
    coro = fails()
    with pytest.raises(RuntimeError, match="scope is closed"):
        scope.spawn("late", coro)
    assert coro.cr_frame is None


async def test_what_has_not_ended_says_where_it_waits():
    scope = TaskScope("demo")

    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    scope.spawn("waiting", wait_for_ever())
    await asyncio.sleep(0)
    (line,) = (each for each in unfinished() if each.startswith("demo:waiting "))
    assert "test_tasks.py:" in line or "locks.py:" in line
    await scope.aclose()
    assert not any("demo:waiting" in each for each in unfinished())


async def test_a_task_whose_library_swallows_a_cancellation_is_ended_all_the_same():
    swallowed = 0

    async def swallow() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1

    task = TaskScope("demo").spawn("swallowing", swallow())
    await asyncio.sleep(0)
    await ended(task)
    assert task.done()
    assert swallowed == 2
    await ended(task)


async def test_a_task_that_has_just_ended_does_not_keep_the_scope_from_closing():
    scope = TaskScope("s")

    async def nothing() -> None:
        return

    task = scope.spawn("quick", nothing())
    await asyncio.sleep(0)
    assert task.done()
    assert len(scope) == 1  # its callback comes in the loop's next round
    await scope.aclose()
    await asyncio.sleep(0)
    assert len(scope) == 0
