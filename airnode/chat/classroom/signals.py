"""Reactions and who types: nothing of it is kept, and it is sent in sums."""

import asyncio
from collections import Counter
from functools import partial

import msgspec
import orjson

from airnode.chat.classroom.actions import ClassActions, ScriptArgs, user_json
from airnode.chat.classroom.state_scripts import TYPING
from airnode.chat.rooms.event_types import RoomName, read_args
from airnode.chat.rooms.people import Visitor
from airnode.chat.rooms.rooms import RoomSignal
from airnode.errors import InvalidInput
from airnode.web.rate_limit import RateLimit

_REACTIONS_EVERY_S = 0.4
_TYPING_EVERY_S = 1.0
#: Somebody who does not say it again counts as typing for this long.
TYPING_FOR_S = 5.0
#: A client that says it more often than this is not listened to.
_TYPING_AGAIN_S = 2.0
_TYPING_SHOWN = 10
_PRESENTATION = "\ufe0f"


class Reactions:
    """The event ``reaction``."""

    def __init__(self, actions: ClassActions) -> None:
        self._actions = actions
        section = actions.section
        self._limit = RateLimit(section.reaction_rate_per_s, section.reaction_burst)
        self._known = {each.replace(_PRESENTATION, ""): each for each in section.reactions}
        #: {room: {reaction: how often since the last signal}}. Owned by this class.
        self._counts: dict[str, Counter[str]] = {}

    async def handle(self, visitor: Visitor, args: list[object]) -> None:
        """Count a reaction; the sum is sent soon."""
        room, given = read_args("reaction", args, (RoomName, str))
        self._actions.room(visitor, room)
        reaction = self._known.get(given[:32].replace(_PRESENTATION, ""))
        if reaction is None:
            raise InvalidInput(f"A reaction is one of {' '.join(self._known.values())} (chat.reactions).")
        self._actions.take(visitor, room, "reaction", self._limit)
        self._counts.setdefault(room, Counter())[reaction] += 1
        self._actions.later(f"reactions-{room}", _REACTIONS_EVERY_S, partial(self._send, room))

    async def _send(self, room: str) -> None:
        body = orjson.dumps({"room": room, "counts": self._counts.pop(room, Counter())})
        await self._actions.application.rooms.signal(RoomSignal(room, "reaction", msgspec.Raw(body)))


class Typing:
    """The event ``typing``. Redis knows who types; a node that hears of it sends the list while there is somebody."""

    def __init__(self, actions: ClassActions) -> None:
        self._actions = actions
        #: {(room, user id): loop time when it was last said}, of people who type here. Owned by this class.
        self._said_s: dict[tuple[str, str], float] = {}
        #: {room: the list that this node sent last}.
        self._sent: dict[str, str] = {}

    async def handle(self, visitor: Visitor, args: list[object]) -> None:
        """Note who types."""
        room, *rest = read_args("typing", args, (RoomName,), (RoomName, bool))
        self._actions.room(visitor, room)
        types, now_s = (rest[0] if rest else True), asyncio.get_running_loop().time()
        key = (room, visitor.user.id)
        if types and now_s - self._said_s.get(key, float("-inf")) < _TYPING_AGAIN_S:
            return
        if not types and self._said_s.pop(key, None) is None:
            return
        user, for_ms = visitor.user, round(TYPING_FOR_S * 1000) if types else 0
        script_args: ScriptArgs = [user.role, user.id, user_json(user), for_ms, _TYPING_SHOWN]
        await self._actions.append(visitor, room, "typing", TYPING, script_args)
        if types:
            self._said_s[key] = now_s
        self._actions.later(f"typing-{room}", _TYPING_EVERY_S / 4, partial(self._send, visitor, room))

    async def _send(self, visitor: Visitor, room: str) -> None:
        """Send the list if it changed, and again while it is not empty."""
        self._forget(asyncio.get_running_loop().time())
        found = (await self._actions.append(visitor, room, "typing", TYPING, ["", "", "", 0, _TYPING_SHOWN])).reply
        if found != self._sent.get(room, "[]"):
            body = b'{"room":' + orjson.dumps(room) + b',"users":' + found.encode() + b"}"
            await self._actions.application.rooms.signal(RoomSignal(room, "typing", msgspec.Raw(body)))
        if found == "[]":
            self._sent.pop(room, None)
            return
        self._sent[room] = found
        self._actions.later(f"typing-{room}", _TYPING_EVERY_S, partial(self._send, visitor, room))

    def _forget(self, now_s: float) -> None:
        for key in [key for key, said_s in self._said_s.items() if now_s - said_s > TYPING_FOR_S]:
            del self._said_s[key]
