"""How long to wait before the next try."""

import random

_FIRST_S, _LAST_S = 0.1, 5.0


class Backoff:
    """Doubles from 0.1 s to 5 s, with jitter, so that those who failed together do not try again together."""

    def __init__(self) -> None:
        self._pause_s = _FIRST_S

    def next_s(self) -> float:
        """Seconds to wait now."""
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, _LAST_S)
        return pause_s * random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """It worked: begin anew."""
        self._pause_s = _FIRST_S
