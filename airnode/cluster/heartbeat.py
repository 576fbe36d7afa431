"""A slave's heartbeat: it renews the lease in Redis and is published to the masters, or goes through a master."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

import airnode
from airnode.bus.client import Bus
from airnode.bus.messages import ChatCounts, ChatLoad, NodeOrder, NodeRecord, NodeStatus, Notice, Relayed, RoomChat
from airnode.cluster.api_types import HeartbeatAnswer, HeartbeatRequest
from airnode.cluster.node_registry import NodeRegistry
from airnode.cluster.reservations import Reservations
from airnode.config.sections.cluster import ClusterSection
from airnode.errors import Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.urls import url_host
from airnode.web.addresses import Addresses, PortName
from airnode.web.health import Identity
from airnode.web.master_client import CredentialRefused, MasterConnection

log = structlog.get_logger(__name__)

#: New viewers that wait for a heartbeat; more than these are dropped, and their reservations expire.
_NEWCOMERS_MAX = 10_000
#: Rooms that a heartbeat tells apart.
_CHAT_ROOMS_MAX = 50


@dataclass(frozen=True, slots=True)
class Meters:
    """The functions from which the heartbeat reads the load of the node.

    Attributes:
        viewers: {room: viewers here}. newcomers: sessions of viewers that connected since the last call.
        relays: {room: its source}, for rooms of other nodes. streams: number of rooms that are published here.
        sent_bytes: bytes sent to viewers since the start. cut_from: ids of origins that this node cannot reach.
        notices: what an operator should check.
        chat: what the chat counts.
    """

    viewers: Callable[[], Mapping[str, int]]
    newcomers: Callable[[], Sequence[str]]
    relays: Callable[[], Mapping[str, Relayed]]
    streams: Callable[[], int]
    sent_bytes: Callable[[], int]
    cut_from: Callable[[], list[str]]
    notices: Callable[[], list[Notice]]
    chat: Callable[[], ChatCounts] = ChatCounts


class HeartbeatClient:
    """Sends heartbeats to ``cluster.master_url`` with the cluster token."""

    def __init__(self, section: ClusterSection) -> None:
        self._master = MasterConnection(section.master_url, section.token.get_secret_value())

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatAnswer:
        """Send a heartbeat and return the answer.

        Raises:
            Unavailable: (503) no answer, or a refusal: the next heartbeat may be accepted.
        """
        try:
            return await self._master.post("/cluster/heartbeat", request, HeartbeatAnswer)
        except CredentialRefused as error:
            raise Unavailable(str(error)) from None


class Heartbeat(Service):
    """Reports to the cluster that this node is alive and what its load is, and follows the orders of admins.

    Args:
        rtmp_port: returns the port for publishers. publish_ports: see :class:`NodeRecord`.
        master: receives heartbeats when Redis cannot be reached; None: no master does.
    """

    name = "heartbeat"

    def __init__(
        self,
        bus: Bus,
        section: ClusterSection,
        identity: Identity,
        addresses: Addresses,
        *,
        rtmp_port: Callable[[], int],
        publish_ports: Mapping[str, int],
        meters: Meters,
        master: HeartbeatClient | None,
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self._registry = NodeRegistry(bus)
        self._reservations = Reservations(bus)
        self._section = section
        self._identity = identity
        self._addresses = addresses
        self._rtmp_port = rtmp_port
        self._publish_ports = dict(publish_ports)
        self._meters = meters
        self._master = master
        self._tasks = tasks
        self._draining = False
        self._through_master = False
        self._order: NodeOrder = ""
        self._reserved = 0
        self._newcomers: deque[str] = deque(maxlen=_NEWCOMERS_MAX)
        #: Monotonic seconds of the last heartbeat that was delivered.
        self._delivered_s = time.monotonic()
        #: (monotonic seconds, bytes sent until then) of the last heartbeat.
        self._sent = (time.monotonic(), 0)
        #: (monotonic seconds, what the chat had counted) of the last heartbeat.
        self._chatted = (time.monotonic(), ChatCounts())

    async def start(self) -> None:
        """Send the first heartbeat, then one every ``cluster.heartbeat_s``."""
        await self._beat()
        self._tasks.spawn("beat", repeat_every(self._section.heartbeat_s, self._beat, failed="heartbeat_missed"))

    async def announce_drain(self) -> None:
        """Report that no viewer should be sent here any more."""
        self._draining = True
        await self._beat()

    async def stop(self) -> None:
        """Leave the cluster: it forgets this node at once."""
        await self._tasks.aclose()
        try:
            await self._registry.leave(self._identity.node_id)
        except Unavailable as error:
            log.warning("node_lease_not_dropped", error=str(error))

    async def check(self) -> str | None:
        """Return a remark for ``/health``; raise LookupError if an admin removed this node."""
        if self._order == "removed":
            raise LookupError("an admin removed this node from the cluster; start it again to join again")
        if self._order == "drain":
            return "draining: an admin wants no new viewers here"
        return "through the master: Redis cannot be reached" if self._through_master else None

    async def check_beats(self) -> None:
        """Raise LookupError if no heartbeat was delivered within the lease: masters then send no new viewers."""
        silent_s = time.monotonic() - self._delivered_s
        if silent_s > self._section.lease_s:
            who = "Redis does not answer" if self._master is None else "neither Redis nor the master answers"
            raise LookupError(f"{who}: no heartbeat got through for {silent_s:.0f} s, no new viewers are sent here")

    def record(self) -> NodeRecord:
        """Return a heartbeat with the load of this node at this time."""
        rooms = dict(self._meters.viewers())
        viewers, sent_bps = sum(rooms.values()), self._sent_bps()
        limit = self._section.bandwidth_bps
        full = viewers >= self._section.max_connections or (limit is not None and sent_bps >= limit)
        status: NodeStatus = "overloaded" if full else "healthy"
        notices = self._meters.notices()
        return NodeRecord(
            node_id=self._identity.node_id,
            node_name=self._identity.node_name,
            # The admin's order is left out: masters read it from Redis, and would learn late from here that it ended.
            status="draining" if self._draining else status,
            host=url_host(self._addresses.host),
            scheme=self._addresses.scheme,
            media_port=self._addresses.ports[PortName.MEDIA],
            rtmp_port=self._rtmp_port(),
            publish_ports=self._publish_ports,
            current_connections=viewers,
            max_connections=self._section.max_connections,
            version=airnode.__version__,
            beat_at=time.time(),
            sent_bps=sent_bps,
            bandwidth_bps=limit,
            reserved=self._reserved,
            streams=self._meters.streams(),
            rooms={room: count for room, count in rooms.items() if count},
            alarms=[each.text for each in notices],
            notices=notices,
            cut_from=self._meters.cut_from(),
            relays=dict(self._meters.relays()),
            chat=self._chat_load(),
        )

    def _chat_load(self) -> ChatLoad:
        then_s, then = self._chatted
        now_s, now = time.monotonic(), self._meters.chat()
        self._chatted = (now_s, now)
        return chat_load(then, now, now_s - then_s)

    def _sent_bps(self) -> int:
        then_s, then = self._sent
        now_s, now = time.monotonic(), self._meters.sent_bytes()
        self._sent = (now_s, now)
        return round(8 * (now - then) / max(now_s - then_s, 0.1))

    async def _beat(self) -> None:
        """Send one heartbeat, through Redis or the master. Raises Unavailable (503) when neither answers."""
        if self._order == "removed":
            return
        self._newcomers.extend(self._meters.newcomers())
        arrived, record = list(self._newcomers), self.record()
        try:
            # Wait for half of the time until the lease ends, so that a heartbeat through the master still fits.
            async with asyncio.timeout(max(0.2, (self._section.lease_s - self._section.heartbeat_s) / 2)):
                order = await self._beat_redis(record, arrived)
        except (Unavailable, TimeoutError) as error:
            if self._master is None:
                raise Unavailable("Redis does not answer.", debug=repr(error)) from error
            answer = await self._master.heartbeat(HeartbeatRequest(record, arrived))
            order, self._reserved = answer.order, answer.reserved
            self._set_path(True)
        else:
            self._set_path(False)
        self._delivered_s = time.monotonic()
        for _ in arrived:
            self._newcomers.popleft()
        self._apply_order(order)

    async def _beat_redis(self, record: NodeRecord, arrived: Sequence[str]) -> NodeOrder:
        self._reserved = await self._reservations.release(record.node_id, arrived)
        return await self._registry.beat(replace(record, reserved=self._reserved), self._section.lease_s)

    def _set_path(self, through_master: bool) -> None:
        if through_master != self._through_master:
            self._through_master = through_master
            log.warning("heartbeat_through_master" if through_master else "heartbeat_through_redis_again")

    def _apply_order(self, order: NodeOrder) -> None:
        if order == self._order:
            return
        self._order = order
        if order == "removed":
            log.error("node_removed", detail="an admin removed this node from the cluster; it takes no more viewers")
        else:
            log.warning("node_order_changed", order=order or "none")

    def admits(self) -> bool:
        """Return whether new viewers may connect here."""
        return self._order != "removed" and not self._draining


def chat_load(then: ChatCounts, now: ChatCounts, elapsed_s: float) -> ChatLoad:
    """Return what a node's chat does, from what it had counted ``elapsed_s`` ago and what it has counted now."""
    elapsed_s = max(elapsed_s, 0.1)

    def said(room: str, newest: int) -> float:
        _, before = then.rooms.get(room, (0, newest))
        return round(max(0, newest - before) / elapsed_s, 1)

    fullest = sorted(now.rooms.items(), key=lambda each: -each[1][0])[:_CHAT_ROOMS_MAX]
    return ChatLoad(
        now.connections,
        round((now.delivered - then.delivered) / elapsed_s, 1),
        now.dropped,
        now.gaps,
        now.alone,
        {room: RoomChat(members, said(room, newest)) for room, (members, newest) in fullest},
        len(now.rooms),
    )
