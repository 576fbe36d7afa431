"""Pauses between attempts."""

import asyncio
import random


class Backoff:
    """Pauses that double, each at random between half of it and all of it: who failed together comes back apart.

    Args:
        first_s, last_s: the shortest and the longest pause.
    """

    def __init__(self, first_s: float = 0.1, last_s: float = 5.0) -> None:
        self._first_s, self._last_s = first_s, last_s
        self._pause_s = first_s

    def next_s(self) -> float:
        """Seconds to wait now."""
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, self._last_s)
        return pause_s * random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing

    async def pause(self) -> None:
        """Wait before the next attempt."""
        await asyncio.sleep(self.next_s())

    def reset(self) -> None:
        """It worked: begin anew."""
        self._pause_s = self._first_s
