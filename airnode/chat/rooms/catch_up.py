"""Reading a room's log: the tail at first, and what was missed later."""

from collections.abc import Callable
from typing import NamedTuple

from airnode.chat.rooms.local_room import LocalRoom
from airnode.chat.rooms.log import LogEntry, LogPosition, RoomLog

_BATCH = 500
_BATCHES_MAX = 10


async def load(room: LocalRoom, log: RoomLog, messages_max: int) -> None:
    """Fill the tail with the newest entries and messages.

    Raises:
        Unavailable: Redis does not answer.
    """
    newest = await _newest(room.name, log, messages_max)
    room.tail.begin(newest.position, newest.entries, newest.messages, has_older=newest.has_older)


async def catch_up(room: LocalRoom, log: RoomLog, messages_max: int, deliver: Callable[[LogEntry], None]) -> None:
    """Deliver what was appended since the tail ends. What is gone for good is announced to the members.

    Raises:
        Unavailable: Redis does not answer.
    """
    tail = room.tail
    seen, position = tail.position, await log.position(room.name)
    if position.epoch == seen.epoch and position.offset < seen.offset:
        position = await log.renew_epoch(room.name, seen)
    if position.epoch != seen.epoch:
        await _begin_epoch(room, log, messages_max, deliver)
        return
    if position.oldest > tail.offset + 1:
        room.announce_gap(tail.epoch, tail.offset + 1, position.oldest - 1, position)
    while tail.offset < position.offset:
        batch = await log.after(room.name, tail.offset, _BATCH)
        for entry in batch:
            deliver(entry)
        if len(batch) < _BATCH:
            tail.skip_to(position.offset)  # the newest ones were erased


async def _begin_epoch(room: LocalRoom, log: RoomLog, messages_max: int, deliver: Callable[[LogEntry], None]) -> None:
    """Redis lost entries: start the tail anew, and deliver the entries of the new epoch, which nobody here has seen."""
    seen = room.tail.position
    newest = await _newest(room.name, log, messages_max)
    position, entries = newest.position, newest.entries
    new = [entry for entry in entries if entry.epoch == position.epoch]
    first = new[0].offset if new else position.offset + 1
    older = [each for each in newest.messages if each.offset < first]
    room.tail.begin(LogPosition(position.epoch, first - 1), [], older, has_older=newest.has_older)
    kept = max((entry.offset for entry in entries if entry.epoch == seen.epoch), default=0)
    if kept < seen.offset:
        room.announce_gap(seen.epoch, kept + 1, seen.offset, room.tail.position)
    for entry in new:
        deliver(entry)


class _Newest(NamedTuple):
    """The end of a log: its position, its newest entries and messages, and whether there may be older messages."""

    position: LogPosition
    entries: list[LogEntry]
    messages: list[LogEntry]
    has_older: bool


async def _newest(name: str, log: RoomLog, messages_max: int) -> _Newest:
    position = await log.position(name)
    entries = batch = await log.before(name, None, _BATCH)
    messages = _messages(entries)
    for _ in range(_BATCHES_MAX):
        if len(messages) >= messages_max or len(batch) < _BATCH:
            break
        batch = await log.before(name, batch[0].offset, _BATCH)
        messages = _messages(batch) + messages
    if entries and entries[-1].offset > position.offset:
        position = LogPosition(entries[-1].epoch, entries[-1].offset)
    has_older = len(messages) > messages_max or len(batch) == _BATCH
    return _Newest(position, entries, messages[-messages_max:], has_older)


def _messages(entries: list[LogEntry]) -> list[LogEntry]:
    return [entry for entry in entries if entry.event == "message" and not entry.audience]
