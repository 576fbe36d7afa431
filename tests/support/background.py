"""What goes on beside a test until the test ends it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.support.waiting import eventually


class Background:
    """One task, whose failure is the test's: whoever waits for what it does is told, and so is whoever stops it."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(coroutine)

    async def stop(self) -> None:
        """End it, if it was started."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()):
                raise error

    async def until(self, condition: Callable[[], bool], within_s: float, what: object) -> None:
        """Wait for what it brings about. What is missing is told in words or by something that knows."""

        def found() -> bool:
            assert self._task is not None
            if self._task.done():
                self._task.result()
            return condition()

        await eventually(found, within_s, what)
