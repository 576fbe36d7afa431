"""Chooses which rows are cached next: new rows at once, and every old row in its turn. No I/O, no clock.

A refresh takes the newest rows, by id, and gives the rest of its room to the *old* ones: all below the newest. Those
take turns **downwards**: a cursor goes from the highest old id to the lowest, then starts again at the top, within the
same refresh if there is room left::

    ids   1 ······· 40 ──────── 90 ··········· 180 ├── newest ──┤ 200
                    next         cursor             edge
                    cursor       (below it: waiting longest)

Downwards, because rows that grow old join at the top: they wait for the next round, and cannot keep this one from
ending, however fast new rows come. What one refresh after another serves between two turns of a row is all different
rows. So **every old row is cached at least once every ceil(D / room) refreshes**, with D the rows that were old in that
time: ceil(old / (batch x (1 - ratio))) where none are added or removed.

For each id it is known when it was cached last (:class:`IdSpan`), from which follows how long any row can have waited.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

#: The cursor before the first refresh: below every id.
BEGINNING = -(2**63)
_END = 2**63 - 1
#: Largest number of spans; beyond it two neighbours are merged, with the older time.
MAX_SPANS = 256


@dataclass(frozen=True, slots=True)
class Shares:
    """How many rows of a batch are for the newest rows, and how many at least for old rows."""

    newest: int
    old: int


def shares(batch_size: int, new_data_ratio: float) -> Shares:
    """Return how many rows of a batch are new and old; there are always old ones. ``new_data_ratio``: 0 to below 1."""
    newest = math.floor(batch_size * new_data_ratio)
    return Shares(newest, batch_size - newest)


class IdSpan(msgspec.Struct, frozen=True, array_like=True):
    """Ids from ``low`` up to, not including, ``high`` were cached last at ``at_s`` (unix seconds)."""

    low: int
    high: int
    at_s: float


class RotationState(msgspec.Struct, frozen=True):
    """State of the rotation; stored next to the cache.

    Attributes:
        cursor: old rows below it have waited longest.
        spans: when ids were last cached: all possible ids, in order; empty before the first refresh.
    """

    cursor: int = BEGINNING
    spans: tuple[IdSpan, ...] = ()


@dataclass(frozen=True, slots=True)
class Rotation:
    """The old rows of one refresh.

    Attributes:
        old: ids of the old rows that are cached now.
        oldest_uncached_age_s: longest time that a row was uncached; 0: all rows are cached.
    """

    old: Sequence[int]
    rounds: RotationState
    oldest_uncached_age_s: float


def next_rotation(
    rounds: RotationState, edge: int | None, below: Sequence[int], above: Sequence[int], room: int, now_s: float
) -> Rotation:
    """Return the next old rows and the state after them.

    Args:
        edge: lowest id of the newest rows, which are cached too; None: no row is among the newest.
        below: old ids below the cursor, the highest first; ``room + 1`` of them or all there are.
        above: old ids at the cursor and above, the highest first; enough to fill ``room + 1``, or all there are.
        now_s: unix seconds; the first refresh counts as the beginning of caching.
    """
    queue = [*below, *above]
    served = queue[:room]
    cursor = served[-1] if served else rounds.cursor
    spans: Sequence[IdSpan] = rounds.spans or (IdSpan(BEGINNING, _END, now_s),)
    if edge is not None:
        spans = _with_span(spans, edge, _END, now_s)
    if len(queue) <= room:  # every old row is served
        spans = _with_span(spans, BEGINNING, _END, now_s)
    elif len(below) > room:
        spans = _with_span(spans, cursor, rounds.cursor, now_s)
    else:  # the cursor passes the lowest id and continues at the top
        spans = _with_span(spans, BEGINNING, rounds.cursor, now_s)
        if len(served) > len(below):
            spans = _with_span(spans, cursor, _END, now_s)
    oldest_s = min(span.at_s for span in spans)
    return Rotation(served, RotationState(cursor, _merged_to_limit(spans)), max(now_s - oldest_s, 0.0))


def _with_span(spans: Sequence[IdSpan], low: int, high: int, at_s: float) -> tuple[IdSpan, ...]:
    """Return the spans with a new one in place of what it covers."""
    if low >= high:
        return tuple(spans)
    left = [IdSpan(span.low, min(span.high, low), span.at_s) for span in spans if span.low < low]
    right = [IdSpan(max(span.low, high), span.high, span.at_s) for span in spans if span.high > high]
    return (*left, IdSpan(low, high, at_s), *right)


def _merged_to_limit(spans: Sequence[IdSpan]) -> tuple[IdSpan, ...]:
    """Return at most :data:`MAX_SPANS` spans: neighbours that are closest in time are merged."""
    found = list(spans)
    while len(found) > MAX_SPANS:
        closest = min(range(len(found) - 1), key=lambda n: abs(found[n].at_s - found[n + 1].at_s))
        one, other = found[closest], found.pop(closest + 1)
        found[closest] = IdSpan(one.low, other.high, min(one.at_s, other.at_s))
    return tuple(found)
