"""What clients of a class may say: it admits them, and answers their events."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec
import orjson

from airnode.chat.rooms.access import Admission, check_room, read_auth
from airnode.chat.rooms.event_types import (
    ROOM_EVENTS,
    Content,
    ContentFor,
    HistoryRequest,
    read_args,
)
from airnode.chat.rooms.history import read_history
from airnode.chat.rooms.limits import EventLimits
from airnode.chat.rooms.local_room import LocalRoom
from airnode.chat.rooms.log import NO_CHECK, CheckScript, Draft
from airnode.chat.rooms.payloads import NAMESPACE, entry_packet, gap_packet, payload, signal_packet
from airnode.chat.rooms.people import Visitor
from airnode.chat.rooms.recovery import Sessions, later_position, missed_entries
from airnode.chat.rooms.rooms import ChatRooms
from airnode.chat.rooms.texts import cleaned, require_printable
from airnode.chat.socketio.packets import encode_event
from airnode.chat.socketio.socket import Socket
from airnode.config.sections.chat import ChatSection
from airnode.errors import (
    AirnodeError,
    Conflict,
    Forbidden,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

_EXPIRY_CHECK_S = 2.0
_STATE_TRIES = 5
#: Ends of a connection after which a client may not come back with its pid: it left, or it was sent away.
_FINAL = frozenset({"client namespace disconnect", "server namespace disconnect"})

#: Handles an event of a visitor: (visitor, its arguments); returns what the acknowledgement says besides ``ok``.
EventHandler = Callable[[Visitor, list[object]], Awaitable[Mapping[str, object] | None]]


class ClassRules(Protocol):
    """What a class adds to its room."""

    #: Runs with every message, in the same step as its append.
    message_check: CheckScript

    def message_args(self, room: str, visitor: Visitor) -> Sequence[str | bytes | int]:
        """Return the arguments of ``message_check``."""
        ...

    def check_alone(self, room: str, visitor: Visitor) -> None:
        """Check a message while Redis does not answer, by what this node knows.

        Raises:
            Forbidden: (403) this person may not write now.
        """
        ...

    async def state(self, room: str, visitor: Visitor) -> Mapping[str, object]:
        """Return what a client that joins must know of the room; also while Redis does not answer."""
        ...


class NoRules:
    """A room where everybody may always write."""

    message_check = NO_CHECK

    def message_args(self, room: str, visitor: Visitor) -> Sequence[str | bytes | int]:
        return ()

    def check_alone(self, room: str, visitor: Visitor) -> None:
        """Allow it."""

    async def state(self, room: str, visitor: Visitor) -> Mapping[str, object]:
        """Return an empty state."""
        return {}


class ChatApplication(Service):
    """The :class:`Application` of this process: admission, the events of rooms, and those that others register."""

    name = "chat"

    def __init__(
        self,
        rooms: ChatRooms,
        sessions: Sessions,
        admission: Admission,
        section: ChatSection,
        tasks: TaskScope,
        rules: ClassRules | None = None,
    ) -> None:
        super().__init__()
        self.rooms = rooms
        self._sessions = sessions
        self._admission = admission
        self._section = section
        self._tasks = tasks
        self.rules: ClassRules = rules or NoRules()
        self._limits = EventLimits(section, rooms.metrics)
        #: {pid: who is connected here}. Owned by this class.
        self._visitors: dict[str, Visitor] = {}
        #: {who: connections here}, see _person. Owned by this class.
        self._people: Counter[tuple[str, str, str]] = Counter()
        #: {sid of the socket: the same}. Owned by this class.
        self.by_sid: dict[str, Visitor] = {}
        self._handlers: dict[str, EventHandler] = {
            "joinRoom": self._join,
            "leaveRoom": self._leave,
            "sendMessage": self._send,
            "history": self._history,
            "presence": self._presence,
            "token": self._token,
        }

    def on(self, event: str, handler: EventHandler) -> None:
        """Register the handler of a client's event, before the node serves."""
        self._handlers[event] = handler

    @property
    def visitors(self) -> list[Visitor]:
        """Return who is connected to this node."""
        return list(self._visitors.values())

    async def start(self) -> None:
        """Watch the expiry of tokens."""
        self._tasks.spawn("expiry", repeat_every(_EXPIRY_CHECK_S, self._check_expiry, failed="chat_expiry_failed"))

    async def stop(self) -> None:
        """End the watch."""
        await self._tasks.aclose()

    # -- connections --------------------------------------------------------------------------------------------------

    async def connect(self, socket: Socket, auth: object) -> Mapping[str, object]:
        """Admit a client; one that comes back in time is where it was, and gets what it missed."""
        given = read_auth(auth)
        visitor = self._admission.visitor(socket, given)
        socket.state = visitor
        if given.pid and await self._recover(visitor, given.pid, given.offset):
            self._replace(given.pid)
            visitor.pid = given.pid
            self._sessions.keep(visitor)
        self._require_welcome(visitor)
        self._people[_person(visitor)] += 1
        self._visitors[visitor.pid] = visitor
        self.by_sid[socket.sid] = visitor
        return {"pid": visitor.pid}

    def _require_welcome(self, visitor: Visitor) -> None:
        """Check after a wait, in which other connections may have come; and `expel` knows only who is admitted.

        Raises:
            Removed: (403) the teacher removed this student meanwhile.
            RateLimited: (429) this person has many connections (``chat.max_connections_per_person``).
        """
        try:
            self._admission.require_not_removed(visitor)
            self._limits.require_connection(self._people[_person(visitor)])
        except (Forbidden, RateLimited):
            for room in list(visitor.rooms):
                self.rooms.remove(visitor, room)
            self._sessions.end(visitor)
            raise

    def drained(self, socket: Socket) -> None:
        """Report to a client that was slow what it did not get."""
        visitor: Visitor = socket.state
        missed, visitor.missed = visitor.missed or {}, None
        for room, (epoch, first, last) in missed.items():
            self.rooms.metrics.gaps.add(1)
            socket.deliver(gap_packet(room, epoch, first, last))

    def disconnected(self, socket: Socket, reason: str) -> None:
        """Take a client out of its rooms, and keep where it was for its return."""
        visitor: Visitor = socket.state
        if self.by_sid.pop(socket.sid, None) is not None:
            self._people[_person(visitor)] -= 1
            if not self._people[_person(visitor)]:
                del self._people[_person(visitor)]
        if self._visitors.get(visitor.pid) is visitor:
            del self._visitors[visitor.pid]
            if str(reason) in _FINAL:
                self._sessions.end(visitor)
            else:
                self._sessions.left(visitor)
        for room in list(visitor.rooms):
            self.rooms.remove(visitor, room)

    def expel(self, room: str, user_ids: frozenset[str]) -> int:
        """Send students out of a room for good, on this node; return how many connections that were."""
        found = [
            each
            for each in self.visitors
            if not each.is_teacher
            and not user_ids.isdisjoint(each.ids)
            and (room in each.rooms or each.only_room == room)
        ]
        for visitor in found:
            visitor.wire.deliver(signal_packet("removed", {"room": room}))
            visitor.wire.disconnect()
        return len(found)

    def _replace(self, pid: str) -> None:
        """End the connection that a client has lost without this node knowing it yet."""
        old = self._visitors.pop(pid, None)
        if old is not None:
            old.wire.disconnect()

    async def _recover(self, visitor: Visitor, pid: str, position: str) -> bool:
        result = "unavailable"
        try:
            result = await self._try_recovery(visitor, pid, position)
        except Unavailable:
            pass
        finally:
            self.rooms.metrics.recovered.labels(result).inc()
        return result == "recovered"

    async def _try_recovery(self, visitor: Visitor, pid: str, position: str) -> str:
        session = await self._sessions.find(pid, visitor.user.id)
        if session is None or len(session.rooms) != 1:
            return "unknown"
        ((name, joined_at),) = session.rooms.items()
        self._admission.require_room(visitor, name, time.time())
        room = await self.rooms.open(name)
        since = later_position(position, joined_at)
        entries = await missed_entries(room, self.rooms.log, since)
        if entries is None:
            self._announce_missed(visitor, room, since)
            return "too_large"
        self.rooms.add(visitor, room)
        for entry in entries:
            if entry.is_for(visitor.user.id, visitor.user.role):
                visitor.wire.deliver(entry_packet(entry, payload(entry)))
        return "recovered"

    def _announce_missed(self, visitor: Visitor, room: LocalRoom, since: str) -> None:
        """Tell a client that comes back which entries it does not get; it must join again."""
        epoch, _, offset = since.rpartition(":")
        if epoch == room.tail.epoch and offset.isdecimal() and int(offset) < room.tail.offset:
            self.rooms.metrics.gaps.add(1)
            visitor.wire.deliver(gap_packet(room.name, epoch, int(offset) + 1, room.tail.offset))

    async def _check_expiry(self) -> None:
        now_s = time.time()
        expired = Unauthenticated("The token has expired; ask for a new one.")
        for visitor in self.visitors:
            if visitor.expires_at <= now_s:
                fields = {"code": "token_expired", "title": expired.title, "detail": expired.detail}
                visitor.wire.deliver(encode_event(NAMESPACE, "error", [fields]))
                del self._visitors[visitor.pid]
                self._sessions.left(visitor)  # it may come back with a newer token
                visitor.wire.disconnect()

    # -- events -------------------------------------------------------------------------------------------------------

    async def event(self, socket: Socket, name: str, args: list[object]) -> list[object] | None:
        """Handle an event. An unknown one is refused, so that a typing error shows."""
        visitor: Visitor = socket.state
        handler = self._handlers.get(name)
        if handler is None:
            self.rooms.metrics.events.labels("unknown", "refused").inc()
            raise NotFound(f"There is no event {name[:64]!r}.")
        result = "ok"
        try:
            self._limits.take_event(visitor, name, asyncio.get_running_loop().time())
            answer = await handler(visitor, args)
        except AirnodeError as error:
            result = error.code
            raise
        finally:
            self.rooms.metrics.events.labels(name, result).inc()
        return [{"ok": True, **(answer or {})}]

    def require_member(self, visitor: Visitor, room: str) -> LocalRoom:
        """Return a room that somebody is in.

        Raises:
            Unauthenticated: (401) the token expired. Forbidden: (403) it is for another room.
            Conflict: (409) this client has not joined.
        """
        self._admission.require_room(visitor, room, time.time())
        found = self.rooms.rooms.get(room)
        if found is None or room not in visitor.rooms:
            raise Conflict("Join the room first (joinRoom).")
        return found

    async def _join(self, visitor: Visitor, args: list[object]) -> Mapping[str, object]:
        (name,) = read_args("joinRoom", args, ROOM_EVENTS[0].forms[0])
        self._admission.require_room(visitor, check_room(name), time.time())
        if name not in visitor.rooms and len(visitor.rooms) >= self._section.max_rooms_per_client:
            raise Forbidden("This client is in too many rooms (chat.max_rooms_per_client).")
        self._limits.take_costly(visitor, "joinRoom", asyncio.get_running_loop().time())
        room = await self.rooms.open(name)
        state: Mapping[str, object] = {}
        for _ in range(_STATE_TRIES):
            at = room.tail.state_offset
            state = await self.rules.state(name, visitor)
            if at == room.tail.state_offset:
                break
        self.rooms.add(visitor, room)
        self._sessions.keep(visitor)
        messages = room.tail.messages()
        if room.tail.are_cut:
            self.rooms.metrics.cut_answers.labels("joinRoom").inc()
        return {
            "room": name,
            "epoch": room.tail.epoch,
            "offset": room.tail.offset,
            "you": visitor.user,
            "members": self._members(room),
            "messages": messages,
            "more": room.tail.has_older or room.tail.are_cut,
            "state": dict(state),
        }

    async def _leave(self, visitor: Visitor, args: list[object]) -> None:
        (name,) = read_args("leaveRoom", args, ROOM_EVENTS[1].forms[0])
        if self.rooms.remove(visitor, name):
            self._sessions.keep(visitor)

    async def _send(self, visitor: Visitor, args: list[object]) -> Mapping[str, object]:
        given = read_args("sendMessage", args, *ROOM_EVENTS[2].forms)
        content: Content | ContentFor = given[-1]
        room = content.roomId if isinstance(content, ContentFor) else str(given[0])
        if self._admission.is_open and room not in visitor.rooms:
            self._admission.require_room(visitor, check_room(room), time.time())
        else:
            self.require_member(visitor, room)
        text = cleaned("content", content.content)
        require_printable("type", content.type)
        require_printable("client_id", content.client_id)
        if len(text) > self._section.max_message_chars:
            limit = self._section.max_message_chars
            raise TooLarge(f"A message has at most {limit} characters (chat.max_message_chars).")
        self._limits.take_message(visitor, room, asyncio.get_running_loop().time())
        if self.rooms.outage:
            self.rules.check_alone(room, visitor)
        user = msgspec.json.encode(visitor.user)
        body = orjson.dumps({"user": orjson.Fragment(user), "content": text, "type": content.type})
        draft = Draft(
            room=room, event="message", data=body, user=user, sent_by=visitor.user.id, client_id=content.client_id
        ).once()
        args_ = self.rules.message_args(room, visitor)
        sent = await self.rooms.append_or_keep(draft, self.rules.message_check, args_)
        return {"id": sent.id, "epoch": sent.epoch, "offset": sent.offset, "at": sent.at}

    async def _history(self, visitor: Visitor, args: list[object]) -> Mapping[str, object]:
        (wanted,) = read_args("history", args, (HistoryRequest,))
        room = self.require_member(visitor, wanted.room)
        self._limits.take_costly(visitor, "history", asyncio.get_running_loop().time())
        page = await read_history(room, self.rooms.log, wanted, self._section.max_answer_bytes)
        if page.is_cut:
            self.rooms.metrics.cut_answers.labels("history").inc()
        return {"room": room.name, "epoch": room.tail.epoch, "messages": page.messages, "more": page.more}

    async def _presence(self, visitor: Visitor, args: list[object]) -> Mapping[str, object]:
        (name,) = read_args("presence", args, ROOM_EVENTS[4].forms[0])
        return self._members(self.require_member(visitor, name))

    async def _token(self, visitor: Visitor, args: list[object]) -> Mapping[str, object]:
        (token,) = read_args("token", args, ROOM_EVENTS[5].forms[0])
        self._admission.renew(visitor, token)
        return {"expires_at": int(visitor.expires_at)}

    def _members(self, room: LocalRoom) -> dict[str, object]:
        count = room.roster.count
        found: dict[str, object] = {"count": count}
        if count <= self._section.presence_users:
            found["users"] = room.roster.users()
        else:
            room.is_listed = False
        return found


def _person(visitor: Visitor) -> tuple[str, str, str]:
    return visitor.only_room, visitor.user.role, visitor.user.id
