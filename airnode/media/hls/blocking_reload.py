"""Blocking playlist reload (draft-pantos-hls-rfc8216bis 6.2.5.2): which requests wait, and how they wait.

Origins and edges use the same rules.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

#: Event loops round timers to milliseconds, so a timer may fire this much too early.
_TIMER_ROUNDING_S = 0.001


@dataclass(frozen=True, slots=True)
class Ready:
    """Answer with the current playlist."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Let the request wait until the window changes, then resolve it again."""


@dataclass(frozen=True, slots=True)
class BadRequest:
    """Answer 400 with ``detail`` as the reason."""

    detail: str


@dataclass(frozen=True, slots=True)
class Position:
    """The end of a playlist.

    Attributes:
        next_msn: media sequence number of the open segment, or of the next one if none is open.
        open_parts: number of parts in the open segment.
        last_parts: number of parts in the last finished segment; None: it is a gap, or no segment is finished.
        blocks: whether requests may wait; false when the stream has ended, and for plain HLS.
    """

    next_msn: int
    open_parts: int
    last_parts: int | None
    part_target_s: float
    blocks: bool


def resolve_reload(position: Position | None, msn: int | None, part: int | None) -> Ready | Wait | BadRequest:
    """Return what to do with a playlist request.

    A request for a segment older than the window is answered at once: the draft demands "that segment or a later one",
    and a laptop sends such requests after sleep. A part after the end of its segment means part 0 of the next one.

    Args:
        position: None: there is no playlist yet.
        msn, part: the directives ``_HLS_msn`` and ``_HLS_part``; None: not given.
    """
    if part is not None and msn is None:
        return BadRequest("_HLS_part needs _HLS_msn")
    if msn is not None and (msn < 0 or (part or 0) < 0):
        return BadRequest("_HLS_msn and _HLS_part are numbers from 0 on")
    if position is None:
        return Wait()
    if msn is None or not position.blocks:
        return Ready()
    return _resolve(position, msn, part)


def _resolve(position: Position, msn: int, part: int | None) -> Ready | Wait | BadRequest:
    last = position.next_msn - 1
    newest = position.next_msn if position.open_parts else last
    if msn > newest + 2:
        return BadRequest(f"_HLS_msn {msn} is too far: the last segment is {newest}")
    if (
        part is not None
        and msn > last
        and part >= (position.open_parts if msn == newest else 0) + _advance_limit(position)
    ):
        return BadRequest(f"_HLS_part {part} is too far")
    if msn < last or (msn == last and (part is None or position.last_parts is None or part < position.last_parts)):
        return Ready()
    if part is None or msn > position.next_msn:
        return Wait()
    # A part after the end of the last finished segment means part 0 of the open one.
    wanted = part if msn == position.next_msn else 0
    return Ready() if wanted < position.open_parts else Wait()


def _advance_limit(position: Position) -> int:
    """Return how many parts ahead a client may request (the Advance Part Limit)."""
    return ceil(3 / position.part_target_s) if 0 < position.part_target_s < 1 else 3


class Waiters:
    """Requests that wait for a room to change. One :meth:`wake` resumes all of them.

    Each request has its own callback, so a cancelled request affects no other one. All of them share one timer:
    hundreds of viewers wait several times a second, and nearly all of them are woken before their timeout.
    """

    def __init__(self) -> None:
        #: (loop time of the timeout, callback); its argument: whether the room changed.
        self._waiting: list[tuple[float, Callable[[bool], None]]] = []
        #: Fires no later than the earliest timeout.
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def wake(self) -> None:
        """Resume every waiting request, as the room has changed."""
        waiting, self._waiting = self._waiting, []
        for _, resume in waiting:
            resume(True)

    def add(self, until_s: float, resume: Callable[[bool], None]) -> None:
        """Call ``resume(True)`` at the next :meth:`wake`, or ``resume(False)`` at ``until_s`` of the loop's clock.

        ``resume`` must not raise. A request that was cancelled stays in the list until one of the two happens.
        """
        self._waiting.append((until_s, resume))
        if self._timer is None or until_s < self._timer.when():
            self._arm(asyncio.get_running_loop(), until_s)

    async def wait(self, until_s: float) -> bool:
        """Wait for the next :meth:`wake`. Return False if the loop's clock reaches ``until_s`` first."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.add(until_s, lambda changed: None if future.done() else future.set_result(changed))
        return await future

    def _arm(self, loop: asyncio.AbstractEventLoop, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(at_s, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Resume the requests whose timeout has passed."""
        self._timer = None
        now_s = loop.time() + _TIMER_ROUNDING_S
        expired = [resume for until_s, resume in self._waiting if until_s <= now_s]
        self._waiting = [each for each in self._waiting if each[0] > now_s]
        for resume in expired:
            resume(False)
        if self._waiting and self._timer is None:
            self._arm(loop, min(until_s for until_s, _ in self._waiting))
