"""Reads the record of classes: what has landed in PostgreSQL, and who is there now, from Redis."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import structlog

from airnode.bus.messages import ROOM_PATTERN
from airnode.classrecord.attendance_store import AttendanceStore
from airnode.classrecord.attendance_table import AttendedSpan, Span, attendance_rows
from airnode.classrecord.record_types import (
    ChatLine,
    HandRow,
    Part,
    PollChoice,
    PollRow,
    PollVote,
    QuestionRow,
    RecordCounts,
    SessionList,
    SessionRecord,
    SessionSummary,
)
from airnode.errors import NotFound, Unavailable
from airnode.store.postgres import Postgres

log = structlog.get_logger(__name__)

#: What is said this long before a class and after it belongs to its record.
_AROUND = timedelta(minutes=15)
_ROWS_MAX = 100_000
_SESSIONS_MAX = 500
LATEST = "latest"

_SESSIONS = """
SELECT session_id, room, started_at, ended_at,
       (SELECT count(DISTINCT user_id) FROM classroom.attendance AS attended
        WHERE attended.session_id = known.session_id AND role = 'student') AS students,
       (SELECT count(*) FROM classroom.messages AS message WHERE message.room = known.room
        AND sent_at BETWEEN started_at AND coalesce(ended_at, now())) AS messages
