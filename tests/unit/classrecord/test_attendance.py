"""The book of attendance: intervals lie within sessions, are closed once, and survive what happens to Redis."""

import uuid
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from airnode.bus.classroom import ClassUser
from airnode.classrecord.attendance import AttendanceBook, Interval, SessionSpan

ANN = ClassUser("ann", "앤")
LIVE = {"math": SessionSpan("s1", 1_000)}
OVER = {"math": SessionSpan("s1", 1_000, 9_000)}


def book_with(*, joined_ms: int, sessions: Mapping[str, SessionSpan] = LIVE) -> AttendanceBook:
    book = AttendanceBook()
    book.joined("math", "tab", ANN, "chat", joined_ms)
    book.update(sessions, joined_ms)
    return book


def sent(book: AttendanceBook) -> tuple[list[Interval], list[Interval]]:
    changes = book.changes(100)
    book.sent(changes)
    return list(changes.opened), list(changes.closed)


@pytest.mark.parametrize(("joined_ms", "opened_ms"), [(200, 1_000), (1_000, 1_000), (4_000, 4_000)])
def test_an_interval_begins_with_the_person_or_the_class(joined_ms: int, opened_ms: int):
    opened, closed = sent(book_with(joined_ms=joined_ms))
    assert [(each.joined_at, each.left_at, each.session_id) for each in opened] == [(opened_ms, None, "s1")]
    assert not closed


def test_nobody_attends_a_class_that_is_not_live():
    assert sent(book_with(joined_ms=200, sessions={})) == ([], [])


def test_who_leaves_a_live_class_attended_until_then():
    book = book_with(joined_ms=2_000)
    sent(book)
    book.left("math", "tab", "chat", 5_000)
    book.update(LIVE, 6_000)
    _, closed = sent(book)
    assert [(each.joined_at, each.left_at) for each in closed] == [(2_000, 5_000)]
    assert sent(book) == ([], [])


def test_who_stays_after_the_end_attended_until_the_end():
    book = book_with(joined_ms=2_000)
    book.update(OVER, 20_000)
    assert [each.left_at for each in sent(book)[1]] == [9_000]
    book.update(OVER, 30_000)
    assert sent(book) == ([], [])


def test_the_next_class_is_another_interval():
    book = book_with(joined_ms=2_000)
    sent(book)
    book.update({"math": SessionSpan("s2", 50_000)}, 60_000)
    opened, closed = sent(book)
    assert [(each.session_id, each.joined_at) for each in opened] == [("s2", 50_000)]
    assert [(each.session_id, each.left_at) for each in closed] == [("s1", 50_000)]


def test_who_came_and_left_between_two_beats_attended():
    book = AttendanceBook()
    book.joined("math", "tab", ANN, "media", 3_000)
    book.left("math", "tab", "media", 4_000)
    book.update(LIVE, 5_000)
    opened, closed = sent(book)
    assert not opened
    assert [(each.joined_at, each.left_at, each.kind) for each in closed] == [(3_000, 4_000, "media")]


def test_after_a_master_closed_all_the_rest_is_a_new_interval():
    book = book_with(joined_ms=2_000)
    (first,), _ = sent(book)
    book.closed_by_master(5_000)
    (second,), _ = sent(book)
    assert second.interval_id != first.interval_id
    assert second.joined_at == 5_000


def test_an_interval_that_ended_while_a_master_closed_all_keeps_its_end():
    book = book_with(joined_ms=2_000)
    (first,), _ = sent(book)
    book.left("math", "tab", "chat", 8_000)
    book.update(LIVE, 8_000)
    book.closed_by_master(5_000)
    _, (rest,) = sent(book)
    assert rest.interval_id != first.interval_id
    assert (rest.joined_at, rest.left_at) == (5_000, 8_000)


def test_after_redis_lost_its_data_it_gets_the_same_intervals_again():
    book = book_with(joined_ms=2_000)
    first, _ = sent(book)
    book.forgotten()
    assert sent(book) == (first, [])


def test_a_session_that_becomes_another_person():
    book = book_with(joined_ms=2_000)
    book.joined("math", "tab", ClassUser("bob"), "chat", 3_000)
    book.update(LIVE, 3_000)
    opened, closed = sent(book)
    assert [each.user.id for each in opened] == ["bob"]
    assert [(each.user.id, each.left_at) for each in closed] == [("ann", 3_000)]


