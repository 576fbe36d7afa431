"""Which rows are cached next, so that new ones are there at once and old ones never starve. No I/O, no clock.

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

For each id it is known when it was cached last (:class:`Span`), which tells how long any row can have waited.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

#: Where a cursor stands before the first turn: below every id.
BEGINNING = -(2**63)
_END = 2**63 - 1
#: Spans that are remembered; beyond, neighbours are told as one, with the older one's time.
MAX_SPANS = 256


@dataclass(frozen=True, slots=True)
class Shares:
    """How many of a batch are for the newest rows, and how many at least for the old."""

    newest: int
    old: int


def shares(batch_size: int, new_data_ratio: float) -> Shares:
    """Divide a batch; the old always get something. ``new_data_ratio``: 0 up to, not including, 1."""
    newest = math.floor(batch_size * new_data_ratio)
    return Shares(newest, batch_size - newest)


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Ids from ``low`` up to, not including, ``high`` were cached last at ``at_s`` (unix seconds)."""

    low: int
    high: int
    at_s: float


class Rounds(msgspec.Struct, frozen=True):
    """Where the turns are; kept beside the cache.

    Attributes:
        cursor: old rows below it wait longest.
        spans: when ids were cached last: all ids there can be, in their order; none before the first turn.
    """

    cursor: int = BEGINNING
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """What one refresh serves.

    Attributes:
        old: ids of the old rows that are cached now.
        oldest_uncached_age_s: no row has been out of the cache for longer. 0: all are in it.
    """

    old: Sequence[int]
    rounds: Rounds
    oldest_uncached_age_s: float


def turn(rounds: Rounds, edge: int | None, below: Sequence[int], above: Sequence[int], room: int, now_s: float) -> Turn:
    """Take the next old rows, and say where the turns are then.

    Args:
        edge: lowest id of the newest rows, which are cached too; None: no row is among the newest.
        below: old ids below the cursor, the highest first; ``room + 1`` of them or all there are.
        above: old ids at the cursor and above, the highest first; enough to fill ``room + 1``, or all there are.
        now_s: unix seconds; caching is thought to begin with the first turn.
    """
    queue = [*below, *above]
    served = queue[:room]
    cursor = served[-1] if served else rounds.cursor
    spans: Sequence[Span] = rounds.spans or (Span(BEGINNING, _END, now_s),)
    if edge is not None:
        spans = _painted(spans, edge, _END, now_s)
    if len(queue) <= room:  # nothing waits anywhere
        spans = _painted(spans, BEGINNING, _END, now_s)
    elif len(below) > room:
        spans = _painted(spans, cursor, rounds.cursor, now_s)
    else:  # round the end, and on from the top
        spans = _painted(spans, BEGINNING, rounds.cursor, now_s)
        if len(served) > len(below):
            spans = _painted(spans, cursor, _END, now_s)
    oldest_s = min(span.at_s for span in spans)
    return Turn(served, Rounds(cursor, _bounded(spans)), max(now_s - oldest_s, 0.0))


def _painted(spans: Sequence[Span], low: int, high: int, at_s: float) -> tuple[Span, ...]:
    """The spans with one laid over them."""
    if low >= high:
        return tuple(spans)
    left = [Span(span.low, min(span.high, low), span.at_s) for span in spans if span.low < low]
    right = [Span(max(span.low, high), span.high, span.at_s) for span in spans if span.high > high]
    return (*left, Span(low, high, at_s), *right)


def _bounded(spans: Sequence[Span]) -> tuple[Span, ...]:
    """At most :data:`MAX_SPANS`: the two neighbours that are closest in time become one."""
    found = list(spans)
    while len(found) > MAX_SPANS:
        closest = min(range(len(found) - 1), key=lambda n: abs(found[n].at_s - found[n + 1].at_s))
        one, other = found[closest], found.pop(closest + 1)
        found[closest] = Span(one.low, other.high, min(one.at_s, other.at_s))
    return tuple(found)
