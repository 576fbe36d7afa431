"""All sessions of a gateway: their number, deadlines and speed."""

import asyncio
from collections.abc import Iterable

import structlog
from prometheus_client import CollectorRegistry, Gauge

from airnode.chat.engineio.channels import CloseReason
from airnode.chat.engineio.limits import ChatLimits
from airnode.chat.engineio.session import EngineSession
from airnode.chat.engineio.timer_wheel import TimerWheel
from airnode.chat.engineio.wire_errors import LimitError
from airnode.errors import RateLimited, Unavailable
from airnode.kernel.logging import LogLimiter
from airnode.kernel.meter import Meter
from airnode.kernel.tasks import TaskScope

log = structlog.get_logger(__name__)

_MAX_TICK_S = 0.1
_MAX_IDLE_TICK_S = 1.0
_MIN_TICK_S = 0.01
_SPEED_CHECK_S = 1.0
#: A client that is not in a namespace after this time makes way for a new one when the node is full.
_PATIENCE_S = 2.0
#: That the node is full is logged this often: every refused client could cause a line.
_FULL_LOGGED_S = 10.0
_ADVICE = {
    "max_connections": "raise it if the machine has memory left, or add a node",
    "max_connections_per_network": "raise it if so many people are behind this address; if it is that of your proxy, "
    "name it in http.trusted_proxies",
    "max_strangers_per_network": "somebody opens connections and sends no token; if it is the address of your proxy, "
    "name it in http.trusted_proxies",
}
#: So many clients are sent away at once when the node stops; their reconnects reach other nodes spread over time.
_DRAINED_AT_ONCE = 100
_DRAIN_PAUSE_S = 0.1


class _Network:
    """The clients of one network: their number, and those that are in no namespace yet, oldest first."""

    __slots__ = ("clients", "name", "strangers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.clients = 0
        self.strangers: dict[EngineSession, None] = {}


class ChatSessions:
    """The sessions by their sid, and one task for all their deadlines.

    Who is in no namespace yet, a stranger, makes way for others, so that nobody can fill a node without a token.
    """

    def __init__(self, limits: ChatLimits, tasks: TaskScope, registry: CollectorRegistry) -> None:
        self._limits = limits
        self._tasks = tasks
        self._sessions: dict[str, EngineSession] = {}
        #: Sessions that are in no namespace yet, oldest first, with the loop time of their start.
        self._strangers: dict[EngineSession, float] = {}
        #: {network: its clients}, of those with clients.
        self._networks: dict[str, _Network] = {}
        #: Sessions for which messages were dropped and that have not caught up.
        self._slow: set[EngineSession] = set()
        soonest_s = min(limits.ping_interval_s, limits.ping_timeout_s, limits.connect_timeout_s)
        self._tick_s = max(_MIN_TICK_S, min(_MAX_TICK_S, soonest_s / 10))
        #: Without clients, deadlines are looked at less often; the first one's may be late by so much.
        self._idle_tick_s = max(self._tick_s, min(_MAX_IDLE_TICK_S, soonest_s / 5))
        self._wheel: TimerWheel | None = None
        self._is_draining = False
        self._full_log = LogLimiter(_FULL_LOGGED_S)
        connections = Gauge("airnode_chat_connections", "Clients of this node's chat", registry=registry)
        connections.set_function(self._count)
        self._reached = Meter(
            "airnode_chat_limits_reached_total",
            "How often connections reached a limit of the section chat, by its key",
            ("limit",),
            registry=registry,
        )
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
            await asyncio.sleep(self._tick_s if self._sessions else self._idle_tick_s)
            now_s = loop.time()
            if self._wheel is not None:
                self._wheel.advance(now_s)
            if now_s - checked_s >= _SPEED_CHECK_S:
                checked_s = now_s
                self._slow = {session for session in list(self._slow) if session.check_speed(now_s)}

    def open(self, sid: str, network: str) -> EngineSession:
        """Begin a session.

        Args:
            network: of the client; empty: it is counted with none.

        Raises:
            Unavailable: (503) there are as many clients as there may be, or the node stops.
            RateLimited: (429) there are as many of this network.
        """
        if self._is_draining or self._wheel is None:
            raise Unavailable("This node is shutting down.", retry_after_s=1)
        now_s = asyncio.get_running_loop().time()
        if network:
            self._require_place_of(network, now_s)
        if len(self._sessions) >= self._limits.max_connections and not self._make_way(self._strangers, now_s):
            self._full("max_connections", "")
            raise Unavailable(
                "This node has as many chat clients as it may have (chat.max_connections).", retry_after_s=5
            )
        place = self._networks.get(network) or _Network(network)
        session = EngineSession(sid, self._limits, now_s, self, place.name)
        self._sessions[sid] = session
        self._strangers[session] = now_s
        if network:
            self._networks[place.name] = place
            place.clients += 1
            place.strangers[session] = None
        self._wheel.add(session, min(session.connect_by_s, session.ping_at_s))
        return session

    def _require_place_of(self, network: str, now_s: float) -> None:
        """Make a place for one more client of a network.

        Raises:
            RateLimited: (429) there is none.
        """
        found = self._networks.get(network)
        if found is None:
            return
        if len(found.strangers) >= self._limits.max_strangers_per_network:
            self._full("max_strangers_per_network", network)
            next(iter(found.strangers)).close(CloseReason.REPLACED, "too many clients (chat.max_strangers_per_network)")
        if found.clients >= self._limits.max_connections_per_network and not self._make_way(found.strangers, now_s):
            self._full("max_connections_per_network", network)
            raise RateLimited(
                "Your network has as many chat clients as it may have (chat.max_connections_per_network).",
                retry_after_s=5,
            )

    def _make_way(self, strangers: Iterable[EngineSession], now_s: float) -> bool:
        """Close the oldest stranger, if it had time enough; return whether there was one."""
        oldest = next(iter(strangers), None)
        if oldest is None or now_s - self._strangers[oldest] < _PATIENCE_S:
            return False
        oldest.close(CloseReason.REPLACED)
        return True

    def _full(self, limit: str, network: str) -> None:
        """Count and log that a limit of connections was reached."""
        self.reached(limit)
        if (held_back := self._full_log.held_back(f"{limit} {network}")) is not None:
            log.warning(
                "chat_full",
                limit=f"chat.{limit}",
                network=network,
                connections=len(self._sessions),
                held_back_since_the_last_line=held_back,
                advice=_ADVICE[limit],
            )

    def reached(self, limit: str) -> None:
        """Count that a connection reached a limit."""
        self._reached.add(1, limit)

    def too_large(self) -> LimitError:
        """Count a message of another node's session that is too large, and return the error."""
        self.reached("max_payload_bytes")
        return LimitError("max_payload_bytes", f"a message above {self._limits.max_payload_bytes} bytes")

    def admitted(self, session: EngineSession) -> None:
        """A session is in its first namespace."""
        self._strangers.pop(session, None)
        if (network := self._networks.get(session.network)) is not None:
            network.strangers.pop(session, None)

    def ended(self, session: EngineSession) -> None:
        """A session ended."""
        self.admitted(session)
        self._slow.discard(session)
        if self._sessions.pop(session.sid, None) is None:
            return
        if (network := self._networks.get(session.network)) is not None:
            network.clients -= 1
            if not network.clients:
                del self._networks[session.network]
        if session.close_reason is not None:
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
