"""The attendance table of a session, from intervals. No I/O, no clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from airnode.bus.classroom import AttendanceKind


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, in unix ms."""

    begin_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class AttendedSpan:
    """A time that one student was in the class.

    Attributes:
        present: the student is still there.
    """

    user_id: str
    name: str
    kind: AttendanceKind
    span: Span
    present: bool = False


class AttendanceRow(msgspec.Struct, frozen=True):
    """One student in the attendance table; times in unix seconds.

    Attributes:
        student_id: the `sub` of the student's tokens.
        joined_at, left_at: when the student came first and left last; left_at is null for one who is there now.
        minutes: time in the class, by chat or by watching, each minute once. watched_minutes: by watching.
        percent: `minutes` of the time that the class was live, 0 to 100.
    """

    student_id: str
    name: str
    joined_at: float
    left_at: float | None
    minutes: float
    watched_minutes: float
    percent: float


def attendance_rows(session: Span, attended: Iterable[AttendedSpan], names: Mapping[str, str]) -> list[AttendanceRow]:
    """Return a row for each student, in the order in which they came.

    Args:
        session: only time in it counts.
        names: {student's id: newest name}; it replaces the name of the time.
    """
    by_student: dict[str, list[AttendedSpan]] = {}
    for each in attended:
        by_student.setdefault(each.user_id, []).append(each)
    rows = [_row(session, user_id, spans, names.get(user_id, "")) for user_id, spans in by_student.items()]
    return sorted((row for row in rows if row is not None), key=lambda row: (row.joined_at, row.student_id))


def _row(session: Span, user_id: str, attended: list[AttendedSpan], name: str) -> AttendanceRow | None:
    within = [(each, span) for each in attended if (span := _cut(each.span, session)) is not None]
    if not within:
        return None
    spans = [span for _, span in within]
    length_ms = covered_ms(spans)
    watched_ms = covered_ms(span for each, span in within if each.kind == "media")
    return AttendanceRow(
        user_id,
        name or next((each.name for each, _ in within if each.name), ""),
        min(span.begin_ms for span in spans) / 1000,
        None if any(each.present for each, _ in within) else max(span.end_ms for span in spans) / 1000,
        _minutes(length_ms),
        _minutes(watched_ms),
        round(100 * length_ms / max(1, session.end_ms - session.begin_ms), 1),
    )


def covered_ms(spans: Iterable[Span]) -> int:
    """Return how many milliseconds lie in at least one of the spans."""
    total_ms, reached_ms = 0, 0
    for span in sorted(spans, key=lambda each: each.begin_ms):
        total_ms += max(0, span.end_ms - max(span.begin_ms, reached_ms))
        reached_ms = max(reached_ms, span.end_ms)
    return total_ms


def _cut(span: Span, session: Span) -> Span | None:
    """Return the part of a span that lies in the session; None if there is none."""
    begin_ms, end_ms = max(span.begin_ms, session.begin_ms), min(span.end_ms, session.end_ms)
    return Span(begin_ms, end_ms) if begin_ms < end_ms else None


def _minutes(ms: int) -> float:
    return round(ms / 60_000, 1)
