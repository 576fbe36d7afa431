"""A slave's heartbeat: its lease in Redis, and a message to the masters each time."""

import asyncio
import time
from collections.abc import Callable

import structlog

import airnode
from airnode.bus.client import Bus
from airnode.bus.leases import Leases
from airnode.bus.messages import NODES, NodeRecord, NodeStatus
from airnode.config.model import ClusterSection
from airnode.errors import Unavailable
from airnode.runtime.role import PortName
from airnode.runtime.service import Service
from airnode.runtime.tasks import TaskScope
from airnode.web.addresses import Addresses, in_url
from airnode.web.health import Identity

log = structlog.get_logger(__name__)


class Heartbeat(Service):
    """Tells the cluster that this node is there and how full it is.

    Args:
        rtmp_port: where it takes publishers.
        viewers: how many of its places are taken.
    """

    name = "heartbeat"

    def __init__(
        self,
        bus: Bus,
        section: ClusterSection,
        identity: Identity,
        addresses: Addresses,
        rtmp_port: Callable[[], int],
        viewers: Callable[[], int],
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self._bus = bus
        self._leases = Leases(bus)
        self._section = section
        self._identity = identity
        self._addresses = addresses
        self._rtmp_port = rtmp_port
        self._viewers = viewers
        self._tasks = tasks
        self._draining = False

    async def start(self) -> None:
        """Join; the first beat is out when this returns."""
        await self._beat()
        self._tasks.spawn("beat", self._beat_for_ever())

    async def drain(self) -> None:
        """Say that no viewer should be sent here any more."""
        self._draining = True
        await self._beat()

    async def stop(self) -> None:
        """Leave."""
        await self._tasks.aclose()
        try:
            await self._leases.drop_lease(NODES, self._identity.node_id)
        except Unavailable as error:
            log.warning("node_lease_not_dropped", error=str(error))

    def record(self) -> NodeRecord:
        """What the cluster is told."""
        viewers = self._viewers()
        status: NodeStatus = "overloaded" if viewers >= self._section.max_connections else "healthy"
        return NodeRecord(
            node_id=self._identity.node_id,
            node_name=self._identity.node_name,
            status="draining" if self._draining else status,
            host=in_url(self._addresses.host),
            scheme=self._addresses.scheme,
            media_port=self._addresses.ports[PortName.MEDIA],
            rtmp_port=self._rtmp_port(),
            current_connections=viewers,
            max_connections=self._section.max_connections,
            version=airnode.__version__,
            beat_at=time.time(),
        )

    async def _beat(self) -> None:
        record = self.record()
        await self._leases.put_lease(NODES, record.node_id, record, self._section.lease_s)
        await self._bus.publish(NODES, record)

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._section.heartbeat_s)
            try:
                await self._beat()
            except Unavailable as error:
                log.warning("heartbeat_missed", error=str(error))
