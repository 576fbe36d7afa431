"""The master's view of the nodes, and the places that it assigns.

Masters have no state of their own: nodes, orders and reservations are in Redis. The view is read from there, updated
with what nodes and masters publish, and read again every two seconds (:class:`LeasedView`).
"""

import asyncio
import random
import time
from collections.abc import Collection, Mapping

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from airnode.bus.client import Bus
from airnode.bus.leased_records import LeasedRecords, RecordChange, RecordRules
from airnode.bus.leased_view import LeasedView
from airnode.bus.messages import NODES, PLACES, NodeLeft, NodeOrdered, NodeRecord, Placed
from airnode.cluster.node_registry import NodeRegistry
from airnode.cluster.placement import NodeHealth, Placement
from airnode.cluster.reservations import Reservations
from airnode.config.sections.cluster import ClusterSection
from airnode.errors import NoHealthyNodes, Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

log = structlog.get_logger(__name__)

#: Reservations are collected for this long before they are published to the other masters.
_PUBLISH_DELAY_S = 0.02
#: A request for a token waits at most this long for Redis; after that only this master counts the place.
_RESERVE_TIMEOUT_S = 0.5
_ATTEMPTS = 5
#: Each open page needs the viewers of its room about once a second; they are added up at most this often.
_WATCHED_S = 0.5


