"""No old row starves: the bound of the aging policy, whatever comes and goes."""

import itertools
import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.pipeline.cache.aging import BEGINNING, MAX_SPANS, RotationState, next_rotation, shares


class Shop:
    """A table, and refreshes of its cache; time counts refreshes. Remembers by itself what was cached when."""

    def __init__(self, batch: int, ratio: float) -> None:
        self.shares = shares(batch, ratio)
        self.rounds = RotationState()
        self.created: dict[int, float] = {}
        self.cached: dict[int, float] = {}
        #: What was old at each refresh, newest refresh last.
        self.old: list[set[int]] = []
        self.now = 0.0
        self.age = 0.0

    def insert(self, row_id: int) -> None:
        if row_id not in self.created:
            self.created[row_id] = self.now

    def delete(self, row_id: int) -> None:
        self.created.pop(row_id, None)
        self.cached.pop(row_id, None)

    def refresh(self) -> set[int]:
        """As the worker does: the statement's three lists, then the turn, which goes through JSON."""
        self.now += 1
        room, cursor = self.shares.old, self.rounds.cursor
        ids = sorted(self.created, reverse=True)
        newest, old = ids[: self.shares.newest], ids[self.shares.newest :]
        below = [each for each in old if each < cursor][: room + 1]
        above = [each for each in old if each >= cursor][: room + 1 - len(below)]
        took = next_rotation(self.rounds, newest[-1] if newest else None, below, above, room, self.now)
        self.rounds = msgspec.json.decode(msgspec.json.encode(took.rounds), type=RotationState)
        self.old.append(set(old))
        self.age = took.oldest_uncached_age_s
        cached = {*newest, *took.old}
        assert len(took.old) == min(room, len(old)), "no room is left unused"
        assert len(cached) == len(newest) + len(took.old), "nothing is cached twice"
        return cached

    def check(self, cached: set[int]) -> None:
        """Each row has come within the bound: ceil(D / room), D = what was old meanwhile."""
        for row_id, created in self.created.items():
            if row_id in cached:
                self.cached[row_id] = self.now
            since = int(self.cached.get(row_id, created))
            meanwhile = set().union(*self.old[since:])
            assert self.now - since <= math.ceil(len(meanwhile) / self.shares.old), row_id

    def true_age(self) -> float:
        """A row that was never cached waits since it was made, or since caching began."""
        waiting = (self.cached.get(each, max(self.created[each], 1.0)) for each in self.created)
        return self.now - min(waiting, default=self.now)


@pytest.mark.parametrize(("batch", "ratio"), [(1000, 0.5), (10, 0.0), (7, 0.3), (2, 0.99), (100, 0.29)])
@pytest.mark.parametrize("old", [0, 1, 7, 60, 501])
def test_on_an_unchanged_table_each_old_row_is_cached_once_in_the_promised_refreshes(
    batch: int, ratio: float, old: int
):
    shop = Shop(batch, ratio)
    for row_id in range(shop.shares.newest + old):
        shop.insert(row_id)
    bound = math.ceil(old / shop.shares.old)
    assert bound <= math.ceil(old / (batch * (1 - ratio)) - 1e-9)
    rounds = [shop.refresh() for _ in range(2 * bound + 1)]
    for start in {0, 1, bound // 2, bound} if bound else ():
        assert set().union(*rounds[start : start + bound]) == set(shop.created)
    assert rounds[0] >= set(range(old, old + shop.shares.newest)), "the newest are always there"


_changes = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 6), st.integers(0, 3), st.integers(0, 2**32)), max_size=60
)


@settings(max_examples=300)
@given(st.integers(2, 12), st.floats(0, 0.99), st.integers(0, 60), _changes)
def test_every_row_is_cached_within_the_bound_while_rows_are_added_and_deleted(batch, ratio, first, changes):
    shop, next_id = Shop(batch, ratio), itertools.count(1000)
    for _ in range(first):
        shop.insert(next(next_id))
    for added, removed, back_dated, seed in changes:
        rng = random.Random(seed)
        for _ in range(added):
            shop.insert(next(next_id))
        for _ in range(back_dated):
            shop.insert(rng.randrange(1000))
        for row_id in rng.sample(sorted(shop.created), min(removed, len(shop.created))):
            shop.delete(row_id)
        shop.check(shop.refresh())


@settings(max_examples=300)
@given(st.integers(2, 12), st.floats(0, 0.99), st.integers(1, 80), _changes)
def test_the_reported_age_is_never_too_small(batch, ratio, first, changes):
    shop, next_id = Shop(batch, ratio), itertools.count(1)
    for _ in range(first):
        shop.insert(next(next_id))
    for added, removed, _, seed in changes:
        for _ in range(added):
            shop.insert(next(next_id))
        for row_id in random.Random(seed).sample(sorted(shop.created), min(removed, len(shop.created))):
            shop.delete(row_id)
        for row_id in shop.refresh():
            shop.cached[row_id] = shop.now
        assert shop.age >= shop.true_age()


@settings(max_examples=300)
@given(st.integers(2, 12), st.floats(0, 0.99), st.integers(1, 80), st.lists(st.integers(0, 9), max_size=60))
def test_where_nothing_is_deleted_it_is_the_true_one(batch, ratio, first, added):
    shop, next_id = Shop(batch, ratio), itertools.count(1)
    for count in (first, *added):
        for _ in range(count):
            shop.insert(next(next_id))
        for row_id in shop.refresh():
            shop.cached[row_id] = shop.now
        assert shop.age == shop.true_age()


def test_fast_inserts_cannot_starve_the_old():
    shop = Shop(10, 0.5)
    next_id = itertools.count(1)
    for _ in range(100):
        shop.insert(next(next_id))
    seen: set[int] = set()
    for _ in range(29):
        for _ in range(50):  # ten times what a refresh gives the old ones
            shop.insert(next(next_id))
        seen |= shop.refresh()
    assert seen >= set(range(1, 146)), "what was old at the first refresh: 145 rows, 5 at a time"


def test_an_empty_table_and_one_that_is_emptied():
    shop = Shop(4, 0.5)
    assert shop.refresh() == set()
    assert shop.rounds.cursor == BEGINNING
    for row_id in range(20):
        shop.insert(row_id)
    shop.refresh()
    for row_id in range(20):
        shop.delete(row_id)
    assert shop.refresh() == set()
    assert shop.age == 0
    shop.insert(3)
    assert shop.refresh() == {3}


def test_what_is_remembered_stays_bounded_and_never_makes_the_age_too_small():
    shop = Shop(2, 0.5)
    for row_id in range(3000):
        shop.insert(row_id)
    for _ in range(700):
        for row_id in shop.refresh():
            shop.cached[row_id] = shop.now
        assert len(shop.rounds.spans) <= MAX_SPANS
    assert shop.age >= shop.true_age()
    assert len(msgspec.json.encode(shop.rounds)) < 20_000
