"""Classes and users in PostgreSQL. All copies elsewhere, such as in Redis, are made from it."""

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncpg

from airnode.bus.messages import ROOM_PATTERN
from airnode.cluster.codes import (
    is_code,
    is_teacher_key,
    key_digest,
    new_code,
    new_room,
    new_stream_key,
    new_teacher_key,
)
from airnode.errors import Conflict, NotFound
from airnode.store.postgres import Postgres

_ATTEMPTS = 5
_INSERT = "INSERT INTO classes (room, title, code, stream_key) VALUES ($1, $2, $3, $4) RETURNING *"
_SELECT = "SELECT * FROM classes WHERE archived_at IS NULL"
_BY_ROOM = _SELECT + " AND room = $1"
_BY_CODE = _SELECT + " AND code = $1"
_BY_TEACHER_KEY = _SELECT + " AND teacher_key_digest = $1"
_ALL = _SELECT + " ORDER BY created_at, room"
_ARCHIVED = "SELECT * FROM classes WHERE archived_at IS NOT NULL ORDER BY archived_at DESC, room LIMIT 1000"
_COUNT = "SELECT count(*) FROM classes WHERE archived_at IS NULL"
_SET_STREAM_KEY = """UPDATE classes SET stream_key = $2, updated_at = now()
    WHERE room = $1 AND archived_at IS NULL RETURNING *"""
_SET_LOWEST_DELAY = """UPDATE classes SET lowest_delay = $2, updated_at = now()
    WHERE room = $1 AND archived_at IS NULL RETURNING *"""
_SET_TITLE = "UPDATE classes SET title = $2, updated_at = now() WHERE room = $1 AND archived_at IS NULL RETURNING *"
_SET_TEACHER_KEY = """UPDATE classes SET teacher_key_digest = $2, updated_at = now()
    WHERE room = $1 AND archived_at IS NULL RETURNING *"""
_ARCHIVE = """UPDATE classes SET archived_at = now(), title = coalesce($2, title), updated_at = now()
    WHERE room = $1 AND archived_at IS NULL RETURNING *"""
_UNDO_ARCHIVE = """UPDATE classes SET archived_at = NULL, title = $2, updated_at = now()
    WHERE room = $1 AND archived_at IS NOT NULL RETURNING *"""
_RESTORE = """UPDATE classes SET archived_at = NULL, updated_at = now()
    WHERE room = $1 AND archived_at IS NOT NULL RETURNING *"""
_RECORD_USER = """INSERT INTO users (user_id, user_type, display_name) VALUES ($1, $2, $3)
    ON CONFLICT (user_id, user_type) DO UPDATE SET last_seen_at = now(),
    display_name = coalesce(nullif(excluded.display_name, ''), users.display_name)"""


@dataclass(frozen=True, slots=True)
class Class:
    """One class: a room, the code that students type and the key that its teacher publishes with.

    Attributes:
        lowest_delay: pages play it with the lowest delay, where browsers can.
        archived_at: None: the class is there. has_teacher_key: it has one, beside the teacher secret.
    """

    room: str
    title: str
    code: str
    stream_key: str
    created_at: dt.datetime
    lowest_delay: bool = False
    archived_at: dt.datetime | None = None
    has_teacher_key: bool = False


