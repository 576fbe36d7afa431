"""Polls: a teacher asks, students answer once, everybody sees the votes."""

from collections.abc import Mapping

import orjson

from airnode.chat.classroom.actions import NOBODY, ClassActions, ScriptArgs, checked_text, require_teacher
from airnode.chat.classroom.event_types import OpenPoll, PollRequest, only_one
from airnode.chat.classroom.poll_scripts import ANSWER, CLOSE, OPEN, TALLY, TALLY_MS
from airnode.chat.rooms.event_types import RoomName, read_args
from airnode.chat.rooms.people import Visitor
from airnode.errors import Forbidden, InvalidInput, TooLarge


class Polls:
    """The event ``poll``."""

    def __init__(self, actions: ClassActions) -> None:
        self._actions = actions

    async def handle(self, visitor: Visitor, args: list[object]) -> Mapping[str, object] | None:
        """Open, answer or close a poll."""
        room, request = read_args("poll", args, (RoomName, PollRequest))
        self._actions.room(visitor, room)
        match only_one("poll", request, "open", "answer", "close"):
            case "open":
                require_teacher(visitor)
                return {"id": await self._open(visitor, room, request.open)}
            case "close":
                require_teacher(visitor)
                await self._actions.append(visitor, room, "poll", CLOSE, [request.close])
            case _:
                await self._answer(visitor, room, request)
        return None

    async def _open(self, visitor: Visitor, room: str, wanted: OpenPoll) -> str:
        section = self._actions.section
        question = checked_text("The question", wanted.question, section.max_question_chars, "max_question_chars")
        if len(wanted.options) > section.max_poll_options:
            raise TooLarge(f"A poll has at most {section.max_poll_options} options (chat.max_poll_options).")
        options = [
            checked_text("An option", each, section.max_option_chars, "max_option_chars") for each in wanted.options
        ]
        if len(set(options)) < len(options):
            raise InvalidInput("Two options of the poll are the same.")
        opened = await self._actions.append(
            visitor, room, "poll", OPEN, [orjson.dumps(question), orjson.dumps(options)]
        )
        return opened.reply

    async def _answer(self, visitor: Visitor, room: str, request: PollRequest) -> None:
        if visitor.is_teacher:
            raise Forbidden("Students answer polls.")
        if request.id is None or request.answer is None:
            raise InvalidInput("An answer needs the id of its poll.")
        self._actions.take(visitor, room, "poll")
        args: ScriptArgs = [request.id, request.answer, visitor.user.id, TALLY_MS]
        done = await self._actions.append(visitor, room, "poll_answer", ANSWER, args, audience=NOBODY)
        if done.reply:
            poll_id = request.id

            async def publish() -> None:
                await self._actions.append(visitor, room, "poll", TALLY, [poll_id], recorded=False)

            self._actions.later(f"tally-{room}-{poll_id}", TALLY_MS / 1000, publish)
