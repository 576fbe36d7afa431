"""Keeps the sessions of classes, and closes the attendance of dead nodes. Every master does both."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import structlog

from airnode.bus.client import Bus
from airnode.bus.messages import RoomPhase
from airnode.classrecord.attendance_store import AttendanceStore
from airnode.classrecord.sessions import ClassSessions
from airnode.config.sections.classes import ClassesSection
from airnode.errors import Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble

log = structlog.get_logger(__name__)

_EVERY_S = 1.0
#: Longest time between two searches for sessions that are over and for dead nodes. Both end when they were last seen.
_SEARCH_EVERY_S = 5.0


class RoomOnAir(NamedTuple):
    """A room that has a stream or waits for its publisher; ``since``: unix seconds at which the phase began."""

    room: str
    phase: RoomPhase
    since: float


class SessionTracker(Service):
    """Follows the rooms once a second, and ends what is over a few seconds later.

    Args:
        outbox_entries: ``chat.outbox_entries``.
        rooms: the rooms that are on air, as this master sees them.
    """

    name = "class-sessions"

    def __init__(
        self,
        bus: Bus,
        section: ClassesSection,
        tasks: TaskScope,
        *,
        outbox_entries: int,
        rooms: Callable[[], Iterable[RoomOnAir]],
    ) -> None:
        super().__init__()
        self._rooms = rooms
        self._sessions = ClassSessions(bus, outbox_entries, section.session_gap_s)
        self._attendance = AttendanceStore(bus, outbox_entries)
        self._tasks = tasks
        self._search_every_s = min(_SEARCH_EVERY_S, section.session_gap_s / 4, section.attendance_beat_s / 2)
        self._searched_s = float("-inf")
        self.trouble = Trouble("class_sessions_not_kept", "class_sessions_kept_again")

    async def check(self) -> None:
        """Raise Unavailable (503) while sessions cannot be kept, for ``/health``."""
        self.trouble.check()

    async def start(self) -> None:
        self._tasks.spawn("follow", repeat_every(_EVERY_S, self._follow, failed="class_sessions_failed"))

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def _follow(self) -> None:
        try:
            await self.follow()
        except Unavailable as error:
            self.trouble.begin(error)
        else:
            self.trouble.end()

    async def follow(self) -> None:
        """Begin and continue sessions. From time to time, end those that are over, and close what dead nodes left open.

        Raises:
            Unavailable: Redis does not answer. Sessions are continued when it answers again.
        """
        now_ms = time.time_ns() // 1_000_000
        for each in self._rooms():
            since_ms = round(each.since * 1000)
            if each.phase == "live" and await self._sessions.live(each.room, since_ms, now_ms):
                log.info("session_began", room=each.room)
            elif each.phase == "reconnecting":
                await self._sessions.live(each.room, since_ms, since_ms, begins=False)
        now_s = asyncio.get_running_loop().time()
        if now_s - self._searched_s >= self._search_every_s:
            await self._end_over(now_ms)
            self._searched_s = now_s

    async def _end_over(self, now_ms: int) -> None:
        for room in await self._sessions.end_over(now_ms):
            log.info("session_ended", room=room)
        for member, count in (await self._attendance.close_dead()).items():
            log.info("attendance_closed", member=member, intervals=count, detail="its node stopped without saying so")