class Classes:
    """Reads and writes classes and users."""

    def __init__(self, postgres: Postgres, max_classes: int) -> None:
        self._postgres = postgres
        self._max_classes = max_classes

    async def ensure(self, room: str, title: str) -> Class:
        """Return the class of ``room``; create it if it is missing, restore it if it was archived.

        Raises:
            Conflict: (409) the limit of classes is reached.
        """
        with suppress(NotFound):
            return await self.by_room(room)
        with suppress(NotFound):  # archived, while it was not the default class
            return await self._one(_RESTORE, _room(room))
        try:
            return await self.create(title, room)
        except Conflict as conflict:
            with suppress(NotFound):
                return await self.by_room(room)
            raise conflict from None

    async def create(self, title: str, room: str | None = None) -> Class:
        """Return a new class, with a new code and key.

        Raises:
            Conflict: (409) the room exists, or the limit of classes is reached.
        """
        await self._require_place()
        for _ in range(_ATTEMPTS):
            try:
                row = await self._postgres.fetchrow(
                    _INSERT, room or new_room(title), title, new_code(), new_stream_key()
                )
            except asyncpg.UniqueViolationError as error:
                if error.constraint_name == "classes_pkey" and room:
                    raise Conflict(f"There is a class in the room {room!r} already.") from None
                continue
            return _class(row)
        raise Conflict("No free class code was found; try again.")

    async def by_room(self, room: str) -> Class:
        """Return the class of ``room``; NotFound (404) if there is none."""
        return await self._one(_BY_ROOM, _room(room))

    async def by_code(self, code: str) -> Class | None:
        """Return the class of ``code``; None: no class has it."""
        row = await self._postgres.fetchrow(_BY_CODE, code) if is_code(code) else None
        return _class(row) if row is not None else None

    async def all(self) -> list[Class]:
        """Return all classes, the oldest first."""
        rows = await self._postgres.fetch(_ALL)
        return [_class(row) for row in rows]

    async def archived(self) -> list[Class]:
        """Return the archived classes, the last archived first; at most 1,000."""
        return [_class(row) for row in await self._postgres.fetch(_ARCHIVED)]

    async def by_teacher_key(self, key: str) -> Class | None:
        """Return the class that a teacher key opens; None: there is none."""
        row = await self._postgres.fetchrow(_BY_TEACHER_KEY, key_digest(key)) if is_teacher_key(key) else None
        return _class(row) if row is not None else None

    async def renew_stream_key(self, room: str) -> Class:
        """Return the class with a new key; the old one is no longer valid. NotFound (404): no such class."""
        return await self._set(room, _SET_STREAM_KEY, new_stream_key())

    async def set_lowest_delay(self, room: str, wanted: bool) -> Class:
        """Return the class with the new setting. NotFound (404): no such class."""
        return await self._set(room, _SET_LOWEST_DELAY, wanted)

    async def rename(self, room: str, title: str) -> Class:
        """Return the class with the new title. NotFound (404): no such class."""
        return await self._set(room, _SET_TITLE, title)

    async def renew_teacher_key(self, room: str) -> str:
        """Return a new teacher key; an older one opens nothing more. NotFound (404): no such class."""
        key = new_teacher_key()
        await self._set(room, _SET_TEACHER_KEY, key_digest(key))
        return key

    async def remove_teacher_key(self, room: str) -> None:
        """Let only the teacher secret open the class. NotFound (404): no such class."""
        await self._set(room, _SET_TEACHER_KEY, None)

    async def archive(self, room: str, title: str | None = None) -> Class:
        """Take a class off the list: its code and its keys open nothing. NotFound (404): no such class."""
        return await self._set(room, _ARCHIVE, title)

    async def undo_archive(self, before: Class) -> None:
        """Make a class what it was before it was archived; do nothing if somebody restored it meanwhile."""
        with suppress(NotFound):
            await self._set(before.room, _UNDO_ARCHIVE, before.title)

    async def restore(self, room: str) -> Class:
        """Return an archived class that is there again, with the same code and keys.

        Raises:
            NotFound: (404) there is no such archived class. Conflict: (409) the limit of classes is reached.
        """
        await self._require_place()
        return await self._one(_RESTORE, _room(room))

    async def _require_place(self) -> None:
        count = await self._postgres.fetchval(_COUNT)
        if count >= self._max_classes:
            raise Conflict(f"There are {count} classes already; classes.max_classes allows no more.")

    async def _set(self, room: str, statement: str, value: str | bool | None) -> Class:
        """Run a statement with a room and a value. NotFound (404): it changed no class."""
        row = await self._postgres.fetchrow(statement, _room(room), value)
        if row is None:
            raise NotFound(f"There is no class in the room {room!r}.")
        return _class(row)

    async def record_user(self, user_id: str, user_type: str, display_name: str) -> None:
        """Store the time of the user's last visit and, if it is given, the name to show."""
        await self._postgres.execute(_RECORD_USER, user_id, user_type, display_name)

    async def _one(self, statement: str, value: str) -> Class:
        row = await self._postgres.fetchrow(statement, value)
        if row is None:
            raise NotFound("There is no such class.")
        return _class(row)


def _room(name: str) -> str:
    """Return ``name`` if it is a valid room name; other text is not sent to PostgreSQL."""
    if not ROOM_PATTERN.match(name):
        raise NotFound("There is no such class.")
    return name


def _class(row: Any) -> Class:
    return Class(
        row["room"],
        row["title"],
        row["code"],
        row["stream_key"],
        row["created_at"],
        row["lowest_delay"],
        row["archived_at"],
        row["teacher_key_digest"] is not None,
    )
