"""Raised hands."""

from airnode.chat.classroom.actions import ClassActions, ScriptArgs, require_teacher, user_json
from airnode.chat.classroom.event_types import HandRequest, only_one
from airnode.chat.classroom.hand_scripts import LOWER, LOWER_ALL, RAISE
from airnode.chat.rooms.event_types import RoomName, read_args
from airnode.chat.rooms.people import Visitor
from airnode.errors import Forbidden, InvalidInput


class Hands:
    """The event ``hand``."""

    def __init__(self, actions: ClassActions) -> None:
        self._actions = actions

    async def handle(self, visitor: Visitor, args: list[object]) -> None:
        """Raise or lower a hand, or all."""
        room, request = read_args("hand", args, (RoomName, HandRequest))
        self._actions.room(visitor, room)
        match only_one("hand", request, "raised", "lower", "lower_all"):
            case "raised":
                await self._own(visitor, room, raised=request.raised)
            case "lower":
                if request.lower != visitor.user.id:
                    require_teacher(visitor)
                await self.lower(visitor, room, request.lower)
            case _:
                require_teacher(visitor)
                if request.lower_all is False:
                    raise InvalidInput("lower_all is true or left out.")
                await self._actions.append(visitor, room, "hand", LOWER_ALL)

    async def lower(self, visitor: Visitor, room: str, user_id: str) -> None:
        """Lower somebody's hand, if it is raised."""
        await self._actions.append(visitor, room, "hand", LOWER, [user_id])

    async def _own(self, visitor: Visitor, room: str, *, raised: bool) -> None:
        if visitor.is_teacher:
            raise Forbidden("Students raise their hands.")
        self._actions.take(visitor, room, "hand")
        if not raised:
            return await self.lower(visitor, room, visitor.user.id)
        args: ScriptArgs = [visitor.user.id, user_json(visitor.user), self._actions.section.max_hands]
        await self._actions.append(visitor, room, "hand", RAISE, args)
        return None
