"""Who may publish where, by stream key."""

import re
from collections.abc import Awaitable, Callable

from airnode.media.room.claims import RoomClaims
from airnode.media.rtmp.publishing import PublishRefusal, PublishRequest


class StreamKeyAuthority:
    """Decides who may publish where: ``live/<key>``, ``live/<room>?key=<key>``, or ``live/<room>`` where it is open.

    Args:
        room_of: the room that a key opens. open_rooms: names of rooms that need no key; None: all need one.
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
        """Return the room that the key opens, and claim it for this node; or return why the publisher is refused.

        Raises:
            Conflict: (409) another node has the room.
            Unavailable: (503) this node accepts no more rooms, or Redis does not answer.
        """
        room = await self._room(request)
        if isinstance(room, str):
            await self._claims.claim(room)
        return room

    async def _room(self, request: PublishRequest) -> str | PublishRefusal:
        if request.app != "live":
            return PublishRefusal("app", "Publish to the app 'live': rtmp://HOST/live/STREAM-KEY.")
        room = await self._room_of(request.key)
        named = request.name if "key" in request.params else None
        if room is not None and named in (None, room):
            return room
        if self._open_rooms is not None and self._open_rooms.match(request.name):
            return request.name
        return PublishRefusal("key", "The stream key is not right; copy it from the studio page.")
