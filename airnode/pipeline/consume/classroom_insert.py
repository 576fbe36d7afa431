"""Inserts what happened in classes into PostgreSQL, each fact once.

Each kind of event has one statement per batch. A question or a poll comes several times, with its new state each time:
the row keeps the newest. A statement must not change a row twice, so only the newest state in the batch is written.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from airnode.pipeline.classroom_events import (
    Attended,
    HandChanged,
    MessageDeleted,
    MessageSent,
    PollAnswered,
    PollChanged,
    QuestionChanged,
    SessionEnded,
    SessionStarted,
)

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

_SESSIONS = """
WITH new AS (
    INSERT INTO classroom.sessions AS known (session_id, room, started_at, ended_at)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
    ON CONFLICT (session_id) DO UPDATE SET ended_at = excluded.ended_at
    WHERE excluded.ended_at IS NOT NULL AND known.ended_at IS DISTINCT FROM excluded.ended_at
    RETURNING 1
) SELECT count(*) FROM new
"""
_ATTENDANCE = """
WITH new AS (
    INSERT INTO classroom.attendance (interval_id, session_id, room, user_id, name, role, kind, joined_at, left_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::timestamptz[], $9::timestamptz[])
    ON CONFLICT (interval_id) DO NOTHING RETURNING 1
) SELECT count(*) FROM new
"""
#: A row without sent_at was made by the deletion, which came first.
_MESSAGES = """
WITH new AS (
    INSERT INTO classroom.messages AS known (room, message_id, user_id, name, role, type, content, sent_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::timestamptz[])
    ON CONFLICT (room, message_id) DO UPDATE
    SET user_id = excluded.user_id, name = excluded.name, role = excluded.role, sent_at = excluded.sent_at
    WHERE known.sent_at IS NULL
    RETURNING 1
) SELECT count(*) FROM new
"""
_DELETIONS = """
WITH new AS (
    INSERT INTO classroom.messages AS known (room, message_id, user_id, name, role, type, content, deleted_at)
    SELECT room, message_id, '', '', 'student', 'text', '', deleted_at
    FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS gone (room, message_id, deleted_at)
    ON CONFLICT (room, message_id) DO UPDATE SET content = '', deleted_at = excluded.deleted_at
    WHERE known.deleted_at IS NULL
    RETURNING 1
) SELECT count(*) FROM new
"""
#: A deletion may come without the question's author and text.
_QUESTIONS = """
WITH new AS (
    INSERT INTO classroom.questions AS known (room, question_id, user_id, name, content, supporters, answered, deleted,
                                              asked_at, changed_at, log_offset)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::boolean[],
                         $8::boolean[], $9::timestamptz[], $10::timestamptz[], $11::bigint[])
    ON CONFLICT (room, question_id) DO UPDATE
    SET user_id = coalesce(nullif(excluded.user_id, ''), known.user_id),
        name = coalesce(nullif(excluded.name, ''), known.name),
        content = CASE WHEN excluded.deleted THEN '' ELSE excluded.content END,
        supporters = greatest(excluded.supporters, CASE WHEN excluded.deleted THEN known.supporters ELSE 0 END),
        answered = excluded.answered, deleted = excluded.deleted,
        asked_at = least(known.asked_at, excluded.asked_at),
        changed_at = excluded.changed_at, log_offset = excluded.log_offset
    WHERE (excluded.changed_at, excluded.log_offset) > (known.changed_at, known.log_offset)
    RETURNING 1
) SELECT count(*) FROM new
"""
_POLLS = """
WITH new AS (
    INSERT INTO classroom.polls AS known (room, poll_id, question, options, answered, opened_at, closed_at, changed_at,
                                          log_offset)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::integer[], $6::timestamptz[],
                         $7::timestamptz[], $8::timestamptz[], $9::bigint[])
    ON CONFLICT (room, poll_id) DO UPDATE
    SET question = excluded.question, options = excluded.options, answered = excluded.answered,
        opened_at = least(known.opened_at, excluded.opened_at), closed_at = excluded.closed_at,
        changed_at = excluded.changed_at, log_offset = excluded.log_offset
    WHERE (excluded.changed_at, excluded.log_offset) > (known.changed_at, known.log_offset)
    RETURNING 1
) SELECT count(*) FROM new
"""
_ANSWERS = """
WITH new AS (
    INSERT INTO classroom.poll_answers (room, poll_id, user_id, name, option, answered_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::timestamptz[])
    ON CONFLICT (room, poll_id, user_id) DO NOTHING RETURNING 1
) SELECT count(*) FROM new
"""
_HANDS = """
WITH new AS (
    INSERT INTO classroom.hands (event_id, room, user_id, name, raised, at)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::timestamptz[])
    ON CONFLICT (event_id) DO NOTHING RETURNING 1
) SELECT count(*) FROM new
"""

Row = tuple[Any, ...]
#: Events that say the new state of something.
_STATES = (QuestionChanged, PollChanged)


def _session(event: Any) -> Row:
    return event.session_id, event.room, event.started_at, getattr(event, "ended_at", None)


def _attended(event: Attended) -> Row:
    who = (event.user_id, event.name, event.role, event.kind)
    return event.event_id, event.session_id, event.room, *who, event.joined_at, event.left_at


def _message(event: MessageSent) -> Row:
    user = event.user
    return (
        event.room,
        event.message_id,
        user.id,
        user.name,
        user.role,
        event.content_type,
        event.content,
        event.occurred_at,
    )


def _deletion(event: MessageDeleted) -> Row:
    return event.room, event.message_id, event.occurred_at


def _question(event: QuestionChanged) -> Row:
    state = (event.supporters, event.answered, event.deleted)
    times = (event.asked_at, event.occurred_at, event.offset)
    content = "" if event.deleted else event.content
    return event.room, event.question_id, event.user.id, event.user.name, content, *state, *times


def _poll(event: PollChanged) -> Row:
    options = msgspec.json.encode(event.options).decode()
    times = (event.opened_at, event.closed_at, event.occurred_at, event.offset)
    return event.room, event.poll_id, event.question, options, event.answered, *times


def _answer(event: PollAnswered) -> Row:
    return event.room, event.poll_id, event.user.id, event.user.name, event.option, event.occurred_at


def _hand(event: HandChanged) -> Row:
    return event.event_id, event.room, event.user.id, event.user.name, event.raised, event.occurred_at


def _one_of_each(events: Sequence[Any], key: Callable[[Any], object]) -> list[Any]:
    """Return one event of each key: the newest of states, else the first."""
    chosen: dict[object, Any] = {}
    for event in events:
        known = chosen.setdefault(key(event), event)
        if isinstance(event, _STATES) and (known.occurred_at, known.offset) < (event.occurred_at, event.offset):
            chosen[key(event)] = event
    return list(chosen.values())


#: Statement, row of an event, and key of a row, by the type of the event, in the order in which they are written.
_WRITTEN: tuple[tuple[tuple[type, ...], str, Callable[[Any], Row], Callable[[Any], object]], ...] = (
    ((SessionStarted,), _SESSIONS, _session, lambda each: each.session_id),
    ((SessionEnded,), _SESSIONS, _session, lambda each: each.session_id),
    ((Attended,), _ATTENDANCE, _attended, lambda each: each.event_id),
    ((MessageSent,), _MESSAGES, _message, lambda each: (each.room, each.message_id)),
    ((MessageDeleted,), _DELETIONS, _deletion, lambda each: (each.room, each.message_id)),
    ((QuestionChanged,), _QUESTIONS, _question, lambda each: (each.room, each.question_id)),
    ((PollChanged,), _POLLS, _poll, lambda each: (each.room, each.poll_id)),
    ((PollAnswered,), _ANSWERS, _answer, lambda each: (each.room, each.poll_id, each.user.id)),
    ((HandChanged,), _HANDS, _hand, lambda each: each.event_id),
)


async def insert_classroom(connection: "PoolConnectionProxy[Any]", events: Sequence[Any]) -> int:
    """Insert the events and return how many changed a row. Call it inside a transaction."""
    changed = 0
    for kinds, statement, row, key in _WRITTEN:
        found = _one_of_each([event for event in events if isinstance(event, kinds)], key)
        if found:
            rows = sorted((row(event) for event in found), key=lambda each: tuple(map(str, each[:3])))
            changed += int(await connection.fetchval(statement, *map(list, zip(*rows, strict=True))))
    return changed
