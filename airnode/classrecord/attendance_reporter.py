"""Reports who is in the classes of this node: the chat says who comes and goes, media are polled."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.bus.classroom import AttendanceKind, ClassUser
from airnode.bus.client import Bus
from airnode.classrecord.attendance import AttendanceBook
from airnode.classrecord.attendance_store import AttendanceStore
from airnode.config.sections.classes import ClassesSection
from airnode.errors import Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble

log = structlog.get_logger(__name__)

#: A node is dead after this many missed beats.
LEASE_BEATS = 3.0
_WATCHING_EVERY_S = 1.0
#: A node that stops waits this long for Redis; a master closes the rest.
_STOP_TIMEOUT_S = 3.0
#: Changes in one script, so that it does not block Redis for long.
_MOST = 500


class Watching(NamedTuple):
    """A viewer of a room on this node; ``seen_ago_s``: time since its last request, 0 with an open response."""

    user_id: str
    seen_ago_s: float


#: Returns {(room, session): viewer} of all students who watch on this node.
Viewing = Callable[[], Mapping[tuple[str, str], Watching]]


class AttendanceMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.present = Gauge(
            "airnode_attendance_present_connections", "Chat and media sessions of people here.", registry=registry
        )
        self.dropped = Counter(
            "airnode_attendance_dropped_total",
            "Intervals of attendance that were dropped, because Redis did not answer for long.",
            registry=registry,
        )


class AttendanceReporter(Service):
    """Keeps the book of this node, and a copy of it in Redis. Implements :class:`airnode.bus.classroom.AttendanceLog`.

    Args:
        outbox_entries: ``chat.outbox_entries``.
        member: id of this run of this node.
        viewing: the viewers of media on this node.
        metrics: None: not measured.
    """

    name = "attendance"

    def __init__(
        self,
        bus: Bus,
        section: ClassesSection,
        tasks: TaskScope,
        *,
        outbox_entries: int,
        member: str,
        viewing: Viewing = dict,
        metrics: AttendanceMetrics | None = None,
    ) -> None:
        super().__init__()
        self._book = AttendanceBook()
        self._store = AttendanceStore(bus, outbox_entries)
        self._beat_s = section.attendance_beat_s
        self._member = member
        self._viewing = viewing
        self._metrics = metrics
        self._tasks = tasks
        self._known = False
        self._flushing = asyncio.Lock()
        #: {(room, session): (viewer's id, unix ms when it was last seen)}, as of the last poll.
        self._viewers: dict[tuple[str, str], tuple[str, int]] = {}
        self.trouble = Trouble("attendance_not_reported", "attendance_reported_again")

    def joined(self, room: str, session: str, user: ClassUser, kind: AttendanceKind = "chat") -> None:
        """See :class:`airnode.bus.classroom.AttendanceLog`."""
        self._book.joined(room, session, user, kind, _now_ms())

    def left(self, room: str, session: str, kind: AttendanceKind = "chat") -> None:
        """See :class:`airnode.bus.classroom.AttendanceLog`."""
        self._book.left(room, session, kind, _now_ms())

    async def check(self) -> str:
        """Return a remark for ``/health``; raise Unavailable (503) while nothing can be reported."""
        self.trouble.check()
        return f"{len(self._book)} present"

    async def start(self) -> None:
        """Start to poll the viewers and to report."""
        self._tasks.spawn("watch", self._watch_loop())
        self._tasks.spawn("beat", self._beat_loop())

    async def stop(self) -> None:
        """Close all intervals: whoever was here leaves, to another node or for good."""
        await self._tasks.aclose()
        self._book.everybody_left(_now_ms())
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self.beat()
                if self._known:
                    await self._store.leave(self._member)
        except (Unavailable, TimeoutError) as error:
            log.warning("attendance_not_closed", error=str(error), then="a master closes it at the last report")

    async def _watch_loop(self) -> None:
        while True:
            self.poll_viewers()
            await asyncio.sleep(_WATCHING_EVERY_S)

    def poll_viewers(self) -> None:
        """Note which viewers came and left since the last poll."""
        now_ms, viewing = _now_ms(), self._viewing()
        seen = {key: (each.user_id, now_ms - round(each.seen_ago_s * 1000)) for key, each in viewing.items()}
        for (room, session), (user_id, seen_ms) in self._viewers.items():
            if seen.get((room, session), ("", 0))[0] != user_id:
                self._book.left(room, session, "media", seen_ms)
        for (room, session), (user_id, seen_ms) in seen.items():
            if (room, session) not in self._viewers:
                self._book.joined(room, session, ClassUser(user_id), "media", seen_ms)
        self._viewers = seen

    async def _beat_loop(self) -> None:
        while True:
            await asyncio.sleep(self._beat_s)
            try:
                await self.beat()
            except Unavailable as error:
                self.trouble.begin(error)
            else:
                self.trouble.end()

    async def beat(self) -> None:
        """Report what changed, and that this node is alive.

        Raises:
            Unavailable: Redis does not answer; the next beat reports it.
        """
        async with self._flushing:
            now_ms = _now_ms()
            self._book.update(await self._store.sessions(self._book.rooms()), now_ms)
            if not len(self._book) and not self._known and not self._book.changes(1).closed:
                return  # nobody was ever here
            while await self._send(now_ms):
                pass
        if self._metrics is not None:
            self._metrics.present.set(len(self._book))
            self._metrics.dropped.inc(self._book.dropped)
            self._book.dropped = 0

    async def _send(self, now_ms: int) -> bool:
        """Send some changes; return whether there may be more."""
        changes = self._book.changes(_MOST)
        lease_s = self._beat_s * LEASE_BEATS
        answer = await self._store.beat(self._member, changes, now_ms, lease_s, known=self._known)
        if answer < 0:
            self._known = True
            self._book.sent(changes)
            return len(changes.opened) + len(changes.closed) == _MOST
        log.warning("attendance_lease_lost", closed_at_ms=answer)
        self._known = False
        if answer:
            self._book.closed_by_master(answer)
        else:
            self._book.forgotten()
        return True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
