"""Computes how many events are due: a steady rate without drift or bursts. No clock: time is passed in."""

#: Interval between groups of events; at lower rates events come one by one.
TICK_S = 0.02
#: After a longer pause, the missed events are skipped.
_CATCH_UP_S = 1.0


class Pace:
    """Counts from the beginning, so that rounding and late wake-ups do not accumulate.

    Args:
        rate_per_s: events per second; 0: as many as possible.
    """

    def __init__(self, rate_per_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._began_s: float | None = None
        self._taken = 0

    def take(self, now_s: float, most: int) -> int:
        """Return the number of events to make now, at most ``most``. They count as made; the others stay due."""
        if not self._rate_per_s:
            return most
        if self._began_s is None or now_s < self._began_s:
            self._began_s, self._taken = now_s, 0
        due = int((now_s - self._began_s) * self._rate_per_s) + 1 - self._taken
        if due > max(1.0, _CATCH_UP_S * self._rate_per_s):
            # Restart here, with one second of events due.
            self._began_s, self._taken = now_s - _CATCH_UP_S, 0
            due = int(_CATCH_UP_S * self._rate_per_s) + 1
        count = min(due, most)
        self._taken += count
        return count

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until the next call of :meth:`take` is useful."""
        if not self._rate_per_s or self._began_s is None:
            return 0.0
        next_s = self._began_s + self._taken / self._rate_per_s
        behind = now_s > next_s + TICK_S
        return 0.0 if behind else max(next_s - now_s, TICK_S)
