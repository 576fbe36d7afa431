"""The state of the cache at one time, and the line that shows it. No I/O."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_BAR = 20


@dataclass(frozen=True, slots=True)
class CacheState:
    """The state of the cache, as Redis has it.

    Attributes:
        taken_at: unix seconds of the clock of Redis.
        stats: ``cache:stats``: hits and misses of all readers, and the last report of the cache-worker.
        users, products: rows in the cache now.
    """

    taken_at: float
    used_memory_bytes: int
    used_memory_human: str
    ops_per_s: int
    users: int
    products: int
    stats: Mapping[str, str]

    @property
    def interval_s(self) -> float | None:
        """Return the seconds between two refreshes of the cache-worker; None: none has run yet."""
        return self._number("interval_s")

    @property
    def position_s(self) -> float | None:
        """Return the seconds since the last refresh; more than the interval means that the next one is late."""
        refreshed_at = self._number("refreshed_at")
        return None if refreshed_at is None else max(0.0, self.taken_at - refreshed_at)

    @property
    def hit_ratio(self) -> float | None:
        """Return the share of all reads that the cache answered, 0 to 1; None: there was no read yet."""
        hits, misses = self._total("hits"), self._total("misses")
        return hits / (hits + misses) if hits + misses else None

    @property
    def swaps(self) -> int:
        """Return how often the cache was refreshed."""
        return int(self._number("swaps") or 0)

    def line(self, clock: datetime) -> str:
        """Return one line for people.

        ``[11:45:35] [15/50s ######--------------] | MEM: 2.25M | OPS/s: 1 | HIT: 100.0% | …``
        """
        hit = "-" if (ratio := self.hit_ratio) is None else f"{_floor(ratio * 100)}%"
        return (
            f"[{clock:%H:%M:%S}] [{self._cycle()}] | MEM: {self.used_memory_human} | OPS/s: {self.ops_per_s} "
            f"| HIT: {hit} | CACHE: users={self.users}, products={self.products} | SWAPS: {self.swaps}"
        )

    def document(self) -> dict[str, Any]:
        """Return the state as JSON values, for scripts."""
        interval_s, position_s = self.interval_s, self.position_s
        known = interval_s is not None and position_s is not None
        return {
            "at": round(self.taken_at, 3),
            "position_s": None if position_s is None else round(position_s, 1),
            "interval_s": interval_s,
            "late": known and (position_s or 0) > (interval_s or 0) + 1,
            "used_memory_bytes": self.used_memory_bytes,
            "ops_per_s": self.ops_per_s,
            "hits": self._total("hits"),
            "misses": self._total("misses"),
            "hit_ratio": self.hit_ratio,
            "users": self.users,
            "products": self.products,
            "swaps": self.swaps,
            "worker": self.stats.get("worker"),
            "batch_size": self._count("batch_size"),
            "statements_per_refresh": self._count("statements"),
            "refresh_ms": self._number("refresh_ms"),
            "oldest_uncached_s": {table: self._number(f"{table}_oldest_uncached_s") for table in ("users", "products")},
        }

    def _cycle(self) -> str:
        if self.interval_s is None or self.position_s is None:
            return f"-/-s {'-' * _BAR}"
        done = min(_BAR, int(_BAR * self.position_s / self.interval_s)) if self.interval_s > 0 else _BAR
        return f"{int(self.position_s)}/{self.interval_s:g}s {'#' * done}{'-' * (_BAR - done)}"

    def _total(self, what: str) -> int:
        return sum(int(self._number(f"{table}_{what}") or 0) for table in ("users", "products"))

    def _count(self, name: str) -> int | None:
        found = self._number(name)
        return None if found is None else int(found)

    def _number(self, name: str) -> float | None:
        """Return a finite number of at least 0, or None: other programs write these fields."""
        try:
            found = float(self.stats.get(name, ""))
        except ValueError:
            return None
        return found if math.isfinite(found) and found >= 0 else None


def _floor(percent: float) -> str:
    """Return the percentage with one digit, rounded down: 100.0 only without a miss."""
    return f"{math.floor(percent * 10) / 10:.1f}"
