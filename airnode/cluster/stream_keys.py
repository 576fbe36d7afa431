"""The room of each stream key, in Redis, for nodes without PostgreSQL.

One table, ``{SHA-256 of the stream key: room}``. PostgreSQL is the source. Masters rewrite the table at their start,
after each change, and every ``_REFRESH_S``, so that it comes back after Redis lost its data.

Two masters may write at the same time, the one with older data last. So each master reads PostgreSQL again after it has
written, and writes again if that is different. What changes later is written later, by the master that changed it.
"""

import asyncio
from collections import OrderedDict

import structlog

from airnode.bus.client import Bus
from airnode.bus.messages import STREAM_KEYS, ClassRecord
from airnode.bus.records import Records
from airnode.cluster.classes import Classes
from airnode.cluster.codes import key_digest
from airnode.errors import Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

log = structlog.get_logger(__name__)

_REFRESH_S = 30.0
#: One refresh writes so often at most, while classes change faster than it writes.
_WRITES_MAX = 10
#: Within this time masters notice that Redis lost its data.
_CHECK_S = 2.0
_RECHECK_S = 3.0
_LOOK_UP_TIMEOUT_S = 2.0
_KNOWN_MAX = 1_000
_DEFAULT_TITLE = "Class"


class StreamKeys(Service):
    """Finds the room of a stream key (on slaves).

    Keys that were valid here are remembered and looked up again every ``_RECHECK_S``: while Redis is away, a publisher
    that lost its connection may come back with the key that was valid until then.
    """

    name = "stream-keys"

    def __init__(self, bus: Bus, tasks: TaskScope) -> None:
        super().__init__()
        self._records = Records(bus)
        self._tasks = tasks
        #: {SHA-256 of the key: its room}, the last used last; at most ``_KNOWN_MAX``.
        self._known: OrderedDict[str, str] = OrderedDict()

    async def start(self) -> None:
        """Start to look up remembered keys again."""
        self._tasks.spawn("recheck", repeat_every(_RECHECK_S, self.recheck, failed="stream_keys_not_rechecked"))

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def room_of(self, stream_key: str) -> str | None:
        """Return the room of ``stream_key``; None: the key is not valid.

        Raises:
            Unavailable: (503) Redis does not answer, and the key is not remembered.
        """
        digest = key_digest(stream_key)
        try:
            room = await self._look_up(digest)
        except Unavailable:
            if (room := self._known.get(digest)) is None:
                raise
            log.warning("stream_key_remembered", room=room)
            return room
        if room is not None:
            self._known[digest] = room
            self._known.move_to_end(digest)
            if len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)
        return room

    async def _look_up(self, digest: str) -> str | None:
        """Return the room of the key from Redis; forget a key that is no longer valid."""
        try:
            async with asyncio.timeout(_LOOK_UP_TIMEOUT_S):
                found = await self._records.get_record(STREAM_KEYS, digest, ClassRecord)
        except TimeoutError:
            raise Unavailable("Redis does not answer.") from None
        if found is None:
            self._known.pop(digest, None)
        return found.room if found is not None else None

    async def recheck(self) -> None:
        """Forget keys that were renewed since; do nothing while Redis is away."""
        for digest in list(self._known):
            try:
                await self._look_up(digest)
            except Unavailable:
                return


class StreamKeyPublisher(Service):
    """Keeps the table equal to PostgreSQL (on masters)."""

    name = "class-directory"

    def __init__(self, bus: Bus, classes: Classes, default_room: str, tasks: TaskScope) -> None:
        super().__init__()
        self._bus = bus
        self._classes = classes
        self._default_room = default_room
        self._tasks = tasks
        #: Loop time of the last refresh.
        self._refreshed_s = float("-inf")

    async def start(self) -> None:
        """Create the default class if it is missing, and write the table."""
        await self._classes.ensure(self._default_room, _DEFAULT_TITLE)
        await self.refresh()
        self._refreshed_s = asyncio.get_running_loop().time()
        refreshing = repeat_every(_CHECK_S, self._refresh_if_due, failed="class_directory_not_refreshed")
        self._tasks.spawn("refresh", refreshing)

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def refresh(self) -> None:
        """Write the whole table at once, until it is what PostgreSQL has."""
        wanted = await self._read()
        for _ in range(_WRITES_MAX):
            await Records(self._bus).replace_records(STREAM_KEYS, wanted)
            written, wanted = wanted, await self._read()
            if written == wanted:
                return
        log.warning("class_directory_changes_fast", detail="it is written anew within 30 s")

    async def _read(self) -> dict[str, ClassRecord]:
        return {key_digest(each.stream_key): ClassRecord(each.room) for each in await self._classes.all()}

    async def _refresh_if_due(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._refreshed_s < _REFRESH_S and await Records(self._bus).has_records(STREAM_KEYS):
            return
        await self.refresh()
        self._refreshed_s = now_s
