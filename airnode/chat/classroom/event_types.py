"""The events of a class besides messages: their arguments, as structs. The documentation is generated from them."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from airnode.chat.rooms.event_types import EventType, RoomName, UnixMs
from airnode.chat.rooms.people import User
from airnode.errors import InvalidInput

Id = Annotated[str, Meta(min_length=1, max_length=200)]
_MAX_MUTE_S = 7 * 86_400
_MAX_SLOW_MODE_S = 3600


# -- what clients send ------------------------------------------------------------------------------------------------


class HandRequest(msgspec.Struct):
    """One of them. `raised`: one's own hand. `lower` (a user's id), `lower_all`: for teachers."""

    raised: bool | None = None
    lower: Id | None = None
    lower_all: bool | None = None


class OpenPoll(msgspec.Struct):
    """A question and its options."""

    question: Annotated[str, Meta(min_length=1)]
    options: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=2)]


class PollRequest(msgspec.Struct):
    """`open` or `close` (a poll's id): for teachers. `answer` (index of the option, from 0) with `id`: for students."""

    open: OpenPoll | None = None
    answer: Annotated[int, Meta(ge=0, le=1000)] | None = None
    id: Id | None = None
    close: Id | None = None


class AskRequest(msgspec.Struct):
    """One of them; all but `content` are the id of a question.

    Attributes:
        content: ask this. support: support somebody else's question.
        withdraw: take back one's support, or one's own question.
        answered: for teachers. delete: for teachers, and for who asked.
    """

    content: str | None = None
    support: Id | None = None
    withdraw: Id | None = None
    answered: Id | None = None
    delete: Id | None = None


class ModerationRequest(msgspec.Struct):
    """One of them, for teachers.

    Attributes:
        delete: id of a message. mute, unmute, remove, readmit: id of a student.
        for_s: with `mute`: for how many seconds; left out: until `unmute`.
        locked: students write no messages and no questions. teacher_only: they write no messages.
        slow_mode_s: pause between two messages of one student, in seconds; 0: none.
    """

    delete: Id | None = None
    mute: Id | None = None
    for_s: Annotated[float, Meta(ge=1, le=_MAX_MUTE_S)] | None = None
    unmute: Id | None = None
    remove: Id | None = None
    readmit: Id | None = None
    locked: bool | None = None
    slow_mode_s: Annotated[float, Meta(ge=0, le=_MAX_SLOW_MODE_S)] | None = None
    teacher_only: bool | None = None


def only_one(event: str, request: msgspec.Struct, *names: str) -> str:
    """Return the name of the only member that is given.

    Raises:
        InvalidInput: (400) none is given, or several.
    """
    given = [name for name in names if getattr(request, name) is not None]
    if len(given) != 1:
        raise InvalidInput(f"{event} needs exactly one of {', '.join(names)}.")
    return given[0]


# -- what clients get -------------------------------------------------------------------------------------------------


class Hand(msgspec.Struct):
    """A raised hand."""

    user: User
    at: UnixMs


class HandUpdate(msgspec.Struct, omit_defaults=True):
    """What changed, and how many hands are raised."""

    room: RoomName
    count: int
    raised: Hand | None = None
    lowered: str | None = None
    all_lowered: bool | None = None


class PollOptionView(msgspec.Struct):
    """One option with its votes."""

    text: str
    votes: int


class PollView(msgspec.Struct, omit_defaults=True):
    """A poll. `answered`: by how many students. `mine`: one's own answer, only in the answer of `joinRoom`."""

    id: str
    question: str
    options: list[PollOptionView]
    answered: int
    open: bool
    at: UnixMs
    closed_at: UnixMs | None = None
    mine: int | None = None


class PollUpdate(msgspec.Struct):
    """The poll as it is now: opened, answered (at most twice a second), closed."""

    room: RoomName
    poll: PollView


class QuestionView(msgspec.Struct, omit_defaults=True):
    """A question. `supported`: by oneself, only in the answer of `joinRoom`."""

    id: str
    user: User
    content: str
    supporters: int
    answered: bool
    at: UnixMs
    supported: bool = False


class AskUpdate(msgspec.Struct, omit_defaults=True):
    """A question as it is now, or the id of one that is gone."""

    room: RoomName
    question: QuestionView | None = None
    deleted: str | None = None


class WritingRules(msgspec.Struct):
    """What students may write."""

    locked: bool
    slow_mode_s: float
    teacher_only: bool


class Muted(msgspec.Struct):
    """Who is muted, and until when (null: until a teacher ends it)."""

    user: User
    until: UnixMs | None


class ModerationUpdate(msgspec.Struct, omit_defaults=True):
    """What a teacher did. `muted`, `unmuted`, `removed` and `readmitted` go to teachers and, muted, to that person."""

    room: RoomName
    deleted: str | None = None
    muted: Muted | None = None
    unmuted: str | None = None
    removed: User | None = None
    readmitted: str | None = None
    settings: WritingRules | None = None


class TypingUpdate(msgspec.Struct):
    """Who types at the moment; at most ten of them."""

    room: RoomName
    users: list[User]


class ReactionUpdate(msgspec.Struct):
    """How often each reaction was sent in the last half second."""

    room: RoomName
    counts: dict[str, int]


class ClassState(msgspec.Struct, omit_defaults=True):
    """`state` in the answer of `joinRoom`. `muted`: oneself. `muted_users`, `removed_users`: for teachers."""

    locked: bool
    slow_mode_s: float
    teacher_only: bool
    muted: bool
    hands: list[Hand]
    poll: PollView | None
    questions: list[QuestionView]
    muted_until: UnixMs | None = None
    muted_users: list[User] | None = None
    removed_users: list[User] | None = None


class Made(msgspec.Struct, omit_defaults=True):
    """`id`: of the poll or question that was made."""

    id: str | None = None


_TYPING: list[tuple[Any, ...]] = [(RoomName,), (RoomName, bool)]

CLASS_EVENTS = (
    EventType("hand", "client", "Raise or lower a hand.", [(RoomName, HandRequest)]),
    EventType("poll", "client", "Open, answer or close a poll.", [(RoomName, PollRequest)], Made),
    EventType("ask", "client", "Ask the teacher, or support a question.", [(RoomName, AskRequest)], Made),
    EventType("moderation", "client", "What teachers may do.", [(RoomName, ModerationRequest)]),
    EventType("typing", "client", "Say that one types, or (false) no longer.", _TYPING),
    EventType("reaction", "client", "Send one of `chat.reactions`.", [(RoomName, str)]),
    EventType("hand", "server", "A hand was raised, or hands were lowered.", [(HandUpdate, str)]),
    EventType("poll", "server", "The poll changed.", [(PollUpdate, str)]),
    EventType("ask", "server", "A question changed.", [(AskUpdate, str)]),
    EventType("moderation", "server", "A teacher did something.", [(ModerationUpdate, str)]),
    EventType("typing", "server", "Who types.", [(TypingUpdate,)]),
    EventType("reaction", "server", "Reactions of the last half second.", [(ReactionUpdate,)]),
)
