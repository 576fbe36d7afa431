"""From an entry of the outbox of classes to its event. No I/O. The form of entries: :mod:`airnode.bus.classroom`."""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from airnode.bus.classroom import AttendanceKind, ClassUser
from airnode.pipeline.classroom_events import (
    Attended,
    HandChanged,
    MessageDeleted,
    MessageSent,
    PollAnswered,
    PollChanged,
    PollOption,
    QuestionChanged,
    SessionEnded,
    SessionStarted,
    fact_id,
)
from airnode.pipeline.event import CLASSROOM
from airnode.pipeline.events import ClassroomEvent
from airnode.store.eventlog.log import Record

T = TypeVar("T")

_FIELDS = ("room", "epoch", "offset", "event", "user", "at_ms", "data")
#: Most characters of an entry that cannot be read, in its dead letter.
_RAW_CHARS = 4000


class UnreadableEntryError(Exception):
    """An entry of the outbox that is not a valid fact."""


class _Message(msgspec.Struct):
    content: str
    id: str = ""
    user: ClassUser | None = None
    type: str = "text"
    at: int | None = None


class _Moderation(msgspec.Struct):
    deleted: str | None = None


class _Question(msgspec.Struct):
    id: str
    user: ClassUser
    content: str
    supporters: int = 0
    answered: bool = False
    at: int | None = None


class _Ask(msgspec.Struct):
    question: _Question | None = None
    deleted: str | None = None


class _Poll(msgspec.Struct):
    id: str
    question: str
    options: list[PollOption]
    answered: int = 0
    open: bool = True
    at: int | None = None
    closed_at: int | None = None


class _PollChange(msgspec.Struct):
    poll: _Poll


class _PollAnswer(msgspec.Struct):
    poll: str
    option: int


class _Raised(msgspec.Struct):
    user: ClassUser


class _Hand(msgspec.Struct):
    raised: _Raised | None = None
    lowered: str | None = None
    all_lowered: bool = False


class _Attendance(msgspec.Struct):
    interval_id: uuid.UUID
    session_id: uuid.UUID
    user: ClassUser
    kind: AttendanceKind
    joined_at: int
    left_at: int


class _Session(msgspec.Struct):
    session_id: uuid.UUID
    started_at: int
    ended_at: int | None = None


