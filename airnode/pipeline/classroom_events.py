"""What happened in classes: the events of the topic ``classroom``. Their key is the room, so they stay in its order.

They are made of the entries of the outbox in Redis (:mod:`airnode.bus.classroom`). An entry that comes again makes an
event with the same id.
"""

import uuid
from datetime import datetime
from typing import Annotated, ClassVar

import msgspec

from airnode.bus.classroom import AttendanceKind, ClassUser, UserRole
from airnode.pipeline.event import CLASSROOM, Event, Topic

#: Namespace of the ids, an arbitrary UUID that nothing else uses (RFC 9562, section 5.5).
_NAMESPACE = uuid.UUID("6f1d0d5e-7b5c-4a37-9d53-3b6c2b0c7a11")

Time = Annotated[datetime, msgspec.Meta(tz=True)]


def fact_id(*parts: str) -> uuid.UUID:
    """Return the id of a fact; the same parts always give the same id."""
    return uuid.uuid5(_NAMESPACE, "\0".join(parts))


class _ClassroomEvent(Event, frozen=True, kw_only=True):
    """Fields of all events of a room.

    Attributes:
        offset: of the fact in the room's log; 0: it is not in it.
    """

    topic: ClassVar[Topic] = CLASSROOM

    room: str
    offset: int = 0


class SessionStarted(_ClassroomEvent, frozen=True, kw_only=True, tag="class.started"):
    """A class went live."""

    session_id: uuid.UUID
    started_at: Time


class SessionEnded(_ClassroomEvent, frozen=True, kw_only=True, tag="class.ended"):
    """A class is over: it did not go on within ``classes.session_gap_s``."""

    session_id: uuid.UUID
    started_at: Time
    ended_at: Time


class Attended(_ClassroomEvent, frozen=True, kw_only=True, tag="class.attended"):
    """A person was in a class on one node, from when to when; the id of the interval is ``event_id``."""

    session_id: uuid.UUID
    user_id: str
    name: str
    role: UserRole
    kind: AttendanceKind
    joined_at: Time
    left_at: Time


class MessageSent(_ClassroomEvent, frozen=True, kw_only=True, tag="class.message"):
    message_id: str
    user: ClassUser
    content_type: str
    content: str


class MessageDeleted(_ClassroomEvent, frozen=True, kw_only=True, tag="class.message_deleted"):
    message_id: str


class QuestionChanged(_ClassroomEvent, frozen=True, kw_only=True, tag="class.question"):
    """A question to the teacher was asked, supported, answered or deleted: its new state."""

    question_id: str
    user: ClassUser
    content: str
    supporters: int
    answered: bool
    deleted: bool
    asked_at: Time


class PollOption(msgspec.Struct, frozen=True):
    text: str
    votes: int = 0


class PollChanged(_ClassroomEvent, frozen=True, kw_only=True, tag="class.poll"):
    """A poll was opened or closed: its new state.

    Attributes:
        answered: number of answers.
    """

    poll_id: str
    question: str
    options: tuple[PollOption, ...]
    answered: int
    opened_at: Time
    closed_at: Time | None = None


class PollAnswered(_ClassroomEvent, frozen=True, kw_only=True, tag="class.poll_answer"):
    poll_id: str
    user: ClassUser
    option: int


class HandChanged(_ClassroomEvent, frozen=True, kw_only=True, tag="class.hand"):
    """A hand was raised or lowered; a user with an empty id: the teacher lowered all hands."""

    user: ClassUser
    raised: bool
