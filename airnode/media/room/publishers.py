"""Checks stream keys: which publisher may publish into which room."""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from airnode.media.room.claims import RoomClaims
from airnode.media.rtmp.publishing import PublishRefusal, PublishRequest

#: Texts that an encoder shows. They name fields as OBS does, and never contain a part of a key.
_WRONG_SERVER: Final = (
    "Publish to the app 'live': the server is rtmp://HOST/live, and the stream key has a field of its own "
    "(rtmp://HOST/live/STREAM-KEY where there is only one field)."
)
_NO_KEY: Final = "The stream key is empty; copy it from the studio page."
_WRONG_KEY: Final = "The stream key is not right; copy it from the studio page."
_OTHER_ROOM: Final = "The stream key is right, but it belongs to another room than the one in the address."


class StreamKeyAuthority:
    """Authorizes publishers: ``live/<key>``, ``live/<room>?key=<key>``, or ``live/<room>`` for an open room.

    Args:
        room_of: returns the room of a key; None: the key is wrong.
        open_rooms: matches names of rooms that need no key; None: all rooms need one.
    """

    def __init__(
        self,
        room_of: Callable[[str], Awaitable[str | None]],
        claims: RoomClaims,
        *,
        open_rooms: re.Pattern[str] | None,
    ) -> None:
        self._room_of = room_of
        self._claims = claims
        self._open_rooms = open_rooms

    async def authorize(self, request: PublishRequest) -> str | PublishRefusal:
        """Return the room of the key, after claiming it for this node, or the reason why the publisher is refused.

        Raises:
            Conflict: (409) another node has the room.
            Unavailable: (503) this node accepts no more rooms, or Redis does not answer.
        """
        room = await self._room(request)
        if isinstance(room, str):
            await self._claims.claim(room)
        return room

    async def _room(self, request: PublishRequest) -> str | PublishRefusal:
        if request.app not in ("live", ""):
            return PublishRefusal("app", _WRONG_SERVER)
        if not request.key:
            return PublishRefusal("no_key", _NO_KEY)
        room = await self._room_of(request.key)
        named = request.name if "key" in request.params and request.name else None
        if room is not None and named in (None, room):
            return room
        if self._open_rooms is not None and self._open_rooms.match(request.name):
            return request.name
        return PublishRefusal("key", _WRONG_KEY if room is None else _OTHER_ROOM)
