"""Archiving a class. Somebody may begin to publish at the same moment, and another master may not know it yet."""

from contextlib import suppress

from airnode.cluster.classes import Class, Classes
from airnode.cluster.room_states import ON_AIR, RoomStates
from airnode.cluster.stream_keys import StreamKeyPublisher
from airnode.errors import Conflict, Unavailable

_LIVE = "This class is live. End it, then archive it."


class Archiving:
    """Takes classes off the list that are not live.

    The stream key is taken away first: nobody begins to publish from then on. Who was quicker is seen after that, and
    keeps the class.
    """

    def __init__(
        self, classes: Classes, stream_keys: StreamKeyPublisher, rooms: RoomStates, *, default_room: str
    ) -> None:
        self._classes = classes
        self._stream_keys = stream_keys
        self._rooms = rooms
        self._default_room = default_room

    async def archive(self, room: str, title: str | None = None) -> Class:
        """Return the archived class, with another title if one is given.

        Raises:
            NotFound: (404) no such class. Conflict: (409) it is live, or the default class; then nothing is changed.
            Unavailable: (503) nobody knows whether it is live; then nothing is changed.
        """
        if room == self._default_room:
            raise Conflict("This is the class that opens where no other one is named; it cannot be archived.")
        before = await self._classes.by_room(room)
        if self._rooms.view(room).state in ON_AIR:
            raise Conflict(_LIVE)
        archived = await self._classes.archive(room, title)
        try:
            await self._stream_keys.refresh()
            if await self._rooms.is_on_air(room):
                raise Conflict(_LIVE)
        except (Conflict, Unavailable):
            await self._classes.undo_archive(before)
            with suppress(Unavailable):
                await self._stream_keys.refresh()
            raise
        return archived

    async def restore(self, room: str) -> Class:
        """Return an archived class that is there again. Raises as :meth:`Classes.restore`."""
        restored = await self._classes.restore(room)
        await self._stream_keys.refresh()
        return restored
