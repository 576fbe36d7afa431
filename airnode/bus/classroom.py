"""What happened in classes, on its way to the class record: the outbox in Redis, and the interface of attendance.

Every fact that the class record keeps is appended to one stream, :func:`airnode.bus.keys.classroom_outbox`, in the same
Lua call that changes the state which the fact is about. A relay publishes the entries to the topic ``classroom`` of the
event log and then deletes them, so the stream is short (:mod:`airnode.pipeline.produce.classroom_relay`).

Fields of an entry (all are text):

=============  ========================================================================================================
``room``       the class's room
``epoch``      with ``offset``: the place in the room's log. ``room``, ``epoch``, ``offset`` and ``event`` identify the
``offset``     fact: entries with the same four are one fact. A fact without a place in the log has any unique offset.
``event``      see below
``user``       who did it: ``{"id", "name", "role"}`` as JSON, or only the id; empty: nobody
``at_ms``      unix milliseconds
``id``         of the message, if ``data`` does not contain it; optional
``data``       JSON, by ``event``
=============  ========================================================================================================

``data`` of the chat's facts is the payload of the event of that name that the room gets (docs/chat.md):

* ``message``: ``{id, user, content, type, at}``
* ``moderation``: ``{deleted: message_id}``; other moderation is not kept
* ``ask``: ``{question: {id, user, content, supporters, answered, at}}``, and ``{deleted: question_id}``
* ``poll``: ``{poll: {id, question, options: [{text, votes}], answered, open, at, closed_at?}}``
* ``poll_answer``: ``{poll: poll_id, option: index}``, once per answer
* ``hand``: ``{raised: {user, at}}``, ``{lowered: user_id}`` or ``{all_lowered: true}``

``attendance``, ``session_started`` and ``session_ended`` are written by :mod:`airnode.classrecord`.
"""

from typing import Literal, Protocol

import msgspec

UserRole = Literal["student", "teacher"]
#: How a person attended: as a member of the room's chat, or by watching.
AttendanceKind = Literal["chat", "media"]

#: A Lua function to put in front of a script. ``key`` is :func:`airnode.bus.keys.classroom_outbox`, ``limit`` is
#: ``chat.outbox_entries``: above it Redis drops the oldest entries, which the relay counts and reports.
OUTBOX_LUA = """
local function classroom_outbox(key, limit, room, epoch, offset, event, user, at_ms, data)
    redis.call('XADD', key, 'MAXLEN', '~', limit, '*', 'room', room, 'epoch', epoch, 'offset', offset,
        'event', event, 'user', user, 'at_ms', at_ms, 'data', data)
end
"""


class ClassUser(msgspec.Struct, frozen=True):
    """A person in a class; ``id`` is the ``sub`` of the token."""

    id: str
    name: str = ""
    role: UserRole = "student"


class AttendanceLog(Protocol):
    """Takes notes of who is in a room. Both methods only note it in memory; they never wait and never fail."""

    def joined(self, room: str, session: str, user: ClassUser, kind: AttendanceKind = "chat") -> None:
        """Note that a person came. ``session`` is unique among the present ones of its kind on this node."""
        ...

    def left(self, room: str, session: str, kind: AttendanceKind = "chat") -> None:
        """Note that a person left; does nothing if ``session`` is not in the room."""
        ...
