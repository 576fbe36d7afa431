"""Students whom teachers removed from a class: a table in Redis, and the view of it that every node answers from.

Each change is also published, so that it takes effect everywhere at once; a view that missed the message finds the
change when it reads the table again, within two seconds. A readmission is a record, too: whoever is missing in the
table is not readmitted, but Redis has lost the record, and masters restore it (``airnode.cluster.removal_keeping``).
"""

import time
from collections.abc import Callable, Iterable

import msgspec

from airnode.bus.client import Bus
from airnode.bus.records import Records
from airnode.errors import Conflict
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

#: Name of the table and of the channel.
REMOVALS = "removals"
_RESYNC_S = 2.0
#: How long a readmission stays in the table, so that everybody has seen it.
READMITTED_KEPT_S = 3600


class Removal(msgspec.Struct, frozen=True):
    """A student who was removed from a class, or readmitted.

    Attributes:
        name: as it was shown. at: unix milliseconds.
    """

    room: str
    user_id: str
    name: str = ""
    at: int = 0
    readmitted: bool = False


class Removals(Service):
    """This process's view of the table, and the changes of it.

    Args:
        max_per_room: most students that can be removed from one class.
    """

    name = "removals"

    def __init__(self, bus: Bus, tasks: TaskScope, *, max_per_room: int = 1_000) -> None:
        super().__init__()
        self._bus = bus
        self._records = Records(bus)
        self._tasks = tasks
        self._max_per_room = max_per_room
        #: {room: {user id: removal}}, without empty rooms.
        self._known: dict[str, dict[str, Removal]] = {}
        #: Messages that arrived while the table is being read: they are newer than what was read.
        self._meanwhile: list[Removal] | None = None
        self._listeners: list[Callable[[Removal], None]] = []

    async def start(self) -> None:
        """Subscribe, and return once the table has been read.

        Raises:
            Unavailable: Redis does not answer.
        """
        await self._bus.subscribe(REMOVALS, Removal, self._receive, on_resubscribed=self.resync)
        await self.resync()
        self._tasks.spawn("resync", repeat_every(_RESYNC_S, self.resync, failed="removals_not_read"))

    async def stop(self) -> None:
        await self._tasks.aclose()

    def listen(self, listener: Callable[[Removal], None]) -> None:
        """Call ``listener`` for each student who is removed or readmitted from now on."""
        self._listeners.append(listener)

    def is_removed(self, room: str, user_ids: Iterable[str]) -> bool:
        """Return whether a person, who is known by these ids, was removed from the class."""
        removed = self._known.get(room)
        return removed is not None and any(user_id in removed for user_id in user_ids)

    def in_room(self, room: str) -> list[Removal]:
        """Return who was removed from a class, the first one first."""
        return sorted(self._known.get(room, {}).values(), key=lambda each: each.at)

    async def remove(self, removal: Removal) -> None:
        """Remove a student from a class, on all nodes.

        Raises:
            Conflict: (409) too many were removed from this class.
            Unavailable: (503) Redis does not answer.
        """
        known = self._known.get(removal.room, {})
        if removal.user_id not in known and len(known) >= self._max_per_room:
            raise Conflict(
                f"{len(known)} students were removed from this class, more than chat.max_removed allows; readmit some."
            )
        await self._records.set_record(REMOVALS, record_key(removal), removal)
        await self._announce(removal)

    async def readmit(self, room: str, user_id: str) -> bool:
        """Undo a removal, on all nodes; return False if there was none.

        Raises:
            Unavailable: (503) Redis does not answer.
        """
        removal = Removal(room, user_id, at=time.time_ns() // 1_000_000, readmitted=True)
        before = await self._records.get_record(REMOVALS, record_key(removal), Removal)
        if before is None or before.readmitted:
            return False
        await self._records.set_record(REMOVALS, record_key(removal), removal)
        await self._announce(removal)
        return True

    async def resync(self) -> None:
        """Read the table.

        Raises:
            Unavailable: Redis does not answer; the view stays as it is.
        """
        meanwhile: list[Removal] = []
        self._meanwhile = meanwhile
        try:
            table = await self._records.all_records(REMOVALS, Removal)
        finally:
            self._meanwhile = None
        for removal in [*table.values(), *meanwhile]:
            self._apply(removal)

    async def _announce(self, removal: Removal) -> None:
        """Apply a change here at once, and notify the other nodes."""
        await self._receive(removal)
        await self._bus.publish(REMOVALS, removal)

    async def _receive(self, removal: Removal) -> None:
        if self._meanwhile is not None:
            self._meanwhile.append(removal)
        self._apply(removal)

    def _apply(self, removal: Removal) -> None:
        known = self._known.get(removal.room, {})
        if removal.readmitted == (removal.user_id not in known):
            return
        if removal.readmitted:
            del known[removal.user_id]
            if not known:
                del self._known[removal.room]
        else:
            self._known.setdefault(removal.room, {})[removal.user_id] = removal
        for listener in self._listeners:
            listener(removal)


def record_key(removal: Removal) -> str:
    """Return the key of the removal's record."""
    return f"{removal.room}\x1f{removal.user_id}"


async def forget_removals(bus: Bus, user_id: str, *, delete: bool) -> int:
    """Return from how many classes a student is removed; with ``delete``, readmit the student there.

    Raises:
        Unavailable: Redis does not answer.
    """
    records, now_ms = Records(bus), time.time_ns() // 1_000_000
    found = [
        each
        for each in (await records.all_records(REMOVALS, Removal)).values()
        if each.user_id == user_id and not each.readmitted
    ]
    for each in found if delete else ():
        readmitted = Removal(each.room, user_id, at=now_ms, readmitted=True)
        await records.set_record(REMOVALS, record_key(each), readmitted)
        await bus.publish(REMOVALS, readmitted)
    return len(found)
