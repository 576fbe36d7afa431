"""The work of ``airnode record``."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from airnode.classrecord.attendance_store import AttendanceStore
from airnode.classrecord.record_files import LANGUAGES, PARTS, csv_file, json_file
from airnode.classrecord.record_reader import RecordReader
from airnode.classrecord.record_types import SessionList
from airnode.commands.dlq_view import columns
from airnode.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from airnode.runtime.open_stores import OpenStores

_FIND = "SELECT room FROM classes WHERE room = $1 OR code = upper($1) ORDER BY room = $1 DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to write: a part as CSV, the record as JSON, or the list of sessions (as text or JSON)."""

    class_: str
    session_id: str
    part: str
    as_json: bool
    listed: bool
    language: str
    zone: str


async def write(stores: "OpenStores", wanted: Wanted) -> bytes:
    """Return the file. Raises NotFound: there is no such class or session; InvalidInput: no such time zone."""
    room = await stores.postgres.fetchval(_FIND, wanted.class_)
    if room is None:
        raise NotFound(f"There is no class with the room or the code {wanted.class_!r}.")
    reader = RecordReader(stores.postgres, AttendanceStore(stores.bus, 0))
    if wanted.listed or not (wanted.part or wanted.as_json):
        sessions = await reader.sessions(room)
        return sessions_json(sessions) if wanted.as_json else sessions_text(sessions).encode()
    record = await reader.record(room, wanted.session_id)
    for part in PARTS:
        if part == wanted.part:
            language = next(each for each in LANGUAGES if each == wanted.language)
            return csv_file(record, part, language=language, zone=_zone(wanted.zone))
    return json_file(record) + b"\n"


def sessions_text(found: SessionList) -> str:
    """Return one line per session."""
    if not found.sessions:
        return "This class was never live.\n"
    rows = [("session", "began (UTC)", "minutes", "students", "messages")]
    for each in found.sessions:
        minutes = "live" if each.ended_at is None else f"{(each.ended_at - each.started_at) / 60:.1f}"
        began = datetime.fromtimestamp(each.started_at, UTC).strftime("%Y-%m-%d %H:%M")
        rows.append((each.session_id, began, minutes, str(each.students), str(each.messages)))
    return columns(rows) + "\n"


def sessions_json(found: SessionList) -> bytes:
    """Return the sessions as JSON."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(f"There is no time zone {name!r}; give one such as Asia/Seoul.") from None
