"""Who is in the classes of one node, as intervals that belong to class sessions. No I/O, no clock.

People come and go at any time; attendance is only kept of the time in which their class is live. So a presence becomes
an open interval when a session of its room begins, and the interval is closed when the person leaves or the session
ends, whichever is first. Redis has a copy of the open intervals: when a node dies, a master closes them at the node's
last beat (:mod:`.attendance_store`).

::

    joined ──▶ present ──session begins──▶ open ──left, or session ended──▶ closed ──sent──▶ forgotten
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from airnode.bus.classroom import AttendanceKind, ClassUser

#: Most closed intervals that wait for Redis; the oldest are dropped and counted.
_UNSENT_MAX = 100_000


@dataclass(frozen=True, slots=True)
class SessionSpan:
    """The newest session of a room, in unix ms; ``ended_ms`` 0: it is on."""

    session_id: str
    started_ms: int
    ended_ms: int = 0


class Interval(msgspec.Struct, frozen=True):
    """The time that one person was in one session, in one way, on one node. Times in unix ms.

    Attributes:
        left_at: None while the interval is open.
    """

    interval_id: str
    session_id: str
    room: str
    user: ClassUser
    kind: AttendanceKind
    joined_at: int
    left_at: int | None = None


@dataclass(slots=True)
class _Presence:
    room: str
    user: ClassUser
    kind: AttendanceKind
    joined_ms: int
    left_ms: int | None = None
    interval: Interval | None = None
    #: The session of the last closed interval: it is not opened again.
    recorded: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """Intervals that Redis does not know yet in this form."""

    opened: Sequence[Interval]
    closed: Sequence[Interval]


@dataclass(slots=True)
class AttendanceBook:
    """The book of one node."""

    #: Closed intervals that were dropped, because Redis did not answer for long.
    dropped: int = 0
    #: {(kind, room, session): who is there}.
    _present: dict[tuple[str, str, str], _Presence] = field(default_factory=dict)
    #: People who left and whose intervals are not closed yet.
    _departed: list[_Presence] = field(default_factory=list)
    #: {interval id: interval} to send, and those that Redis has as open ones.
    _opened: dict[str, Interval] = field(default_factory=dict)
    _closed: dict[str, Interval] = field(default_factory=dict)
    _confirmed: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._present)

    def joined(self, room: str, session: str, user: ClassUser, kind: AttendanceKind, at_ms: int) -> None:
        """Note that a person came; a session that is there already is moved to this person."""
        known = self._present.get((kind, room, session))
        if known is not None and known.user.id == user.id:
            return
        self.left(room, session, kind, at_ms)
        self._present[kind, room, session] = _Presence(room, user, kind, at_ms)

    def left(self, room: str, session: str, kind: AttendanceKind, at_ms: int) -> None:
        """Note that a person left."""
        presence = self._present.pop((kind, room, session), None)
        if presence is not None:
            presence.left_ms = max(at_ms, presence.joined_ms)
            self._departed.append(presence)
            del self._departed[:-_UNSENT_MAX]

    def everybody_left(self, at_ms: int) -> None:
        """Note that this node serves nobody any more."""
        for kind, room, session in list(self._present):
            self.left(room, session, self._present[kind, room, session].kind, at_ms)

    def rooms(self) -> set[str]:
        """Return the rooms whose sessions the next :meth:`update` needs."""
        return {presence.room for presence in self._all()}

    def update(self, sessions: Mapping[str, SessionSpan], now_ms: int) -> None:
        """Open and close intervals.

        Args:
            sessions: {room: its newest session}; a room without one is not live.
        """
        for presence in self._all():
            self._close_if_over(presence, sessions.get(presence.room), now_ms)
            self._open_if_live(presence, sessions.get(presence.room))
        self._departed.clear()

    def _all(self) -> Iterator[_Presence]:
        yield from self._departed
        yield from self._present.values()

    def _close_if_over(self, presence: _Presence, span: SessionSpan | None, now_ms: int) -> None:
        interval = presence.interval
        if interval is None:
            return
        same = span is not None and span.session_id == interval.session_id
        if same and span is not None and not span.ended_ms and presence.left_ms is None:
            return
        ends = [presence.left_ms] if presence.left_ms is not None else []
        if same and span is not None and span.ended_ms:
            ends.append(span.ended_ms)
        elif not same:
            ends.append(span.started_ms if span is not None else now_ms)
        self._close(presence, min(ends))

    def _close(self, presence: _Presence, left_ms: int) -> None:
        interval = presence.interval
        if interval is None:
            return
        presence.interval, presence.recorded = None, interval.session_id
        self._opened.pop(interval.interval_id, None)
        self._add_closed(msgspec.structs.replace(interval, left_at=max(left_ms, interval.joined_at)))

    def _open_if_live(self, presence: _Presence, span: SessionSpan | None) -> None:
        if span is None or presence.interval is not None or presence.recorded == span.session_id:
            return
        joined_ms = max(presence.joined_ms, span.started_ms)
        ends = [each for each in (presence.left_ms, span.ended_ms or None) if each is not None]
        if ends and min(ends) <= joined_ms:
            return
        interval = Interval(str(uuid.uuid4()), span.session_id, presence.room, presence.user, presence.kind, joined_ms)
        presence.interval = interval
        self._opened[interval.interval_id] = interval
        if ends:
            self._close(presence, min(ends))

    def _add_closed(self, interval: Interval) -> None:
        self._closed[interval.interval_id] = interval
        if len(self._closed) > _UNSENT_MAX:
            del self._closed[next(iter(self._closed))]
            self.dropped += 1

    # -- what Redis knows ---------------------------------------------------------------------------------------------

    def changes(self, most: int) -> Changes:
        """Return up to ``most`` changes to send; closed intervals first."""
        closed = list(self._closed.values())[:most]
        opened = list(self._opened.values())[: most - len(closed)]
        return Changes(opened, closed)

    def sent(self, changes: Changes) -> None:
        """Note that Redis has these changes."""
        for interval in changes.opened:
            if self._opened.get(interval.interval_id) is interval:
                del self._opened[interval.interval_id]
            self._confirmed.add(interval.interval_id)
        for interval in changes.closed:
            self._closed.pop(interval.interval_id, None)
            self._confirmed.discard(interval.interval_id)

    def closed_by_master(self, at_ms: int) -> None:
        """Note that a master closed all open intervals at ``at_ms``: this node was silent for too long.

        People who are still here go on with new intervals from then on.
        """
        for interval_id, interval in list(self._closed.items()):
            if interval_id in self._confirmed:
                del self._closed[interval_id]
                self._add_closed(_continued(interval, at_ms))
        for presence in self._all():
            known = presence.interval
            if known is not None and known.interval_id in self._confirmed:
                rest = _continued(known, at_ms)
                presence.interval = self._opened[rest.interval_id] = rest
        self._confirmed.clear()

    def forgotten(self) -> None:
        """Note that Redis lost its data: it needs all open intervals again."""
        for presence in self._all():
            if presence.interval is not None:
                self._opened[presence.interval.interval_id] = presence.interval
        self._confirmed.clear()


def _continued(interval: Interval, at_ms: int) -> Interval:
    """Return the rest of an interval that was closed at ``at_ms``, as a new one."""
    joined_at = max(interval.joined_at, at_ms)
    left_at = None if interval.left_at is None else max(joined_at, interval.left_at)
    return msgspec.structs.replace(interval, interval_id=str(uuid.uuid4()), joined_at=joined_at, left_at=left_at)
