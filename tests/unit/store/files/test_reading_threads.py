"""Reading in threads of its own."""

import asyncio
import threading

import pytest

from airnode.store.files.reading_threads import ReadingThreads


async def test_a_read_that_hangs_delays_only_the_reads_of_its_store():
    hangs, begun = threading.Event(), threading.Event()

    def hang() -> str:
        begun.set()
        hangs.wait(20)
        return "late"

    slow, quick = ReadingThreads("slow", 1), ReadingThreads("quick", 1)
    try:
        first = asyncio.create_task(slow.run(hang))
        second = asyncio.create_task(slow.run(lambda: "second"))
        async with asyncio.timeout(20):
            assert await asyncio.to_thread(begun.wait, 20)
            assert await quick.run(max, 1, 2) == 2
            assert not second.done()
            hangs.set()
            assert (await first, await second) == ("late", "second")
    finally:
        hangs.set()
        slow.close()
        quick.close()


async def test_exceptions_of_the_function_are_raised():
    threads = ReadingThreads("read")
    try:
        with pytest.raises(FileNotFoundError):
            await threads.run(open, "/no/such/file")
    finally:
        threads.close()
