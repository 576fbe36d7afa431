"""The attendance table: each minute counts once, and only while the class was live."""

from hypothesis import given
from hypothesis import strategies as st

from airnode.classrecord.attendance_table import AttendedSpan, Span, attendance_rows, covered_ms

MINUTE_MS = 60_000
LESSON = Span(0, 50 * MINUTE_MS)


def attended(user_id: str, begin_min: float, end_min: float, kind="media", *, name: str = "", present: bool = False):
    return AttendedSpan(user_id, name, kind, Span(round(begin_min * MINUTE_MS), round(end_min * MINUTE_MS)), present)


def test_chat_and_video_of_one_student_count_once():
    spans = [attended("a", 0, 20), attended("a", 10, 40, "chat", name="앤"), attended("a", 15, 25)]
    (row,) = attendance_rows(LESSON, spans, {})
    assert (row.name, row.joined_at, row.left_at) == ("앤", 0, 40 * 60)
    assert (row.minutes, row.watched_minutes, row.percent) == (40, 25, 80)


def test_only_time_in_the_class_counts():
    spans = [attended("a", -30, 10), attended("a", 45, 90), attended("b", 50, 60), attended("c", -9, 0)]
    (row,) = attendance_rows(LESSON, spans, {})
    assert (row.student_id, row.minutes, row.joined_at, row.left_at) == ("a", 15, 0, 50 * 60)


def test_who_is_there_has_not_left_and_the_newest_name_is_shown():
    rows = attendance_rows(LESSON, [attended("b", 5, 50, present=True), attended("a", 9, 12, name="old")], {"a": "new"})
    assert [(row.student_id, row.name, row.left_at) for row in rows] == [("b", "", None), ("a", "new", 12 * 60)]


def test_a_class_that_has_just_begun():
    assert attendance_rows(Span(5, 5), [attended("a", 0, 9)], {}) == []


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))))
def test_covered_time_is_the_size_of_the_union(pairs: list[tuple[int, int]]):
    spans = [Span(min(pair), max(pair)) for pair in pairs]
    assert covered_ms(spans) == len({each for span in spans for each in range(span.begin_ms, span.end_ms)})


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(-20, 80), st.floats(0, 40)), max_size=30))
def test_nobody_attends_longer_than_the_class(times: list[tuple[str, float, float]]):
    rows = attendance_rows(LESSON, [attended(user, begin, begin + length) for user, begin, length in times], {})
    for row in rows:
        assert 0 <= row.watched_minutes <= row.minutes <= 50
        assert 0 <= row.percent <= 100
        assert row.left_at is not None
        assert 0 <= row.joined_at <= row.left_at <= 50 * 60