class _Entry:
    """The fields of an entry, checked."""

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        try:
            texts = {name: fields[name.encode()].decode() for name in _FIELDS}
            self.at = _time(int(texts["at_ms"]))
        except (KeyError, ValueError) as error:
            raise UnreadableEntryError(f"a field is missing or malformed: {error}") from None
        self.room, self.epoch, self.event = texts["room"], texts["epoch"], texts["event"]
        self.place, self.data = texts["offset"], texts["data"]
        self.offset = int(self.place) if self.place.isdecimal() and len(self.place) < 19 else 0
        self.id = fields.get(b"id", b"").decode(errors="replace")
        self.user = _user(texts["user"])

    def parsed(self, kind: type[T]) -> T:
        """Return the data of the entry."""
        try:
            return msgspec.json.decode(self.data, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise UnreadableEntryError(f"{self.event}: {error}") from None

    def head(self, *parts: str) -> dict[str, Any]:
        """Return the fields that all events have; ``parts`` identify the fact, by default its place."""
        place = parts or (self.epoch, self.place)
        return {
            "event_id": fact_id(self.room, self.event, *place),
            "occurred_at": self.at,
            "key": self.room,
            "room": self.room,
            "offset": self.offset,
        }


def events_of(fields: Mapping[bytes, bytes]) -> list[ClassroomEvent]:
    """Return the events of an entry; none if the class record does not keep this fact.

    Raises:
        UnreadableEntryError: the entry is malformed.
    """
    entry = _Entry(fields)
    if entry.event in _NOT_KEPT:
        return []
    read = _READERS.get(entry.event)
    if read is None:
        raise UnreadableEntryError(f"there is no fact {entry.event[:80]!r}")
    try:
        event = read(entry)
    except ValueError as error:
        raise UnreadableEntryError(f"{entry.event}: {error}") from None
    return [] if event is None else [event]


def unreadable_record(fields: Mapping[bytes, bytes], detail: str) -> Record:
    """Return a record of the topic that no consumer can decode, so that the entry becomes a dead letter."""
    raw = {name.decode(errors="replace"): value.decode(errors="replace")[:_RAW_CHARS] for name, value in fields.items()}
    body = {"type": "class.unreadable", "v": 1, "detail": detail[:_RAW_CHARS], "entry": raw}
    return Record(CLASSROOM, raw.get("room", ""), msgspec.json.encode(body))


def _message(entry: _Entry) -> ClassroomEvent:
    data = entry.parsed(_Message)
    if data.at is not None:
        entry.at = _time(data.at)
    message_id, user = data.id or entry.id, data.user or entry.user
    if not message_id:
        raise ValueError("it has no id")
    head = entry.head(message_id)
    return MessageSent(**head, message_id=message_id, user=user, content_type=data.type, content=data.content)


def _moderation(entry: _Entry) -> ClassroomEvent | None:
    deleted = entry.parsed(_Moderation).deleted
    return MessageDeleted(**entry.head("deleted", deleted), message_id=deleted) if deleted else None


def _ask(entry: _Entry) -> ClassroomEvent | None:
    data = entry.parsed(_Ask)
    question = data.question
    if question is None and data.deleted is None:
        return None
    if question is None or data.deleted is not None:
        question = _Question(data.deleted or "", ClassUser(""), "")
    return QuestionChanged(
        **entry.head(),
        question_id=question.id,
        user=question.user,
        content=question.content,
        supporters=max(0, question.supporters),
        answered=question.answered,
        deleted=data.deleted is not None,
        asked_at=entry.at if question.at is None else _time(question.at),
    )


def _poll(entry: _Entry) -> ClassroomEvent:
    poll = entry.parsed(_PollChange).poll
    closed_at = entry.at if poll.closed_at is None else _time(poll.closed_at)
    return PollChanged(
        **entry.head(),
        poll_id=poll.id,
        question=poll.question,
        options=tuple(poll.options),
        answered=max(0, poll.answered),
        opened_at=entry.at if poll.at is None else _time(poll.at),
        closed_at=None if poll.open else closed_at,
    )


def _poll_answer(entry: _Entry) -> ClassroomEvent:
    data = entry.parsed(_PollAnswer)
    return PollAnswered(**entry.head(data.poll, entry.user.id), poll_id=data.poll, user=entry.user, option=data.option)


def _hand(entry: _Entry) -> ClassroomEvent | None:
    data = entry.parsed(_Hand)
    if data.raised is not None:
        return HandChanged(**entry.head(), user=data.raised.user, raised=True)
    if data.lowered is None and not data.all_lowered:
        return None
    return HandChanged(**entry.head(), user=ClassUser("" if data.all_lowered else data.lowered or ""), raised=False)


def _attendance(entry: _Entry) -> ClassroomEvent:
    data = entry.parsed(_Attendance)
    return Attended(
        **{**entry.head(), "event_id": data.interval_id},
        session_id=data.session_id,
        user_id=data.user.id,
        name=data.user.name,
        role=data.user.role,
        kind=data.kind,
        joined_at=_time(data.joined_at),
        left_at=_time(max(data.joined_at, data.left_at)),
    )


def _session_started(entry: _Entry) -> ClassroomEvent:
    data = entry.parsed(_Session)
    head = entry.head(str(data.session_id))
    return SessionStarted(**head, session_id=data.session_id, started_at=_time(data.started_at))


def _session_ended(entry: _Entry) -> ClassroomEvent:
    data = entry.parsed(_Session)
    if data.ended_at is None:
        raise ValueError("it has no ended_at")
    return SessionEnded(
        **entry.head(str(data.session_id)),
        session_id=data.session_id,
        started_at=_time(data.started_at),
        ended_at=_time(max(data.started_at, data.ended_at)),
    )


_READERS: dict[str, Callable[[_Entry], ClassroomEvent | None]] = {
    "message": _message,
    "moderation": _moderation,
    "ask": _ask,
    "poll": _poll,
    "poll_answer": _poll_answer,
    "hand": _hand,
    "attendance": _attendance,
    "session_started": _session_started,
    "session_ended": _session_ended,
}
#: Facts of a room's log that the class record does not keep.
_NOT_KEPT = frozenset({"notice"})


def _time(unix_ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(unix_ms / 1000, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{unix_ms} is not a time") from error


def _user(text: str) -> ClassUser:
    """Return the user of an entry, which is written as JSON or as an id."""
    if not text.startswith("{"):
        return ClassUser(text)
    try:
        return msgspec.json.decode(text, type=ClassUser)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableEntryError(f"user: {error}") from None
