"""Waiting for conditions instead of fixed times."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], T | Awaitable[T]], within_s: float = 15.0, what: object = "") -> T:
    """Return the first truthy result of ``condition``; fail the test, saying ``what`` is missing, if none comes."""
    deadline_s = time.monotonic() + within_s
    last: object = None
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        last = found
        if time.monotonic() > deadline_s:
            raise AssertionError(f"never within {within_s:g} s: {what or condition!r} (last: {last!r})")
        await asyncio.sleep(0.02)
