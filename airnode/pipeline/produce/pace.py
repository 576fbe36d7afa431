"""How many events are due: a steady rate without drift, and no flood after a pause. No clock: time is passed in."""

#: Events come in groups this far apart, or one by one where the rate is lower.
TICK_S = 0.02
#: Further behind than this, what was missed is left out.
_CATCH_UP_S = 1.0


class Pace:
    """Counts what is due since the beginning, so that rounding and late wake-ups do not add up.

    Args:
        rate_per_s: 0: as many as can be taken.
    """

    def __init__(self, rate_per_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._began_s: float | None = None
        self._taken = 0

    def take(self, now_s: float, most: int) -> int:
        """How many to make now, at most so many; they count as made, and what is left over stays due."""
        if not self._rate_per_s:
            return most
        if self._began_s is None or now_s < self._began_s:
            self._began_s, self._taken = now_s, 0
        due = int((now_s - self._began_s) * self._rate_per_s) + 1 - self._taken
        if due > max(1.0, _CATCH_UP_S * self._rate_per_s):
            # Begin anew here; what is taken below is the first second of it.
            self._began_s, self._taken = now_s - _CATCH_UP_S, 0
            due = int(_CATCH_UP_S * self._rate_per_s) + 1
        count = min(due, most)
        self._taken += count
        return count

    def wait_s(self, now_s: float) -> float:
        """How long until it is worth taking again."""
        if not self._rate_per_s or self._began_s is None:
            return 0.0
        next_s = self._began_s + self._taken / self._rate_per_s
        behind = now_s > next_s + TICK_S
        return 0.0 if behind else max(next_s - now_s, TICK_S)
