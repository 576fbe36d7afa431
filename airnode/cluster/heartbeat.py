"""A slave's heartbeat: its lease in Redis, and a message to the masters each time; through a master without Redis."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

import airnode
from airnode.bus.client import Bus
from airnode.bus.messages import NodeOrder, NodeRecord, NodeStatus, Notice, Relayed
from airnode.cluster.api_types import HeartbeatRequest
from airnode.cluster.heartbeat_client import HeartbeatClient
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

log = structlog.get_logger(__name__)

#: Newcomers that wait for a beat that gets through; older ones are let go, their reservations end by themselves.
_NEWCOMERS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Meters:
    """Where the heartbeat reads how full the node is.

    Attributes:
        viewers: {room: viewers here}. newcomers: sessions of viewers that showed up since it was asked last.
        relays: {room: from where}, for rooms of other nodes. streams: rooms that are published here.
        sent_bytes: sent to viewers since the start. cut_from: ids of nodes whose rooms do not get through to here.
        notices: what somebody should look at.
    """

    viewers: Callable[[], Mapping[str, int]]
    newcomers: Callable[[], Sequence[str]]
    relays: Callable[[], Mapping[str, Relayed]]
    streams: Callable[[], int]
    sent_bytes: Callable[[], float]
    cut_from: Callable[[], list[str]]
    notices: Callable[[], list[Notice]]


class Heartbeat(Service):
    """Tells the cluster that this node is there and how full it is; hears what an admin wants of it.

    Args:
        rtmp_port: where it takes publishers.
        master: whom to tell when Redis cannot be reached; None: nobody.
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
        self._meters = meters
        self._master = master
        self._tasks = tasks
        self._draining = False
        self._detoured = False
        self._order: NodeOrder = ""
        self._reserved = 0
        self._newcomers: deque[str] = deque(maxlen=_NEWCOMERS_MAX)
        #: Monotonic seconds of the last beat that got through.
        self._through_s = time.monotonic()
        #: (monotonic seconds, bytes sent by then) of the last beat.
        self._sent = (time.monotonic(), 0.0)

    async def start(self) -> None:
        """Join; the first beat is out when this returns."""
        await self._beat()
        self._tasks.spawn("beat", repeat_every(self._section.heartbeat_s, self._beat, failed="heartbeat_missed"))

    async def announce_drain(self) -> None:
        """Say that no viewer should be sent here any more."""
        self._draining = True
        await self._beat()

    async def stop(self) -> None:
        """Leave: the cluster forgets this node at once."""
        await self._tasks.aclose()
        try:
            await self._registry.leave(self._identity.node_id)
        except Unavailable as error:
            log.warning("node_lease_not_dropped", error=str(error))

    async def check(self) -> str | None:
        """The health check: whether the cluster has us."""
        if self._order == "removed":
            raise LookupError("an admin removed this node from the cluster; start it again to join again")
        if self._order == "drain":
            return "draining: an admin wants no new viewers here"
        return "through the master: Redis cannot be reached" if self._detoured else None

    async def check_beats(self) -> None:
        """The health check: whether masters hear us. Viewers who are here stay; new ones are not sent."""
        silent_s = time.monotonic() - self._through_s
        if silent_s > self._section.lease_s:
            who = "Redis does not answer" if self._master is None else "neither Redis nor the master answers"
            raise LookupError(f"{who}: no heartbeat got through for {silent_s:.0f} s, no new viewers are sent here")

    def record(self) -> NodeRecord:
        """What the cluster is told."""
        rooms = dict(self._meters.viewers())
        viewers, sent_bps = sum(rooms.values()), self._sent_bps()
        limit = self._section.bandwidth_bps
        full = viewers >= self._section.max_connections or (limit is not None and sent_bps >= limit)
        status: NodeStatus = "overloaded" if full else "healthy"
        notices = self._meters.notices()
        return NodeRecord(
            node_id=self._identity.node_id,
            node_name=self._identity.node_name,
            # An admin's order is not said again here: masters know it, and would learn late that it was taken back.
            status="draining" if self._draining else status,
            host=url_host(self._addresses.host),
            scheme=self._addresses.scheme,
            media_port=self._addresses.ports[PortName.MEDIA],
            rtmp_port=self._rtmp_port(),
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
        )

    def _sent_bps(self) -> int:
        then_s, then = self._sent
        now_s, now = time.monotonic(), self._meters.sent_bytes()
        self._sent = (now_s, now)
        return round(8 * (now - then) / max(now_s - then_s, 0.1))

    async def _beat(self) -> None:
        """One beat, through Redis or through the master; Unavailable (503) when neither answers."""
        if self._order == "removed":
            return
        self._newcomers.extend(self._meters.newcomers())
        seen, record = list(self._newcomers), self.record()
        try:
            # Half of what the lease leaves, so that there is time for the other way.
            async with asyncio.timeout(max(0.2, (self._section.lease_s - self._section.heartbeat_s) / 2)):
                order = await self._beat_redis(record, seen)
        except (Unavailable, TimeoutError) as error:
            if self._master is None:
                raise Unavailable("Redis does not answer.", debug=repr(error)) from error
            answer = await self._master.heartbeat(HeartbeatRequest(record, seen))
            order, self._reserved = answer.order, answer.reserved
            self._detour(True)
        else:
            self._detour(False)
        self._through_s = time.monotonic()
        for _ in seen:
            self._newcomers.popleft()
        self._obey(order)

    async def _beat_redis(self, record: NodeRecord, seen: Sequence[str]) -> NodeOrder:
        self._reserved = await self._reservations.seen(record.node_id, seen)
        return await self._registry.beat(replace(record, reserved=self._reserved), self._section.lease_s)

    def _detour(self, detoured: bool) -> None:
        if detoured != self._detoured:
            self._detoured = detoured
            log.warning("heartbeat_through_master" if detoured else "heartbeat_through_redis_again")

    def _obey(self, order: NodeOrder) -> None:
        if order == self._order:
            return
        self._order = order
        if order == "removed":
            log.error("node_removed", detail="an admin removed this node from the cluster; it takes no more viewers")
        else:
            log.warning("node_order_changed", order=order or "none")

    def admits(self) -> bool:
        """Whether new viewers may come in here."""
        return self._order != "removed" and not self._draining
