"""Task scopes. Every asyncio task belongs to one, and the failure of a task is always logged."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")

_CANCEL_AGAIN_S = 0.5
_UNFINISHED_MAX = 30


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended.

    They are cancelled repeatedly, because a library may swallow a cancellation (redis-py does so about once in 20).
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)


def unfinished() -> list[str]:
    """Return the tasks of this loop that have not ended, at most 30, each with the line of code where it waits.

    Used in the log when a stop takes too long.
    """
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return sorted(f"{task.get_name()} {_place(task)}" for task in tasks)[:_UNFINISHED_MAX]


def _place(task: asyncio.Task[Any]) -> str:
    """Return the innermost line of code outside of libraries, else the innermost of all."""
    frames = [f"{frame.f_code.co_filename}:{frame.f_lineno}" for frame in task.get_stack(limit=50)]
    coro: Any = task.get_coro()
    while coro is not None:
        frame = getattr(coro, "cr_frame", None)
        if frame is not None:
            frames.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        coro = getattr(coro, "cr_await", None)
    ours = [each for each in frames if "site-packages" not in each]
    return "/".join((ours or frames or ["?"])[-1].split("/")[-3:])


class TaskScope:
    """Owns tasks: it starts them, reports those that fail, and ends them all.

    Args:
        name: the prefix of the tasks' names in the log.
        on_failure: called once for each task that ends with an exception other than cancellation,
            with the task's name and the exception. None: a failure is only logged.
    """

    def __init__(self, name: str, on_failure: Callable[[str, BaseException], None] | None = None) -> None:
        self.name = name
        self._on_failure = on_failure
        #: Tasks that have not ended yet. Owned by this class.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, name: str, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start ``coro`` as a task of this scope.

        Raises:
            RuntimeError: the scope is closed; the coroutine is closed, not leaked.
        """
        if self._closed:
            coro.close()
            raise RuntimeError(f"task scope {self.name} is closed")
        task = asyncio.create_task(coro, name=f"{self.name}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        log.error("task_failed", task=task.get_name(), error=repr(error), exc_info=error)
        if self._on_failure is not None:
            self._on_failure(task.get_name(), error)

    async def aclose(self) -> None:
        """Cancel the tasks that are left and wait until they have ended. No task can be started afterwards."""
        self._closed = True
        current = asyncio.current_task()
        # A task that is done stays in the set until its callback runs, and no callback runs before this loop awaits.
        while tasks := [task for task in self._tasks if task is not current and not task.done()]:
            await ended(*tasks)
