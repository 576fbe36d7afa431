"""The rules of a class for its room: who may write, and what somebody who joins must know."""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from airnode.bus.removals import Removals
from airnode.chat.classroom.refusals import ChatLocked, ChatMuted, OnlyTeacherWrites
from airnode.chat.classroom.rule_scripts import MESSAGE
from airnode.chat.classroom.state_scripts import STATE
from airnode.chat.rooms.local_room import LocalRoom
from airnode.chat.rooms.log import Draft, LogEntry
from airnode.chat.rooms.people import User, Visitor
from airnode.chat.rooms.rooms import ChatRooms
from airnode.errors import Unavailable

_KNOWN_ROOMS = 1000


@dataclass(slots=True)
class KnownRules:
    """What this node knows of a room's rules, for the time without Redis. ``muted``: {user id: end or None}."""

    locked: bool = False
    slow_mode_s: float = 0
    teacher_only: bool = False
    muted: dict[str, int | None] = field(default_factory=dict)

    def set(self, settings: Mapping[str, Any]) -> None:
        """Take the settings as a room's state or an entry has them."""
        self.locked, self.slow_mode_s = settings["locked"], settings["slow_mode_s"]
        self.teacher_only = settings["teacher_only"]


class ClassroomRules:
    """The :class:`ClassRules` of classes."""

    message_check = MESSAGE

    def __init__(self, rooms: ChatRooms, removals: Removals) -> None:
        self._rooms = rooms
        self._removals = removals
        #: {room: what is known}, the last used last. Owned by this class.
        self._known: OrderedDict[str, KnownRules] = OrderedDict()
        rooms.hooks.append(self._follow)

    def message_args(self, room: str, visitor: Visitor) -> Sequence[str | bytes | int]:
        return (visitor.user.role, visitor.user.id)

    def check_alone(self, room: str, visitor: Visitor) -> None:
        """Check a message by what this node heard before Redis went away.

        Raises:
            Forbidden: (403) this person may not write now.
        """
        known = self._known.get(room)
        if known is None or visitor.is_teacher:
            return
        if known.locked:
            raise ChatLocked("The teacher has locked the chat.")
        if known.teacher_only:
            raise OnlyTeacherWrites("Only the teacher writes at the moment.")
        ends = known.muted.get(visitor.user.id, 0)
        if ends is None or ends > time.time() * 1000:
            raise ChatMuted("The teacher has muted you.")

    async def state(self, room: str, visitor: Visitor) -> Mapping[str, object]:
        """Return a ``ClassState``; while Redis does not answer, only the rules, as far as they are known."""
        user = visitor.user
        found: dict[str, Any] = self._alone(room)
        if not self._rooms.outage:
            draft = Draft(room=room, event="state", data=b"{}", recorded=False)
            try:
                found = orjson.loads((await self._rooms.append(draft, STATE, [user.role, user.id])).reply)
            except Unavailable:
                pass
            else:
                self._rules_of(room).set(found)
                if found["muted"]:
                    self._rules_of(room).muted[user.id] = found["muted_until"]
        found["hands"].sort(key=lambda hand: hand["at"])
        found["questions"].sort(key=lambda question: question["at"])
        if visitor.is_teacher:
            removed = self._removals.in_room(room)
            found["removed_users"] = [User(each.user_id, each.name or each.user_id, "student") for each in removed]
        return found

    def _alone(self, room: str) -> dict[str, Any]:
        known = self._known.get(room, KnownRules())
        rules = {"locked": known.locked, "slow_mode_s": known.slow_mode_s, "teacher_only": known.teacher_only}
        return {**rules, "muted": False, "muted_until": None, "hands": [], "poll": None, "questions": []}

    def _rules_of(self, room: str) -> KnownRules:
        known = self._known.setdefault(room, KnownRules())
        self._known.move_to_end(room)
        if len(self._known) > _KNOWN_ROOMS:
            self._known.popitem(last=False)
        return known

    def _follow(self, room: LocalRoom, entry: LogEntry) -> None:
        """Learn the rules from the entries of a room."""
        if entry.event != "moderation":
            return
        change = orjson.loads(bytes(entry.data))
        rules = self._rules_of(room.name)
        if settings := change.get("settings"):
            rules.set(settings)
        if muted := change.get("muted"):
            rules.muted[muted["user"]["id"]] = muted["until"]
        if (unmuted := change.get("unmuted")) is not None:
            rules.muted.pop(unmuted, None)
