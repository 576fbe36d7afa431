"""Older messages of a room."""

from collections.abc import Mapping

from airnode.chat.rooms.event_types import HistoryRequest
from airnode.chat.rooms.local_room import LocalRoom
from airnode.chat.rooms.log import LogEntry, RoomLog
from airnode.chat.rooms.payloads import ANSWER_BYTES, array, first_within, payload

_BATCH = 500
#: Batches that one request reads at most, if most entries are no messages.
_BATCHES_MAX = 10


async def read_history(room: LocalRoom, log: RoomLog, wanted: HistoryRequest) -> Mapping[str, object]:
    """Return messages, oldest first, and whether there are more in that direction. Very long ones are fewer at once.

    Raises:
        Unavailable: (503) Redis does not answer.
    """
    found: list[LogEntry] = []
    offset = wanted.after if wanted.after is not None else wanted.before
    more = True
    for _ in range(_BATCHES_MAX):
        if wanted.after is not None:
            batch = await log.after(room.name, offset or 0, _BATCH)
            found += _messages(batch)
        else:
            batch = await log.before(room.name, offset, _BATCH)
            found = _messages(batch) + found
        if len(batch) < _BATCH:
            more = len(found) > wanted.limit
            break
        if len(found) > wanted.limit:
            break
        offset = batch[-1].offset if wanted.after is not None else batch[0].offset
    is_forward = wanted.after is not None
    kept = found[: wanted.limit] if is_forward else found[-wanted.limit :]
    bodies = first_within(map(payload, kept if is_forward else reversed(kept)), ANSWER_BYTES)
    more = more or len(bodies) < len(kept)
    messages = array(bodies if is_forward else reversed(bodies))
    return {"room": room.name, "epoch": room.tail.epoch, "messages": messages, "more": more}


def _messages(entries: list[LogEntry]) -> list[LogEntry]:
    return [entry for entry in entries if entry.event == "message" and not entry.audience]