class NodeMetrics:
    """Metrics of the cluster, from the view of one master."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.nodes = Gauge("airnode_cluster_nodes", "Nodes by how they are", ["status"], registry=registry)
        self.placements = Counter("airnode_cluster_placements_total", "Places given away", registry=registry)
        self.refused = Counter("airnode_cluster_placements_refused_total", "No place was left", registry=registry)
        self.unreserved = Counter(
            "airnode_cluster_places_unreserved_total", "Places that could not be reserved in Redis", registry=registry
        )
        self.seconds = Histogram(
            "airnode_cluster_placement_seconds",
            "Time to give a place away",
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5),
            registry=registry,
        )


class NodeStates(Service):
    """Holds the view, and assigns nodes to viewers and publishers."""

    name = "node-states"

    def __init__(self, bus: Bus, section: ClusterSection, tasks: TaskScope, registry: CollectorRegistry) -> None:
        super().__init__()
        self.registry = NodeRegistry(bus)
        self._bus = bus
        self._reservations = Reservations(bus)
        self._section = section
        self._tasks = tasks
        self._metrics = NodeMetrics(registry)
        #: The last heartbeat of each node that has a lease.
        self._beats: LeasedRecords[NodeRecord] = LeasedRecords(
            RecordRules(key=lambda record: record.node_id, lease_is_report=True)
        )
        self._beats_view = LeasedView(
            bus,
            self._beats,
            tasks,
            group=NODES,
            kind=NodeRecord,
            failed="node_board_not_synced",
            on_change=self._beat_changed,
            after_sync=self._sync,
            handlers={NodeOrdered: self._receive_order, NodeLeft: self._receive_leave},
        )
        self._placement = Placement(random.Random(), section.lease_s)  # noqa: S311 - spreads load, guards nothing
        #: {node_id: its last heartbeat}, also of offline nodes until they are forgotten.
        self._last_records: dict[str, NodeRecord] = {}
        self._watched: Mapping[str, Mapping[str, int]] = {}
        self._watched_s = float("-inf")
        #: {node_id: reserved places}, not published to the other masters yet.
        self._pending: dict[str, int] = {}
        self._has_pending = asyncio.Event()

    async def start(self) -> None:
        """Subscribe, and read what Redis has."""
        await self._bus.subscribe(PLACES, Placed, self._receive_placed)
        await self._beats_view.start()
        self._tasks.spawn("publish", self._publish_pending())

    async def stop(self) -> None:
        await self._tasks.aclose()

    # -- the view -----------------------------------------------------------------------------------------------------

    def nodes(self) -> dict[str, NodeRecord]:
        """Return {node_id: last heartbeat} of the nodes that sent one within the lease."""
        return self._placement.fresh(time.monotonic())

    def watched(self) -> Mapping[str, Mapping[str, int]]:
        """Return {room: {node_id: viewers there}}, at most ``_WATCHED_S`` old."""
        now_s = time.monotonic()
        if now_s - self._watched_s > _WATCHED_S:
            watched: dict[str, dict[str, int]] = {}
            for node_id, node in self.nodes().items():
                for room, count in node.rooms.items():
                    watched.setdefault(room, {})[node_id] = count
            self._watched, self._watched_s = watched, now_s
        return self._watched

    def health(self, node_id: str) -> NodeHealth:
        """Return the health of a node."""
        return self._placement.health(node_id, time.monotonic())

    def known(self) -> list[tuple[NodeRecord, NodeHealth, int]]:
        """Return each node that is not forgotten, its health and its number of reserved places, sorted by name."""
        now_s = time.monotonic()
        records = {**self._last_records, **self._placement.fresh(now_s)}
        found = [
            (record, self._placement.health(node_id, now_s), self._placement.promised(node_id))
            for node_id, record in records.items()
        ]
        return sorted(found, key=lambda each: (each[0].node_name, each[0].node_id))

    # -- assigning ----------------------------------------------------------------------------------------------------

    async def place_viewer(self, session: str, avoid: Collection[str] = ()) -> NodeRecord:
        """Return a node, with a place there that is reserved for the viewer for ``cluster.reservation_s``.

        Args:
            avoid: ids of nodes that failed the viewer; they are taken only if there is no other.

        Raises:
            NoHealthyNodes: (503) there is no node, or all are full or shutting down.
        """
        with self._metrics.seconds.time():
            for _ in range(_ATTEMPTS):
                try:
                    node = self._placement.place(time.monotonic(), avoid)
                except NoHealthyNodes:
                    self._metrics.refused.inc()
                    raise
                if await self._reserve(session, node.node_id):
                    self._metrics.placements.inc()
                    return node
        self._metrics.refused.inc()
        raise NoHealthyNodes("No healthy nodes available: all are full", retry_after_s=1)

    def cut_off_from(self, origin: str | None) -> list[str]:
        """Return the ids of nodes that cannot reach that origin, so that viewers of its rooms go elsewhere."""
        return self._placement.cut_off_from(origin)

    def place_publisher(self, origin: str | None, avoid: Collection[str] = (), *, silent: bool = False) -> NodeRecord:
        """Return the room's origin while it has a lease, else the least loaded node.

        Args:
            silent: the origin has missed its reports, so that any other node is better.

        Raises:
            NoHealthyNodes: (503) there is no node, or all are full or shutting down.
        """
        if origin is not None and (silent or origin in avoid):
            avoid, origin = {*avoid, origin}, None
        return self._placement.best(time.monotonic(), origin, avoid)

    async def _reserve(self, session: str, node_id: str) -> bool:
        """Return whether the held place is reserved in Redis now; False: another master took the last one."""
        granted, count = True, None
        free = self._placement.free_places(node_id)
        try:
            async with asyncio.timeout(_RESERVE_TIMEOUT_S):
                granted, count = await self._reservations.reserve(session, node_id, self._section.reservation_s, free)
        except (Unavailable, TimeoutError):
            self._metrics.unreserved.inc()
        finally:
            self._placement.confirm(node_id, count)
        if count is not None:
            self._pending[node_id] = count
            self._has_pending.set()
        return granted

    # -- updating the view --------------------------------------------------------------------------------------------

    def _beat_changed(self, change: RecordChange[NodeRecord]) -> None:
        # A node without a lease stays in the list of known nodes, as offline.
        if change.after is not None:
            self._last_records[change.key] = change.after
            self._placement.update_node(change.after, time.monotonic())

    def _remove(self, node_id: str) -> None:
        self._beats.drop(node_id)
        self._last_records.pop(node_id, None)
        self._placement.remove(node_id)

    async def _receive_order(self, message: NodeOrdered) -> None:
        log.info("node_ordered", node_id=message.node_id, order=message.order or "none")
        if message.order == "removed":
            self._remove(message.node_id)
        else:
            self._placement.set_drained(message.node_id, on=message.order == "drain")

    async def _receive_leave(self, message: NodeLeft) -> None:
        log.info("node_left", node_id=message.node_id)
        self._remove(message.node_id)

    async def _receive_placed(self, message: Placed) -> None:
        self._placement.raise_reserved(message.counts)

    async def _publish_pending(self) -> None:
        while True:
            await self._has_pending.wait()
            await asyncio.sleep(_PUBLISH_DELAY_S)
            self._has_pending.clear()
            counts, self._pending = self._pending, {}
            try:
                await self._bus.publish(PLACES, Placed(counts))
            except Unavailable:
                continue  # the other masters read the counts from Redis with their next sync

    async def _sync(self) -> None:
        """Read what Redis has besides the leases: last heartbeats, orders and reservations."""
        stored, orders = await self.registry.records_and_orders()
        counts = await self._reservations.counts()
        now_s = time.monotonic()
        self._last_records = stored | {record.node_id: record for record in self._beats}
        for node_id in [each for each in self._placement.fresh(now_s) if orders.get(each) == "removed"]:
            self._remove(node_id)
        self._placement.set_drained_nodes(node_id for node_id, order in orders.items() if order == "drain")
        self._placement.set_reserved(counts)
        await self._forget_offline()
        self._update_metrics()

    async def _forget_offline(self) -> None:
        oldest = time.time() - self._section.remember_s
        online = self.nodes()
        expired = [
            node_id
            for node_id, record in self._last_records.items()
            if record.beat_at < oldest and node_id not in online
        ]
        if expired:
            await self.registry.forget(expired)
            for node_id in expired:
                self._remove(node_id)

    def _update_metrics(self) -> None:
        totals: dict[str, int] = dict.fromkeys(("healthy", "draining", "overloaded", "offline"), 0)
        for _, health, _ in self.known():
            totals[health] += 1
        for status, count in totals.items():
            self._metrics.nodes.labels(status).set(count)