def test_an_unknown_person_leaves():
    book = AttendanceBook()
    book.left("math", "tab", "chat", 1)
    book.update(LIVE, 2)
    assert sent(book) == ([], [])


class Lessons(RuleBasedStateMachine):
    """One room, time that passes, people who come and go, sessions that begin and end, Redis and masters that forget.

    The model is the set of milliseconds that each person was there while the class was live.
    """

    def __init__(self) -> None:
        super().__init__()
        self.book = AttendanceBook()
        self.now = 1_000
        self.session: SessionSpan | None = None
        self.there: dict[str, int] = {}
        self.expected: dict[str, list[tuple[int, int]]] = {}
        self.stored: dict[str, Interval] = {}  # what lands: the first of each id
        self.open: dict[str, Interval] = {}  # what Redis has

    def _lived(self, user: str, until: int) -> None:
        if self.session is not None and not self.session.ended_ms:
            begin = max(self.there[user], self.session.started_ms)
            if begin < until:
                self.expected.setdefault(user, []).append((begin, until))

    def _beat(self) -> None:
        self.book.update({} if self.session is None else {"math": self.session}, self.now)
        changes = self.book.changes(10**6)
        for each in changes.opened:
            self.open[each.interval_id] = each
        for each in changes.closed:
            self.open.pop(each.interval_id, None)
            self.stored.setdefault(each.interval_id, each)
        self.book.sent(changes)

    @rule(user=st.sampled_from("abc"), ms=st.integers(1, 500))
    def come(self, user: str, ms: int) -> None:
        self.now += ms
        if user not in self.there:
            self.there[user] = self.now
            self.book.joined("math", user, ClassUser(user), "chat", self.now)

    @rule(user=st.sampled_from("abc"), ms=st.integers(1, 500))
    def leave(self, user: str, ms: int) -> None:
        self.now += ms
        if user in self.there:
            self._lived(user, self.now)
            del self.there[user]
            self.book.left("math", user, "chat", self.now)

    @rule(ms=st.integers(1, 500))
    def begin_session(self, ms: int) -> None:
        self.now += ms
        if self.session is None or self.session.ended_ms:
            self._beat()
            self.session = SessionSpan(str(uuid.uuid4()), self.now)

    @rule(ms=st.integers(1, 500))
    def end_session(self, ms: int) -> None:
        self.now += ms
        if self.session is not None and not self.session.ended_ms:
            for user in self.there:
                self._lived(user, self.now)
            self.session = SessionSpan(self.session.session_id, self.session.started_ms, self.now)

    @rule(ms=st.integers(1, 500))
    def beat(self, ms: int) -> None:
        self.now += ms
        self._beat()

    @rule()
    def master_closes_all(self) -> None:
        self._beat()
        for each in self.open.values():
            closed = Interval(*(getattr(each, name) for name in each.__struct_fields__[:-1]), left_at=self.now)
            self.stored.setdefault(each.interval_id, closed)
        self.open.clear()
        self.book.closed_by_master(self.now)

    @rule()
    def redis_forgets(self) -> None:
        self._beat()
        self.open.clear()
        self.book.forgotten()

    @invariant()
    def what_landed_is_what_happened(self) -> None:
        for user in "abc":
            landed = [(each.joined_at, each.left_at) for each in self.stored.values() if each.user.id == user]
            assert _length(landed) <= _length(self.expected.get(user, [])) + self._running(user)

    def _running(self, user: str) -> int:
        if user not in self.there or self.session is None or self.session.ended_ms:
            return 0
        return max(0, self.now - max(self.there[user], self.session.started_ms))

    def teardown(self) -> None:
        for user in list(self.there):
            self.leave(user, 1)
        self._beat()
        for user in "abc":
            landed = [(each.joined_at, each.left_at) for each in self.stored.values() if each.user.id == user]
            assert _union(landed) == _union(self.expected.get(user, []))


def _union(intervals: list) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(intervals):
        if begin >= end:
            continue
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _length(intervals: list) -> int:
    return sum(end - begin for begin, end in _union(intervals))


TestLessons = Lessons.TestCase


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100))))
def test_the_model_counts_no_time_twice(pairs: list[tuple[int, int]]):
    intervals = [(min(pair), max(pair)) for pair in pairs]
    covered = {each for begin, end in intervals for each in range(begin, end)}
    assert _length(intervals) == len(covered)
