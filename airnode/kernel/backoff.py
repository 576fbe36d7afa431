"""Pauses between failed attempts, and work that is repeated."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import structlog

from airnode.errors import AirnodeError

log = structlog.get_logger(__name__)


class Backoff:
    """Pauses that double. Each is shortened to a random 50 to 100 % of its length, so that clients that lost the same
    server at the same time do not reconnect at the same time.

    Args:
        first_s, last_s: the shortest and the longest pause.
    """

    def __init__(self, first_s: float = 0.1, last_s: float = 5.0) -> None:
        self._first_s, self._last_s = first_s, last_s
        self._pause_s = first_s

    def next_s(self) -> float:
        """Return the seconds to wait now; the next pause is twice as long."""
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, self._last_s)
        return pause_s * random.uniform(0.5, 1)  # noqa: S311 - only spreads load

    async def pause(self) -> None:
        """Wait before the next attempt."""
        await asyncio.sleep(self.next_s())

    def reset(self) -> None:
        """Start again with the shortest pause, after a success."""
        self._pause_s = self._first_s


async def repeat_every(
    every_s: float, work: Callable[[], Awaitable[object]], *, failed: str, level: int = logging.WARNING
) -> None:
    """Repeat until cancelled: wait ``every_s``, then do the work.

    Args:
        work: if it raises an :class:`AirnodeError`, that is logged; any other exception ends the repetition.
        failed: name of the log event for such an error.
        level: level of this event, as in :mod:`logging`.
    """
    while True:
        await asyncio.sleep(every_s)
        try:
            await work()
        except AirnodeError as error:
            log.log(level, failed, error=str(error), debug=error.debug)
