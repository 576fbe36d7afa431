"""The record of a class as the API answers it. Times are unix seconds."""

from typing import Literal

import msgspec

from airnode.classrecord.attendance_table import AttendanceRow

Part = Literal["attendance", "chat", "questions", "polls", "hands"]


class SessionSummary(msgspec.Struct, frozen=True):
    """A time in which a class was live, short interruptions included.

    Attributes:
        ended_at: null while the class is live, or was until a moment ago.
        students: how many attended so far. messages: of the chat, with deleted ones.
    """

    session_id: str
    room: str
    started_at: float
    ended_at: float | None
    students: int
    messages: int


class SessionList(msgspec.Struct, frozen=True):
    """The sessions of a class, the newest first."""

    sessions: list[SessionSummary]


class ChatLine(msgspec.Struct, frozen=True):
    """A message; the content of a deleted one is gone."""

    id: str
    at: float
    user_id: str
    name: str
    role: str
    type: str
    content: str
    deleted: bool


class QuestionRow(msgspec.Struct, frozen=True):
    """A question to the teacher; `supporters` is how many others wanted to know it too."""

    id: str
    at: float
    user_id: str
    name: str
    content: str
    supporters: int
    answered: bool
    deleted: bool


class PollChoice(msgspec.Struct, frozen=True):
    """An option of a poll."""

    text: str
    votes: int


class PollVote(msgspec.Struct, frozen=True):
    """What one student answered; `option` is the index of the option."""

    user_id: str
    name: str
    option: int
    at: float


class PollRow(msgspec.Struct, frozen=True):
    """A poll, with its result."""

    id: str
    at: float
    closed_at: float | None
    question: str
    options: list[PollChoice]
    answers: list[PollVote]


class HandRow(msgspec.Struct, frozen=True):
    """A hand that was raised or lowered; an empty user: the teacher lowered all of them."""

    at: float
    user_id: str
    name: str
    raised: bool


class RecordCounts(msgspec.Struct, frozen=True):
    """How much each part of a record has. `hands`: how often one went up."""

    attendance: int
    chat: int
    questions: int
    polls: int
    hands: int


class SessionRecord(msgspec.Struct, frozen=True):
    """Everything that is kept of one session of a class.

    Attributes:
        complete: false: a part has more rows than one answer holds (100,000), and its newest rows are missing.
        counts: of all parts, also of those that were not asked for, whose lists are empty.
    """

    session: SessionSummary
    title: str
    attendance: list[AttendanceRow]
    chat: list[ChatLine]
    questions: list[QuestionRow]
    polls: list[PollRow]
    hands: list[HandRow]
    counts: RecordCounts
    complete: bool = True
