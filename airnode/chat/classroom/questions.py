"""Questions to the teacher, which others support once each."""

from collections.abc import Mapping

import orjson

from airnode.chat.classroom import question_scripts as scripts
from airnode.chat.classroom.actions import ClassActions, ScriptArgs, checked_text, require_teacher, user_json
from airnode.chat.classroom.event_types import AskRequest, only_one
from airnode.chat.classroom.poll_scripts import TALLY_MS
from airnode.chat.classroom.refusals import OwnQuestion
from airnode.chat.rooms.event_types import RoomName, read_args
from airnode.chat.rooms.log import CheckScript
from airnode.chat.rooms.people import Visitor
from airnode.errors import Forbidden


class Questions:
    """The event ``ask``."""

    def __init__(self, actions: ClassActions) -> None:
        self._actions = actions

    async def handle(self, visitor: Visitor, args: list[object]) -> Mapping[str, object] | None:
        """Ask, support, or end a question."""
        room, request = read_args("ask", args, (RoomName, AskRequest))
        self._actions.room(visitor, room)
        names = ("content", "support", "withdraw", "answered", "delete")
        given = only_one("ask", request, *names)
        value: str = getattr(request, given)
        if not visitor.is_teacher:
            self._actions.take(visitor, room, "ask")
        match given:
            case "content":
                return {"id": await self._ask(visitor, room, value)}
            case "support":
                if visitor.is_teacher:
                    raise Forbidden("Students support questions.")
                await self._support(visitor, room, scripts.SUPPORT, value)
            case "withdraw":
                await self._withdraw(visitor, room, value)
            case "answered":
                require_teacher(visitor)
                await self._actions.append(visitor, room, "ask", scripts.MARK_ANSWERED, [value])
            case _:
                await self._delete(visitor, room, value)
        return None

    async def _ask(self, visitor: Visitor, room: str, content: str) -> str:
        section, user = self._actions.section, visitor.user
        text = checked_text("A question", content, section.max_question_chars, "max_question_chars")
        limits = [section.questions_per_user, section.max_questions]
        args: ScriptArgs = [user.role, user.id, user_json(user), orjson.dumps(text), *limits]
        return (await self._actions.append(visitor, room, "ask", scripts.ASK, args)).reply

    async def _withdraw(self, visitor: Visitor, room: str, question_id: str) -> None:
        try:
            await self._support(visitor, room, scripts.WITHDRAW, question_id)
        except OwnQuestion:
            await self._delete(visitor, room, question_id)

    async def _delete(self, visitor: Visitor, room: str, question_id: str) -> None:
        args = [question_id, visitor.user.role, visitor.user.id]
        await self._actions.append(visitor, room, "ask", scripts.DELETE, args)

    async def _support(self, visitor: Visitor, room: str, script: CheckScript, question_id: str) -> None:
        done = await self._actions.append(visitor, room, "ask", script, [question_id, visitor.user.id, TALLY_MS])
        if done.reply:
            self._actions.later(f"supporters-{room}", TALLY_MS / 1000, lambda: self._publish(visitor, room))

    async def _publish(self, visitor: Visitor, room: str) -> None:
        """Publish each question whose supporters changed."""
        while (await self._actions.append(visitor, room, "ask", scripts.COUNT_SUPPORTERS)).is_new:
            pass
