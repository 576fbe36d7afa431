"""What teachers may do: delete messages, mute, remove and readmit students, and change who may write."""

import time

from airnode.bus.removals import Removal, Removals
from airnode.chat.classroom import rule_scripts as scripts
from airnode.chat.classroom.actions import ClassActions, ScriptArgs, require_teacher, user_json
from airnode.chat.classroom.event_types import ModerationRequest, only_one
from airnode.chat.classroom.hands import Hands
from airnode.chat.rooms.event_types import RoomName, read_args
from airnode.chat.rooms.log import CheckScript
from airnode.chat.rooms.people import User, Visitor
from airnode.errors import Forbidden, InvalidInput

_SETTINGS = ("locked", "slow_mode_s", "teacher_only")
_MEASURES = ("delete", "mute", "unmute", "remove", "readmit", *_SETTINGS)
_TEACHERS = "teacher"


class Moderation:
    """The event ``moderation``."""

    def __init__(self, actions: ClassActions, hands: Hands, removals: Removals) -> None:
        self._actions = actions
        self._hands = hands
        self._removals = removals

    async def handle(self, visitor: Visitor, args: list[object]) -> None:
        """Do what a teacher decides."""
        room, request = read_args("moderation", args, (RoomName, ModerationRequest))
        self._actions.room(visitor, room)
        require_teacher(visitor)
        given = only_one("moderation", request, *_MEASURES)
        if request.for_s is not None and given != "mute":
            raise InvalidInput("for_s belongs to mute.")
        value = getattr(request, given)
        match given:
            case "delete":
                await self._actions.append(visitor, room, "moderation", scripts.DELETE_MESSAGE, [value])
            case "mute":
                await self._mute(visitor, room, value, request.for_s)
            case "unmute":
                await self._tell(visitor, room, value, scripts.UNMUTE, [value])
            case "remove":
                await self._remove(visitor, room, value)
            case "readmit":
                await self._readmit(visitor, room, value)
            case _:
                text = f"{value:g}" if given == "slow_mode_s" else str(int(value))
                await self._actions.append(visitor, room, "moderation", scripts.CHANGE_SETTING, [given, text])

    async def _mute(self, visitor: Visitor, room: str, user_id: str, for_s: float | None) -> None:
        user, most = self._student(visitor, room, user_id), self._actions.section.max_muted
        args: ScriptArgs = [user.id, user_json(user), round((for_s or 0) * 1000), most]
        await self._tell(visitor, room, user.id, scripts.MUTE, args)

    async def _remove(self, visitor: Visitor, room: str, user_id: str) -> None:
        """Remove a student: first from the media and the API, so that this holds whatever happens afterwards."""
        user = self._student(visitor, room, user_id)
        await self._removals.remove(Removal(room, user.id, user.name, time.time_ns() // 1_000_000))
        await self._hands.lower(visitor, room, user.id)
        done = scripts.REMOVED
        await self._actions.append(visitor, room, "moderation", done, [user_json(user)], audience=_TEACHERS)

    async def _readmit(self, visitor: Visitor, room: str, user_id: str) -> None:
        if await self._removals.readmit(room, user_id):
            done = scripts.READMITTED
            await self._actions.append(visitor, room, "moderation", done, [user_id], audience=_TEACHERS)

    async def _tell(self, visitor: Visitor, room: str, user_id: str, script: CheckScript, args: ScriptArgs) -> None:
        """Append what only the teachers and that student see."""
        audience = f"{_TEACHERS}\n{user_id}"
        await self._actions.append(visitor, room, "moderation", script, args, audience=audience)

    def _student(self, visitor: Visitor, room: str, user_id: str) -> User:
        """Return the student with this id, who may have left.

        Raises:
            Forbidden: (403) it is a teacher. InvalidInput: (400) it cannot be an id.
        """
        if not user_id.isprintable():
            raise InvalidInput("This is not the id of a user.")
        found = self._actions.room(visitor, room)
        student = found.student(user_id)
        if student is not None:  # also one who took a teacher's id: measures are for students only
            return student
        people = {user.id: user for user in found.roster.users()}
        user = people.get(user_id) or User(user_id, user_id, "student")
        if user.role == "teacher" or user_id == visitor.user.id:
            raise Forbidden("A teacher cannot be muted or removed.")
        return user
