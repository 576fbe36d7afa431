"""Threads that read files."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ReadingThreads:
    """A few threads that read the files of one store.

    If the disk hangs, only the reads of this store wait. The event loop and asyncio's default threads are not blocked.

    Args:
        name: prefix of the threads' names.
        count: maximum number of concurrent reads; further reads wait.
    """

    def __init__(self, name: str, count: int = 4) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in one of the threads and return its result. Its exceptions are raised here."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Cancel the waiting reads. A running one continues in its thread."""
        self._executor.shutdown(wait=False, cancel_futures=True)