FROM classroom.sessions AS known WHERE room = $1 ORDER BY started_at DESC LIMIT $2
"""
_AROUND_IT = """
SELECT session_id, started_at, ended_at FROM classroom.sessions WHERE room = $1 ORDER BY started_at
"""
_TITLE = "SELECT title FROM classes WHERE room = $1"
_ATTENDED = """
SELECT user_id, name, kind, joined_at, left_at FROM classroom.attendance
WHERE session_id = $1 AND role = 'student' ORDER BY joined_at LIMIT $2
"""
_NAMES = """
SELECT user_id, display_name FROM users WHERE user_type = 'student' AND display_name <> '' AND user_id = ANY($1::text[])
"""
_MESSAGES = """
SELECT message_id, sent_at, user_id, name, role, type, content, deleted_at IS NOT NULL FROM classroom.messages
WHERE room = $1 AND sent_at >= $2 AND sent_at < $3 ORDER BY sent_at, message_id LIMIT $4
"""
_QUESTIONS = """
SELECT question_id, asked_at, user_id, name, content, supporters, answered, deleted FROM classroom.questions
WHERE room = $1 AND asked_at >= $2 AND asked_at < $3 ORDER BY asked_at, question_id LIMIT $4
"""
_POLLS = """
SELECT poll_id, opened_at, closed_at, question, options FROM classroom.polls
WHERE room = $1 AND opened_at >= $2 AND opened_at < $3 ORDER BY opened_at, poll_id LIMIT $4
"""
_ANSWERS = """
SELECT poll_id, user_id, name, option, answered_at FROM classroom.poll_answers
WHERE room = $1 AND poll_id = ANY($2::text[]) ORDER BY answered_at, user_id LIMIT $3
"""
_COUNT_MESSAGES = "SELECT count(*) FROM classroom.messages WHERE room = $1 AND sent_at >= $2 AND sent_at < $3"
_COUNT_QUESTIONS = "SELECT count(*) FROM classroom.questions WHERE room = $1 AND asked_at >= $2 AND asked_at < $3"
_COUNT_POLLS = "SELECT count(*) FROM classroom.polls WHERE room = $1 AND opened_at >= $2 AND opened_at < $3"
_HANDS = """
SELECT at, user_id, name, raised FROM classroom.hands
WHERE room = $1 AND at >= $2 AND at < $3 ORDER BY at LIMIT $4
"""


class _Window(NamedTuple):
    """A session, and the time whose facts belong to it."""

    session_id: uuid.UUID
    started_at: datetime
    ended_at: datetime | None
    since: datetime
    until: datetime


class _Within(NamedTuple):
    """A room, and the time whose facts are read."""

    room: str
    since: datetime
    until: datetime


class RecordReader:
    """Reads. All methods raise Unavailable (503) when the database does not answer.

    Args:
        attendance: None: only what has landed is read.
    """

    def __init__(self, postgres: Postgres, attendance: AttendanceStore | None) -> None:
        self._postgres = postgres
        self._attendance = attendance

    async def sessions(self, room: str) -> SessionList:
        """Return the newest 500 sessions of a room."""
        rows = await self._postgres.fetch(_SESSIONS, _valid(room), _SESSIONS_MAX)
        return SessionList(
            [
                SessionSummary(
                    str(row["session_id"]),
                    row["room"],
                    row["started_at"].timestamp(),
                    _unix(row["ended_at"]),
                    row["students"],
                    row["messages"],
                )
                for row in rows
            ]
        )

    async def record(self, room: str, session_id: str = LATEST, part: Part | None = None) -> SessionRecord:
        """Return the record of a session, or one part of it with the counts of all.

        Raises:
            NotFound: (404) the room has no such session.
        """
        now = datetime.now(UTC)
        window = await self._window(_valid(room), session_id, now)
        attended = await self._attended(room, window, now)
        span = Span(_ms(window.started_at), _ms(window.ended_at or now))
        rows = attendance_rows(span, attended, await self._names([each.user_id for each in attended]))
        within = _Within(room, window.since, window.until)
        chat = await self._chat(within) if part in (None, "chat") else None
        questions = await self._questions(within) if part in (None, "questions") else None
        polls = await self._polls(within) if part in (None, "polls") else None
        hands = [HandRow(row[0].timestamp(), *row[1:]) for row in await self._rows(_HANDS, within)]
        counts = RecordCounts(
            attendance=len(rows),
            chat=len(chat) if chat is not None else await self._count(_COUNT_MESSAGES, within),
            questions=len(questions) if questions is not None else await self._count(_COUNT_QUESTIONS, within),
            polls=len(polls) if polls is not None else await self._count(_COUNT_POLLS, within),
            hands=times_raised(hands),
        )
        summary = SessionSummary(
            str(window.session_id),
            room,
            window.started_at.timestamp(),
            _unix(window.ended_at),
            counts.attendance,
            counts.chat,
        )
        return SessionRecord(
            session=summary,
            title=await self._postgres.fetchval(_TITLE, room) or room,
            attendance=rows if part in (None, "attendance") else [],
            chat=chat or [],
            questions=questions or [],
            polls=polls or [],
            hands=hands if part in (None, "hands") else [],
            counts=counts,
            complete=max(counts.chat, counts.questions, len(hands), len(attended)) < _ROWS_MAX,
        )

    async def _chat(self, within: _Within) -> list[ChatLine]:
        return [ChatLine(row[0], row[1].timestamp(), *row[2:]) for row in await self._rows(_MESSAGES, within)]

    async def _questions(self, within: _Within) -> list[QuestionRow]:
        return [QuestionRow(row[0], row[1].timestamp(), *row[2:]) for row in await self._rows(_QUESTIONS, within)]

    async def _rows(self, statement: str, within: _Within) -> Sequence[Any]:
        return await self._postgres.fetch(statement, *within, _ROWS_MAX)

    async def _count(self, statement: str, within: _Within) -> int:
        count: int = await self._postgres.fetchval(statement, *within)
        return count

    async def _window(self, room: str, session_id: str, now: datetime) -> _Window:
        """Return the session and its time. What is said between two sessions belongs to one of them only."""
        rows: Sequence[Any] = await self._postgres.fetch(_AROUND_IT, room)
        until = datetime.min.replace(tzinfo=UTC)
        for number, row in enumerate(rows):
            started_at, ended_at = row["started_at"], row["ended_at"]
            since = max(until, started_at - _AROUND)
            until = (ended_at or now) + _AROUND
            if number + 1 < len(rows):
                until = max(started_at, min(until, rows[number + 1]["started_at"]))
            if str(row["session_id"]) == session_id or (session_id == LATEST and number + 1 == len(rows)):
                return _Window(row["session_id"], started_at, ended_at, since, until)
        raise NotFound("There is no record of such a class.")

    async def _attended(self, room: str, window: _Window, now: datetime) -> list[AttendedSpan]:
        rows = await self._postgres.fetch(_ATTENDED, window.session_id, _ROWS_MAX)
        found = [
            AttendedSpan(user_id, name, kind, Span(_ms(joined_at), _ms(left_at)))
            for user_id, name, kind, joined_at, left_at in rows
        ]
        if self._attendance is None or window.ended_at is not None:
            return found
        try:
            intervals = await self._attendance.open_intervals(room)
        except Unavailable as error:
            log.warning("present_students_unknown", room=room, error=str(error))
            return found
        found += [
            AttendedSpan(each.user.id, each.user.name, each.kind, Span(each.joined_at, _ms(now)), present=True)
            for each in intervals
            if each.session_id == str(window.session_id) and each.user.role == "student"
        ]
        return found

    async def _names(self, user_ids: Sequence[str]) -> dict[str, str]:
        rows = await self._postgres.fetch(_NAMES, sorted(set(user_ids)))
        return {row["user_id"]: row["display_name"] for row in rows}

    async def _polls(self, within: _Within) -> list[PollRow]:
        rows = await self._rows(_POLLS, within)
        answers: dict[str, list[PollVote]] = {row["poll_id"]: [] for row in rows}
        for answer in await self._postgres.fetch(_ANSWERS, within.room, list(answers), _ROWS_MAX):
            vote = PollVote(answer["user_id"], answer["name"], answer["option"], answer["answered_at"].timestamp())
            answers[answer["poll_id"]].append(vote)
        return [_poll(row, answers[row["poll_id"]]) for row in rows]


def times_raised(rows: Sequence[HandRow]) -> int:
    """Return how often a hand went up, from what happened in its order."""
    up: set[str] = set()
    times = 0
    for row in rows:
        if row.raised:
            times += row.user_id not in up
            up.add(row.user_id)
        elif row.user_id:
            up.discard(row.user_id)
        else:
            up.clear()
    return times


def _poll(row: Any, answers: list[PollVote]) -> PollRow:
    """Return a poll. The votes are those that the poll had last, or the answers, if more of them have landed."""
    options = msgspec.json.decode(row["options"], type=list[PollChoice])
    landed = [sum(answer.option == number for answer in answers) for number in range(len(options))]
    if sum(landed) > sum(option.votes for option in options):
        options = [PollChoice(option.text, votes) for option, votes in zip(options, landed, strict=True)]
    closed_at = _unix(row["closed_at"])
    return PollRow(row["poll_id"], row["opened_at"].timestamp(), closed_at, row["question"], options, answers)


def _valid(room: str) -> str:
    if not ROOM_PATTERN.match(room):
        raise NotFound("There is no such class.")
    return room


def _unix(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
