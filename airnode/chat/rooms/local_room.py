"""One room on this node: its local members, and what they get. It awaits nothing."""

import asyncio
import time
from collections.abc import Iterable

from airnode.chat.engineio.encoded import EncodedPacket
from airnode.chat.rooms.log import Draft, LogEntry, LogPosition
from airnode.chat.rooms.metrics import ChatMetrics
from airnode.chat.rooms.payloads import entry_packet, gap_packet, payload
from airnode.chat.rooms.people import User, Visitor
from airnode.chat.rooms.roster import Roster
from airnode.chat.rooms.tail import RoomTail
from airnode.config.sections.chat import ChatSection


class LocalRoom:
    """The members of a room on this node, and the tail of its log.

    Attributes:
        is_followed: whether the node is subscribed to the room, and its tail is loaded.
        is_behind: whether reading what was missed failed.
        early: entries that came while the tail was being loaded.
        lock: held by whoever brings the tail forward.
        pending: what was delivered to these members alone, because Redis did not answer, and is not stored yet.
        is_listed: whether all members were told who is here; False: some know only how many (``chat.presence_users``).
    """

    def __init__(self, name: str, node_id: str, section: ChatSection, metrics: ChatMetrics) -> None:
        self.name = name
        self.tail = RoomTail(section.history_messages, section.max_answer_bytes)
        self.roster = Roster(node_id)
        self.members: set[Visitor] = set()
        self.is_followed = False
        self.is_behind = False
        self.early: list[LogEntry] = []
        self.lock = asyncio.Lock()
        self.pending: list[Draft] = []
        self.is_listed = True
        #: {id: entry} of the same. Owned by this class.
        self._alone: dict[str, LogEntry] = {}
        self._node_id = node_id
        self._metrics = metrics
        #: Nonces of entries that local members have got already. Owned by this class.
        self._delivered: set[str] = set()
        #: Epoch and offset of what is delivered without Redis.
        self._own_epoch, self._own_offset = "", 0

    def student(self, user_id: str) -> User | None:
        """Return the student with this id who is in the room on any node; None: there is none."""
        here = (member.user for member in self.members if member.user.id == user_id)
        return next((user for user in here if user.role == "student"), None) or self.roster.student(user_id)

    # -- entries of the log -----------------------------------------------------------------------------------------

    def deliver(self, entry: LogEntry) -> None:
        """Add an entry to the tail, and send it to all members who may see it."""
        body = self.tail.push(entry)
        if entry.nonce in self._delivered:
            self._delivered.discard(entry.nonce)
            self._alone.pop(entry.id, None)
            self.pending = [draft for draft in self.pending if draft.nonce != entry.nonce]
            return
        packet = entry_packet(entry, body)
        if entry.audience:
            receivers: Iterable[Visitor] = [m for m in self.members if entry.is_for(m.user.id, m.user.role)]
        else:
            receivers = self.members
        self._send(packet, receivers, entry)

    def _send(self, packet: EncodedPacket, receivers: Iterable[Visitor], entry: LogEntry) -> None:
        sent = missed = 0
        for visitor in receivers:
            if visitor.missed is None and visitor.wire.deliver(packet):
                sent += 1
            else:
                missed += 1
                self._missed(visitor, entry)
        self._metrics.sent(sent, len(packet.frames), missed)

    def _missed(self, visitor: Visitor, entry: LogEntry) -> None:
        """Note that a slow client did not get an entry; it is told once it has caught up."""
        if visitor.missed is None:
            visitor.missed = {}
        epoch, first, _ = visitor.missed.get(self.name, (entry.epoch, entry.offset, 0))
        if epoch != entry.epoch:
            epoch, first = entry.epoch, entry.offset
        visitor.missed[self.name] = (epoch, first, entry.offset)

    def announce_gap(self, epoch: str, first: int, last: int, now_at: LogPosition) -> None:
        """Tell all members that entries are missing; the room is at ``now_at``."""
        packet = gap_packet(self.name, epoch, first, last, f"{now_at.epoch}:{now_at.offset}")
        for visitor in self.members:
            self._metrics.gaps.add(1)
            visitor.wire.deliver(packet)

    def signal(self, packet: EncodedPacket, only: frozenset[str] = frozenset()) -> None:
        """Send an event that has no position in the log; slow clients go without. ``only``: user ids or roles."""
        sent = missed = 0
        for visitor in self.members:
            if only and visitor.user.id not in only and visitor.user.role not in only:
                continue
            if visitor.missed is None and visitor.wire.deliver(packet):
                sent += 1
            else:
                missed += 1
        self._metrics.sent(sent, len(packet.frames), 0)
        if missed:
            self._metrics.dropped(missed, "slow_client_signal")

    # -- without Redis ------------------------------------------------------------------------------------------------

    def deliver_alone(self, draft: Draft, pending_max: int) -> LogEntry | None:
        """Send a draft to the members of this node at once, and keep it for the log; None: too many wait already.

        Its position belongs to an epoch of this node, ``~<node id>-<ms>``.
        """
        if len(self.pending) >= pending_max:
            return None
        now_ms = time.time_ns() // 1_000_000
        if not self.pending:
            self._own_epoch, self._own_offset = f"~{self._node_id}-{now_ms}", 0
        self._own_offset += 1
        entry = LogEntry(
            room=self.name,
            epoch=self._own_epoch,
            offset=self._own_offset,
            event=draft.event,
            id=draft.id,
            at=now_ms,
            data=draft.raw,
            audience=draft.audience,
            nonce=draft.nonce,
        )
        self.pending.append(draft.kept(now_ms))
        self._delivered.add(draft.nonce)
        self._alone[draft.id] = entry
        self._send(entry_packet(entry, payload(entry)), self.members, entry)
        return entry

    def waiting(self, sent_by: str, client_id: str) -> LogEntry | None:
        """Return what was delivered alone for the same message before."""
        for draft in self.pending:
            if (draft.sent_by, draft.client_id) == (sent_by, client_id):
                return self._alone.get(draft.id)
        return None

    def stored(self, draft: Draft) -> None:
        """A draft that was delivered alone is in the log now."""
        if draft in self.pending:
            self.pending.remove(draft)
