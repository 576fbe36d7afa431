"""Requests that wait for a room to change."""

import asyncio


class Waiters:
    """Futures of blocked requests, all resolved by one :meth:`wake`.

    One future a request, so that a request that goes away takes only itself along.
    """

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        return len(self._futures)

    def wake(self) -> None:
        """Let every request look again."""
        futures, self._futures = self._futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)

    async def wait(self, until_s: float) -> bool:
        """Wait for the next :meth:`wake`; False when the loop's clock reached ``until_s`` first.

        Cancel-safe: a cancelled future stays in the list until the next wake and does nothing then.
        """
        future = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        try:
            async with asyncio.timeout_at(until_s):
                await future
        except TimeoutError:
            return False
        return True
