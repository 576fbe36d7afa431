"""A task that runs in the background of a test."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.support.waiting import eventually


class Background:
    """One task. If it fails, :meth:`until` and :meth:`stop` raise its error, so that the test fails."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(coroutine)

    async def stop(self) -> None:
        """Cancel the task, if it was started."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()):
                raise error

    async def until(self, condition: Callable[[], bool], within_s: float, what: object) -> None:
        """Wait until ``condition`` is true. ``what``: text, or an object whose text says what is missing."""

        def found() -> bool:
            assert self._task is not None
            if self._task.done():
                self._task.result()
            return condition()

        await eventually(found, within_s, what)
