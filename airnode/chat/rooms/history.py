"""Older messages of a room."""

from dataclasses import dataclass

import orjson

from airnode.chat.rooms.event_types import HistoryRequest
from airnode.chat.rooms.local_room import LocalRoom
from airnode.chat.rooms.log import LogEntry, RoomLog
from airnode.chat.rooms.payloads import array, first_within, payload

_BATCH = 500
#: Batches that one request reads at most, if most entries are no messages.
_BATCHES_MAX = 10


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Messages, oldest first.

    Attributes:
        more: there are more in that direction. is_cut: also some of those that were asked for.
    """

    messages: orjson.Fragment
    more: bool
    is_cut: bool


async def read_history(room: LocalRoom, log: RoomLog, wanted: HistoryRequest, answer_bytes: int) -> HistoryPage:
    """Return a page of at most ``answer_bytes`` of messages, at least one.

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
    bodies = first_within(map(payload, kept if is_forward else reversed(kept)), answer_bytes)
    is_cut = len(bodies) < len(kept)
    messages = array(bodies if is_forward else reversed(bodies))
    return HistoryPage(messages, more or is_cut, is_cut)


def _messages(entries: list[LogEntry]) -> list[LogEntry]:
    return [entry for entry in entries if entry.event == "message" and not entry.audience]
