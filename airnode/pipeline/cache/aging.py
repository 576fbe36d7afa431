"""Chooses the rows that are cached next: new rows at once, and old rows in turn. No I/O, no clock.

A refresh takes the newest rows, by id. The rest of the batch, its *room*, is for the *old* rows: all rows below the
newest ones. They take turns **downwards**: a cursor moves from the highest old id to the lowest and then starts again
at the top, within the same refresh if it has room left::

    ids   1 ······· 40 ──────── 90 ··········· 180 ├── newest ──┤ 200
                    next         cursor             edge
                    cursor       (below it: waiting longest)

The cursor moves downwards because rows become old at the top. There they wait for the next round and cannot make this
round longer, even if many new rows are added. Between two turns of a row, each other old row is cached at most once.
So **every old row is cached at least once every ceil(D / room) refreshes**, where D is the number of rows that were old
during this time. If no rows are added or removed, this is ceil(old / (batch x (1 - ratio))).

For each id, the state has the time when it was cached last (:class:`IdSpan`). So the longest wait of any row is known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

#: The cursor before the first refresh: below every id.
BEGINNING = -(2**63)
_END = 2**63 - 1
#: Largest number of spans. Beyond it, two neighbours are merged and get the older time.
MAX_SPANS = 256


@dataclass(frozen=True, slots=True)
class Shares:
    """Number of rows in a batch for the newest rows, and the minimum for old rows."""

    newest: int
    old: int


def shares(batch_size: int, new_data_ratio: float) -> Shares:
    """Return the numbers of new and old rows in a batch; at least one is old. ``new_data_ratio``: 0 to below 1."""
    newest = math.floor(batch_size * new_data_ratio)
    return Shares(newest, batch_size - newest)


class IdSpan(msgspec.Struct, frozen=True, array_like=True):
    """Ids from ``low`` up to, but not including, ``high`` were cached last at ``at_s`` (unix seconds)."""

    low: int
    high: int
    at_s: float


class RotationState(msgspec.Struct, frozen=True):
    """State of the rotation. It is stored next to the cache.

    Attributes:
        cursor: old rows below this id have waited longest.
        spans: times when ids were last cached. They cover all possible ids, in order; empty before the first refresh.
    """

    cursor: int = BEGINNING
    spans: tuple[IdSpan, ...] = ()


@dataclass(frozen=True, slots=True)
class Rotation:
    """The old rows of one refresh.

    Attributes:
        old: ids of the old rows that are cached now.
        rounds: the state after this refresh.
        oldest_uncached_age_s: longest time that a row was not cached; 0: all rows are cached.
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
        below: old ids below the cursor, the highest first: ``room + 1`` of them, or all if they are fewer.
        above: old ids at the cursor and above, the highest first: enough to fill ``room + 1``, or all.
        room: number of old rows that this refresh may cache.
        now_s: unix seconds. In the first refresh, all ids count as cached at this time.
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
    """Return the spans with a new one, which replaces the parts that it covers."""
    if low >= high:
        return tuple(spans)
    left = [IdSpan(span.low, min(span.high, low), span.at_s) for span in spans if span.low < low]
    right = [IdSpan(max(span.low, high), span.high, span.at_s) for span in spans if span.high > high]
    return (*left, IdSpan(low, high, at_s), *right)


def _merged_to_limit(spans: Sequence[IdSpan]) -> tuple[IdSpan, ...]:
    """Return at most :data:`MAX_SPANS` spans: the neighbours that are closest in time are merged."""
    found = list(spans)
    while len(found) > MAX_SPANS:
        closest = min(range(len(found) - 1), key=lambda n: abs(found[n].at_s - found[n + 1].at_s))
        one, other = found[closest], found.pop(closest + 1)
        found[closest] = IdSpan(one.low, other.high, min(one.at_s, other.at_s))
    return tuple(found)
