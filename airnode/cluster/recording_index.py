"""The index of recordings in PostgreSQL: the recordings of all nodes, as they last reported them."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airnode.bus.messages import ROOM_PATTERN
from airnode.bus.recordings import RECORDING_ID, RecordingRecord, RecordingStatus
from airnode.store.postgres import Postgres

_SELECT = """SELECT recording_id, r.room, coalesce(c.title, r.room) AS title, node_id, status, started_at, ended_at,
    duration_s, size_bytes FROM recordings r LEFT JOIN classes c ON c.room = r.room AND c.archived_at IS NULL"""
_BY_ROOM = _SELECT + " WHERE r.room = $1 ORDER BY started_at DESC, recording_id DESC"
_ONE = _SELECT + " WHERE r.room = $1 AND recording_id = $2"
_UPSERT = """INSERT INTO recordings (recording_id, room, node_id, status, started_at, ended_at, duration_s, size_bytes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (recording_id) DO UPDATE SET room = excluded.room,
    node_id = excluded.node_id, status = excluded.status, started_at = excluded.started_at,
    ended_at = excluded.ended_at, duration_s = excluded.duration_s, size_bytes = excluded.size_bytes,
    updated_at = now()"""
_DROP = "DELETE FROM recordings WHERE node_id = $1 AND recording_id = ANY($2)"
_DROP_OTHERS = "DELETE FROM recordings WHERE node_id = $1 AND NOT recording_id = ANY($2)"
_NODES = "SELECT DISTINCT node_id FROM recordings"


@dataclass(frozen=True, slots=True)
class IndexedRecording:
    """A recording as the index has it; times in unix seconds, ``title`` of its class."""

    recording_id: str
    room: str
    title: str
    node_id: str
    status: RecordingStatus
    started_at: float
    ended_at: float | None
    duration_s: float
    size_bytes: int


class RecordingIndex:
    """Reads and writes the index. All methods raise Unavailable (503) while the database does not answer."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def in_room(self, room: str) -> list[IndexedRecording]:
        """Return the room's recordings, the newest first."""
        if not ROOM_PATTERN.match(room):
            return []
        return [_indexed(row) for row in await self._postgres.fetch(_BY_ROOM, room)]

    async def one(self, room: str, recording_id: str) -> IndexedRecording | None:
        """Return a recording of the room; None: there is none with this id."""
        if not ROOM_PATTERN.match(room) or not RECORDING_ID.match(recording_id):
            return None
        row = await self._postgres.fetchrow(_ONE, room, recording_id)
        return _indexed(row) if row is not None else None

    async def nodes(self) -> list[str]:
        """Return the ids of all nodes that have recordings."""
        return [row["node_id"] for row in await self._postgres.fetch(_NODES)]

    async def put(self, records: Iterable[RecordingRecord]) -> None:
        """Write some recordings of a node; invalid ids and rooms are skipped."""
        for record in records:
            if RECORDING_ID.match(record.recording_id) and ROOM_PATTERN.match(record.room):
                await self._postgres.execute(_UPSERT, *_row(record))

    async def drop(self, node_id: str, recording_ids: list[str]) -> None:
        """Delete recordings that the node no longer has."""
        await self._postgres.execute(_DROP, node_id, recording_ids)

    async def sync(self, node_id: str, records: Mapping[str, RecordingRecord]) -> None:
        """Make the index of this node equal to its own table."""
        await self.put(records.values())
        await self._postgres.execute(_DROP_OTHERS, node_id, list(records))


def _row(record: RecordingRecord) -> tuple[object, ...]:
    return (
        record.recording_id,
        record.room,
        record.node_id,
        record.status,
        dt.datetime.fromtimestamp(record.started_at, dt.UTC),
        dt.datetime.fromtimestamp(record.ended_at, dt.UTC) if record.ended_at is not None else None,
        max(record.duration_s, 0.0),
        max(record.size_bytes, 0),
    )


def _indexed(row: Any) -> IndexedRecording:
    ended_at = row["ended_at"]
    return IndexedRecording(
        row["recording_id"],
        row["room"],
        row["title"],
        row["node_id"],
        row["status"],
        row["started_at"].timestamp(),
        ended_at.timestamp() if ended_at is not None else None,
        row["duration_s"],
        row["size_bytes"],
    )
