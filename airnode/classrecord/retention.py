"""Deletes old records of classes (``classes.record_max_age_s``). Every master does it; each row is deleted once."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.store.postgres import Postgres
from airnode.store.postgres_errors import translated

log = structlog.get_logger(__name__)

_EVERY_S = 3600.0
#: After a failure it is tried again this soon.
_CHECK_S = 5.0
#: Rows in one statement, so that no other statement waits for long.
_BATCH = 5000
#: {table: when its row happened}.
_TIMES = {
    "attendance": "joined_at",
    "messages": "coalesce(sent_at, deleted_at)",
    "questions": "asked_at",
    "poll_answers": "answered_at",
    "polls": "opened_at",
    "hands": "at",
    "sessions": "started_at",
}
_DELETE = """
WITH gone AS (
    DELETE FROM classroom.{table} WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM classroom.{table} WHERE {time} < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING 1
) SELECT count(*) FROM gone
"""


class RecordRetention(Service):
    """Deletes what is too old, once an hour.

    Args:
        max_age_s: 0: everything is kept.
    """

    name = "class-record-retention"

    def __init__(self, postgres: Postgres, max_age_s: float, tasks: TaskScope) -> None:
        super().__init__()
        self._postgres = postgres
        self._max_age_s = max_age_s
        self._tasks = tasks
        #: Loop time of the last complete sweep.
        self._swept_s = float("-inf")

    async def start(self) -> None:
        if self._max_age_s:
            self._tasks.spawn("sweep", repeat_every(_CHECK_S, self._sweep_if_due, failed="class_records_not_deleted"))

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def _sweep_if_due(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._swept_s >= min(_EVERY_S, self._max_age_s):
            await self.sweep()
            self._swept_s = now_s

    async def sweep(self) -> int:
        """Delete what is too old, and return how many rows.

        Raises:
            Unavailable: the database does not answer; the next sweep deletes the rest.
        """
        return await delete_older(self._postgres, datetime.now(UTC) - timedelta(seconds=self._max_age_s))


async def delete_older(postgres: Postgres, before: datetime) -> int:
    """Delete the rows of class records from before a time, and return how many. Raises Unavailable."""
    deleted = {}
    with translated("The database does not delete old class records now."):
        for table, time in _TIMES.items():
            deleted[table] = 0
            statement = _DELETE.format(table=table, time=time)
            while count := await postgres.fetchval(statement, before, _BATCH):
                deleted[table] += count
    if total := sum(deleted.values()):
        log.info("class_records_deleted", **{table: count for table, count in deleted.items() if count})
    return total
