"""All sessions of a gateway: their number, deadlines and speed."""

import asyncio
from collections import OrderedDict

import structlog
from prometheus_client import CollectorRegistry, Gauge

from airnode.chat.engineio.channels import CloseReason
from airnode.chat.engineio.limits import ChatLimits
from airnode.chat.engineio.session import EngineSession
from airnode.chat.engineio.timer_wheel import TimerWheel
from airnode.errors import Unavailable
from airnode.kernel.logging import LogLimiter
from airnode.kernel.meter import Meter
from airnode.kernel.tasks import TaskScope

log = structlog.get_logger(__name__)

_MAX_TICK_S = 0.1
_MIN_TICK_S = 0.01
_SPEED_CHECK_S = 1.0
#: A client that is not in a namespace after this time makes way for a new one when the node is full.
_PATIENCE_S = 2.0
#: That the node is full is logged this often: every refused client could cause a line.
_FULL_LOGGED_S = 10.0
#: So many clients are sent away at once when the node stops; their reconnects reach other nodes spread over time.
_DRAINED_AT_ONCE = 100
_DRAIN_PAUSE_S = 0.1


class ChatSessions:
    """The sessions by their sid, and one task for all their deadlines."""

    def __init__(self, limits: ChatLimits, tasks: TaskScope, registry: CollectorRegistry) -> None:
        self._limits = limits
        self._tasks = tasks
        self._sessions: dict[str, EngineSession] = {}
        #: Sessions that were in no namespace yet when last looked at, oldest first, with the loop time of their start.
        self._newcomers: OrderedDict[EngineSession, float] = OrderedDict()
        #: Sessions for which messages were dropped and that have not caught up.
        self._slow: set[EngineSession] = set()
        soonest_s = min(limits.ping_interval_s, limits.ping_timeout_s, limits.connect_timeout_s)
        self._tick_s = max(_MIN_TICK_S, min(_MAX_TICK_S, soonest_s / 10))
        self._wheel: TimerWheel | None = None
        self._is_draining = False
        self._full_log = LogLimiter(_FULL_LOGGED_S)
        connections = Gauge("airnode_chat_connections", "Clients of this node's chat", registry=registry)
        connections.set_function(self._count)
        self._closed = Meter("airnode_chat_disconnects_total", "Connections that ended", ("reason",), registry=registry)

    def _count(self) -> int:
        return len(self._sessions)

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, sid: str) -> EngineSession | None:
        """Return the session; None: this node does not have it."""
        return self._sessions.get(sid)

    async def start(self) -> None:
        """Begin to watch deadlines."""
        self._wheel = TimerWheel(self._tick_s, asyncio.get_running_loop().time())
        self._tasks.spawn("deadlines", self._watch())

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        checked_s = loop.time()
        while True:
            await asyncio.sleep(self._tick_s)
            now_s = loop.time()
            if self._wheel is not None:
                self._wheel.advance(now_s)
            if now_s - checked_s >= _SPEED_CHECK_S:
                checked_s = now_s
                self._slow = {session for session in list(self._slow) if session.check_speed(now_s)}

    def add(self, session: EngineSession) -> None:
        """Take a new session.

        Raises:
            Unavailable: (503) there are as many clients as there may be, or the node stops.
        """
        if self._is_draining or self._wheel is None:
            raise Unavailable("This node is shutting down.", retry_after_s=1)
        now_s = asyncio.get_running_loop().time()
        if len(self._sessions) >= self._limits.max_connections and not self._make_way(now_s):
            if (held_back := self._full_log.held_back(now_s=now_s)) is not None:
                log.warning(
                    "chat_full",
                    connections=len(self._sessions),
                    refused_since_the_last_line=held_back,
                    advice="raise chat.max_connections if the machine has memory left, or add a node",
                )
            raise Unavailable("This node has as many chat clients as it may have.", retry_after_s=5)
        self._sessions[session.sid] = session
        self._newcomers[session] = now_s
        self._wheel.add(session, min(session.connect_by_s, session.ping_at_s))

    def _make_way(self, now_s: float) -> bool:
        """Close the oldest session that is in no namespace, if it had time enough; return whether there was one."""
        while self._newcomers:
            session, since_s = next(iter(self._newcomers.items()))
            if not session.is_admitted:
                if now_s - since_s < _PATIENCE_S:
                    return False
                session.close(CloseReason.REPLACED)
                return True
            del self._newcomers[session]
        return False

    def ended(self, session: EngineSession) -> None:
        """A session ended."""
        self._newcomers.pop(session, None)
        self._slow.discard(session)
        if self._sessions.pop(session.sid, None) is not None and session.close_reason is not None:
            self._closed.add(1, session.close_reason)

    def dropped(self, session: EngineSession) -> None:
        """A message to everyone was dropped for this session, because it is slow."""
        if session.close_reason is not None:
            return
        if session.slow_since_s is None:
            session.slow_since_s = asyncio.get_running_loop().time()
            self._slow.add(session)

    async def drain(self) -> None:
        """Take no new session, and end all, some at a time."""
        self._is_draining = True
        while self._sessions:
            for session in list(self._sessions.values())[:_DRAINED_AT_ONCE]:
                session.close(CloseReason.SHUTTING_DOWN)
            await asyncio.sleep(_DRAIN_PAUSE_S)

    async def stop(self) -> None:
        """End all sessions at once."""
        self._is_draining = True
        for session in list(self._sessions.values()):
            session.close(CloseReason.SHUTTING_DOWN)
