"""The newest entries of a room's log, as one node holds them. No I/O."""

import enum
from collections import deque

import orjson

from airnode.chat.rooms.log import LogEntry, LogPosition
from airnode.chat.rooms.payloads import array, erased_id, first_within, payload

#: Entries of all events that are held for clients that come back.
_ENTRIES_MAX = 1000


class Step(enum.Enum):
    """How an entry follows the last one."""

    NEXT = enum.auto()
    #: It was here before.
    KNOWN = enum.auto()
    #: Entries are missing before it, or the log was restored from an older copy: read the log.
    OUT_OF_STEP = enum.auto()


class RoomTail:
    """The position of a room, its newest entries, and its newest messages as clients get them.

    Args:
        messages_max: messages that are held.
        answer_bytes: most bytes of messages that one answer carries: a client on a slow line must have read it before
            it counts as slow.

    Attributes:
        are_cut: whether the last answer had fewer messages than are held.
        has_older: whether the log may have messages older than those that are held.
    """

    def __init__(self, messages_max: int, answer_bytes: int) -> None:
        self.are_cut = False
        self.has_older = False
        self._answer_bytes = answer_bytes
        self.epoch = ""
        self.offset = 0
        #: Offset of the newest entry that is not a message: the state of polls, hands, … changed there.
        self.state_offset = 0
        #: Consecutive, without entries that were erased.
        self._entries: deque[LogEntry] = deque(maxlen=_ENTRIES_MAX)
        #: Every entry above this offset is in ``_entries``, or was erased.
        self._complete_above = 0
        #: {id: body} of the newest messages, oldest first.
        self._messages: dict[str, bytes] = {}
        self._messages_max = messages_max
        self._array: orjson.Fragment | None = None

    @property
    def position(self) -> LogPosition:
        return LogPosition(self.epoch, self.offset)

    def begin(
        self, position: LogPosition, entries: list[LogEntry], messages: list[LogEntry], *, has_older: bool = False
    ) -> None:
        """Start anew with what the log holds: its newest entries (consecutive) and messages, both in order."""
        self.has_older = has_older
        self.epoch, self.offset = position.epoch, position.offset
        self._entries.clear()
        self._entries.extend(entries)
        self._complete_above = entries[0].offset - 1 if entries else position.offset
        self.state_offset = position.offset
        self._messages = {}
        self._array = None
        for entry in messages:
            self._hold(entry)

    def step(self, entry: LogEntry) -> Step:
        """Return how an entry follows."""
        if entry.epoch != self.epoch:
            return Step.OUT_OF_STEP
        if entry.offset == self.offset + 1:
            return Step.NEXT
        if entry.offset > self.offset:
            return Step.OUT_OF_STEP
        for held in reversed(self._entries):
            if held.offset == entry.offset:
                return Step.KNOWN if held.nonce == entry.nonce else Step.OUT_OF_STEP
            if held.offset < entry.offset:
                break
        return Step.KNOWN

    def push(self, entry: LogEntry) -> bytes:
        """Add an entry, which is at or above the next offset; return its body for clients."""
        self.offset = entry.offset
        if len(self._entries) == self._entries.maxlen:
            self._complete_above = self._entries[0].offset
        self._entries.append(entry)
        if entry.event == "message":
            return self._hold(entry)
        self.state_offset = entry.offset
        if erased := erased_id(entry):
            self._erase(erased)
        return payload(entry)

    def skip_to(self, offset: int) -> None:
        """Go to an offset up to which all entries were erased."""
        self.offset = max(self.offset, offset)

    def messages(self) -> orjson.Fragment:
        """Return the newest messages as a JSON array, made once for all who join; fewer if they are very long."""
        if self._array is None:
            newest = first_within(reversed(self._messages.values()), self._answer_bytes)
            self.are_cut = len(newest) < len(self._messages)
            self._array = array(reversed(newest))
        return self._array

    def after(self, offset: int) -> list[LogEntry] | None:
        """Return the entries above an offset of this epoch; None: they are not all held here."""
        if not self._complete_above <= offset <= self.offset:
            return None
        found: list[LogEntry] = []
        for entry in reversed(self._entries):
            if entry.offset <= offset:
                break
            found.append(entry)
        found.reverse()
        return found

    def _hold(self, entry: LogEntry) -> bytes:
        body = payload(entry)
        if not entry.audience:
            self._messages[entry.id] = body
            if len(self._messages) > self._messages_max:
                del self._messages[next(iter(self._messages))]
                self.has_older = True
            self._array = None
        return body

    def _erase(self, message_id: str) -> None:
        if self._messages.pop(message_id, None) is not None:
            self._array = None
        left = [entry for entry in self._entries if entry.id != message_id or entry.event != "message"]
        if len(left) < len(self._entries):
            self._entries.clear()
            self._entries.extend(left)
