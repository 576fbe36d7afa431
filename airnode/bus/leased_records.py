"""The newest records that several nodes report, as one reader sees them. No I/O, no clock: see ``leased_view``."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

R = TypeVar("R", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class RecordChange(Generic[R]):
    """A record that was received, replaced or dropped; ``before`` is None for a new one, ``after`` if dropped."""

    key: str
    before: R | None
    after: R | None


@dataclass(frozen=True, slots=True)
class RecordRules(Generic[R]):
    """How records are compared, and when they are dropped.

    Attributes:
        key: returns the key of a record.
        order: returns a value to compare. Of two records with the same key, the lower one never replaces the higher.
        has_ended: returns whether a record reports an end. Such a record drops the known record of its key at once.
        keep_s: a record without a lease is dropped this long after it was last received.
        settle_s: nothing is dropped for this long after Redis was unreachable: leases may have expired in that time,
            and their owners need time to write them again.
        lease_is_report: True: each read of a lease counts as a new report of its record. False: only a lease of
            higher order does, because the last report is as new as the lease.
    """

    key: Callable[[R], str]
    order: Callable[[R], Any] = lambda record: 0
    has_ended: Callable[[R], bool] = lambda record: False
    keep_s: float = 0.0
    settle_s: float = 10.0
    lease_is_report: bool = False


class LeasedRecords(Generic[R]):
    """The newest record of each key.

    Reports come over pub/sub and may be lost, so the leases are read again every few seconds::

        report ──▶ receive ──┐
                             ├──▶ {key: record} ──▶ RecordChange
        leases ──▶ sync ─────┘
                                 a record without a lease is dropped, except while
        gap ─────▶ mark_gap      - Redis does not answer, or has answered for less than ``settle_s``
                                 - it was received less than ``keep_s`` ago
                                 - ``keep_while`` returns True for its key

    All times are monotonic seconds.
    """

    def __init__(self, rules: RecordRules[R]) -> None:
        self._rules = rules
        #: {key: (the newest record, when it was received)}.
        self._known: dict[str, tuple[R, float]] = {}
        #: Since when reports and leases arrive without a gap; infinity: they do not arrive.
        self.complete_since_s = float("-inf")
        #: Whether to keep the record of this key although it has no lease.
        self.keep_while: Callable[[str], bool] = lambda key: False

    def __iter__(self) -> Iterator[R]:
        """Iterate over the records in the order of their keys."""
        return (self._known[key][0] for key in sorted(self._known))

    def get(self, key: str) -> R | None:
        """Return the newest record of a key."""
        known = self._known.get(key)
        return known[0] if known is not None else None

    def received_s(self, key: str) -> float:
        """Return when a key's record was last received; minus infinity: the key is not known."""
        known = self._known.get(key)
        return known[1] if known is not None else float("-inf")

    def mark_gap(self) -> None:
        """Note missed reports, or no answer from Redis. Nothing is dropped until ``settle_s`` after the next sync."""
        self.complete_since_s = float("inf")

    def receive(self, record: R, now_s: float) -> RecordChange[R] | None:
        """Process a report. Return the change; None if a newer record is known, or if it ends an unknown record."""
        key = self._rules.key(record)
        before = self.get(key)
        if before is not None and self._rules.order(record) < self._rules.order(before):
            return None
        if self._rules.has_ended(record):
            return self.drop(key)
        self._known[key] = (record, now_s)
        return RecordChange(key, before, record)

    def drop(self, key: str) -> RecordChange[R] | None:
        """Drop a record. Return the change; None if the key is not known."""
        before = self.get(key)
        if before is None:
            return None
        del self._known[key]
        return RecordChange(key, before, None)

    def sync(self, leased: Mapping[str, R], began_s: float, now_s: float) -> list[RecordChange[R]]:
        """Update the records from all leases. Return the changes.

        Args:
            began_s: when the read of the leases began. A record that was received later is newer than the leases.
        """
        changes = [self.receive(record, now_s) for record in leased.values() if self._is_news(record)]
        self.complete_since_s = min(self.complete_since_s, now_s)
        if now_s - self.complete_since_s >= self._rules.settle_s:
            changes += [self.drop(key) for key in self._expired(leased, began_s)]
        return [change for change in changes if change is not None]

    def _is_news(self, leased: R) -> bool:
        known = self.get(self._rules.key(leased))
        return known is None or self._rules.lease_is_report or self._rules.order(leased) > self._rules.order(known)

    def _expired(self, leased: Mapping[str, R], began_s: float) -> list[str]:
        oldest_s = began_s - self._rules.keep_s
        return [
            key
            for key, (_, received_s) in self._known.items()
            if key not in leased and received_s < oldest_s and not self.keep_while(key)
        ]
