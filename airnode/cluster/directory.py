"""What nodes without PostgreSQL need to know of classes, kept in Redis: which stream key opens which room.

One table, ``{SHA-256 of the stream key: room}``. PostgreSQL is the truth; masters write it anew at their start,
after each change, and now and then, so that a Redis that lost its memory heals by itself.
"""

import asyncio

import structlog

from airnode.bus.client import Bus
from airnode.bus.messages import STREAM_KEYS, ClassRecord
from airnode.bus.records import Records
from airnode.cluster.classes import Classes
from airnode.cluster.codes import key_digest
from airnode.errors import Unavailable
from airnode.runtime.service import Service
from airnode.runtime.tasks import TaskScope

log = structlog.get_logger(__name__)

_REFRESH_S = 30.0
_DEFAULT_TITLE = "Class"


async def room_of_key(bus: Bus, stream_key: str) -> str | None:
    """The room that ``stream_key`` opens."""
    found = await Records(bus).get_record(STREAM_KEYS, key_digest(stream_key), ClassRecord)
    return found.room if found is not None else None


class Directory(Service):
    """Keeps the table in step with PostgreSQL (master's side)."""

    name = "class-directory"

    def __init__(self, bus: Bus, classes: Classes, default_room: str, tasks: TaskScope) -> None:
        super().__init__()
        self._bus = bus
        self._classes = classes
        self._default_room = default_room
        self._tasks = tasks

    async def start(self) -> None:
        """Make the default class if it is not there, and publish all."""
        await self._classes.ensure(self._default_room, _DEFAULT_TITLE)
        await self.refresh()
        self._tasks.spawn("refresh", self._refresh_for_ever())

    async def stop(self) -> None:
        """End refreshing."""
        await self._tasks.aclose()

    async def refresh(self) -> None:
        """Write the whole table at once."""
        classes = await self._classes.all()
        records = {key_digest(each.stream_key): ClassRecord(each.room) for each in classes}
        await Records(self._bus).replace_records(STREAM_KEYS, records)

    async def _refresh_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            try:
                await self.refresh()
            except Unavailable as error:
                log.warning("class_directory_not_refreshed", error=str(error))
