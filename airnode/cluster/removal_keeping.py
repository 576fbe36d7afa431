"""Removed students in PostgreSQL: what is removed stays removed when Redis loses its data.

Nodes remove and readmit in Redis (:mod:`airnode.bus.removals`), also those without PostgreSQL. Masters bring both
tables together: any of them may, as often as it likes. A readmission is a record in Redis of its own, so a record that
is missing there was lost, and comes back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from airnode.bus.client import Bus
from airnode.bus.records import Records
from airnode.bus.removals import READMITTED_KEPT_S, REMOVALS, Removal, record_key
from airnode.errors import Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble
from airnode.store.postgres import Postgres

log = structlog.get_logger(__name__)

_EVERY_S = 3.0
#: Even if nothing changed in Redis, PostgreSQL is read again this often: it may have been restored.
_AGAIN_S = 300.0
_SELECT = "SELECT room, user_id, name, removed_at FROM removals"
_INSERT = """INSERT INTO removals (room, user_id, name, removed_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (room, user_id) DO NOTHING"""
_DELETE = "DELETE FROM removals WHERE room = $1 AND user_id = $2"


@dataclass(frozen=True, slots=True)
class RemovalChanges:
    """What brings both tables together: rows to add and to delete, records to restore and (readmissions) to drop."""

    added: tuple[Removal, ...]
    deleted: tuple[Removal, ...]
    restored: tuple[Removal, ...]
    dropped: tuple[Removal, ...]


def compared(rows: Mapping[str, Removal], records: Mapping[str, Removal], now_ms: int) -> RemovalChanges:
    """Return what is to be done.

    Args:
        rows, records: {key of the record: removal}; the rows were read first.
    """
    readmitted = {key: each for key, each in records.items() if each.readmitted}
    return RemovalChanges(
        added=tuple(each for key, each in records.items() if key not in rows and key not in readmitted),
        deleted=tuple(each for key, each in rows.items() if key in readmitted),
        restored=tuple(each for key, each in rows.items() if key not in records),
        dropped=tuple(
            each for key, each in readmitted.items() if key not in rows and now_ms - each.at > READMITTED_KEPT_S * 1000
        ),
    )


class RemovalKeeper(Service):
    """Keeps removals in PostgreSQL, and restores them in Redis (on masters)."""

    name = "removal-keeper"

    def __init__(self, bus: Bus, postgres: Postgres, tasks: TaskScope) -> None:
        super().__init__()
        self._records = Records(bus)
        self._postgres = postgres
        self._tasks = tasks
        #: The records at the last time both tables were the same, and when that was (unix ms).
        self._same: tuple[Mapping[str, Removal], int] | None = None
        self.trouble = Trouble("removals_not_kept", "removals_kept_again")

    async def start(self) -> None:
        """Bring the tables together, now and again."""
        await self._try()
        self._tasks.spawn("keep", repeat_every(_EVERY_S, self._try, failed="removals_not_kept"))

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def check(self) -> str | None:
        """Raise Unavailable (503) while removals cannot be kept, for ``/health``."""
        self.trouble.check()
        return None

    async def _try(self) -> None:
        try:
            await self.keep(int(datetime.now(UTC).timestamp() * 1000))
        except Unavailable as error:
            self.trouble.begin(error)
        else:
            self.trouble.end()

    async def keep(self, now_ms: int) -> None:
        """Bring both tables together.

        Raises:
            Unavailable: Redis or PostgreSQL does not answer.
        """
        if self._same is not None:
            known, at_ms = self._same
            if now_ms - at_ms < _AGAIN_S * 1000 and await self._records.all_records(REMOVALS, Removal) == known:
                return
        rows = {record_key(each): each for each in map(_removal, await self._postgres.fetch(_SELECT))}
        records = await self._records.all_records(REMOVALS, Removal)
        todo = compared(rows, records, now_ms)
        for each in todo.added:
            at = datetime.fromtimestamp(each.at / 1000, UTC)
            await self._postgres.execute(_INSERT, each.room, each.user_id, each.name, at)
        for each in todo.deleted:
            await self._postgres.execute(_DELETE, each.room, each.user_id)
        for each in todo.restored:
            await self._records.add_record(REMOVALS, record_key(each), each)
        for each in todo.dropped:
            await self._records.drop_record_if(REMOVALS, record_key(each), each)
        if todo.restored:
            log.warning("removals_restored", students=len(todo.restored), detail="Redis had lost them")
        self._same = None if any((todo.added, todo.deleted, todo.restored, todo.dropped)) else (records, now_ms)


def _removal(row: Mapping[str, object]) -> Removal:
    removed_at = row["removed_at"]
    at_ms = round(removed_at.timestamp() * 1000) if isinstance(removed_at, datetime) else 0
    return Removal(str(row["room"]), str(row["user_id"]), str(row["name"]), at_ms)
