"""Requests that wait for a room to change."""

import asyncio

#: Loops round their timers to milliseconds, and may fire so much early.
_CLOCK_S = 0.001


class Waiters:
    """Futures of blocked requests, all resolved by one :meth:`wake`.

    One future a request, so that a request that goes away takes only itself along; one timer for all of them, as
    hundreds of viewers wait five times a second and hardly ever in vain.
    """

    def __init__(self) -> None:
        #: (loop time until which it waits, future); true: something changed.
        self._waiting: list[tuple[float, asyncio.Future[bool]]] = []
        #: Due no later than the first of them has waited for long enough.
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def wake(self) -> None:
        """Let every request look again."""
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if not future.done():
                future.set_result(True)

    async def wait(self, until_s: float) -> bool:
        """Wait for the next :meth:`wake`; False when the loop's clock reached ``until_s`` first.

        Cancel-safe: a cancelled future stays in the list until the next wake and does nothing then.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._waiting.append((until_s, future))
        if self._timer is None or until_s < self._timer.when():
            self._arm(loop, until_s)
        return await future

    def _arm(self, loop: asyncio.AbstractEventLoop, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(at_s, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send those away who waited for long enough."""
        self._timer = None
        now_s = loop.time() + _CLOCK_S
        over = [future for until_s, future in self._waiting if until_s <= now_s]
        self._waiting = [each for each in self._waiting if each[0] > now_s and not each[1].done()]
        for future in over:
            if not future.done():
                future.set_result(False)
        if self._waiting:
            self._arm(loop, min(until_s for until_s, _ in self._waiting))
