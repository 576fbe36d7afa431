"""Deadlines of many clients without a timer for each: one list for each tick."""

from typing import Protocol


class Timed(Protocol):
    """Something with a deadline."""

    def due(self, now_s: float) -> float | None:
        """Do what is due, and return when to call again; None: never."""
        ...


class TimerWheel:
    """Calls :meth:`Timed.due` at most one tick late.

    Args:
        tick_s: length of a tick.
        now_s: the time now, by the clock whose times all methods take.
    """

    def __init__(self, tick_s: float, now_s: float) -> None:
        self.tick_s = tick_s
        self._done = int(now_s / tick_s)
        #: {tick: what is due in it}.
        self._ticks: dict[int, list[Timed]] = {}

    def add(self, timed: Timed, at_s: float) -> None:
        """Call ``timed`` at ``at_s`` (at the next tick if that is over)."""
        tick = max(int(at_s / self.tick_s) + 1, self._done + 1)
        self._ticks.setdefault(tick, []).append(timed)

    def advance(self, now_s: float) -> None:
        """Call everything that is due by now."""
        last = int(now_s / self.tick_s)
        if last - self._done > len(self._ticks):
            ticks = sorted(tick for tick in self._ticks if tick <= last)
        else:
            ticks = list(range(self._done + 1, last + 1))
        self._done = max(last, self._done)
        for tick in ticks:
            for timed in self._ticks.pop(tick, ()):
                again_s = timed.due(now_s)
                if again_s is not None:
                    self.add(timed, again_s)
