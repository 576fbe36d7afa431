"""The rooms that this node pulls from other nodes while somebody watches them here (docs/adr/0008, 0009).

If an origin reports to the cluster but does not answer this node, this node is cut off from it: viewers are redirected
to nodes that reach the origin. This node reports the origin to the masters, and retries until it answers again. The
same happens if the origin has no place for this node and none of its edges can be reached.
"""

import asyncio
import time
from collections.abc import Callable

import aiohttp
import structlog
from prometheus_client import CollectorRegistry

from airnode.bus.messages import Relayed
from airnode.config.sections.relay import RelaySection
from airnode.errors import Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.media.relay.reachability import NodeReachability
from airnode.media.relay.relayed_room import RelayedRoom
from airnode.media.relay.tiers import SECOND, EdgeNode, UpstreamNode
from airnode.media.relay.upstream import NodeToken, RelayMetrics, UpstreamAccess, UpstreamClient, connector
from airnode.media.room.origins import Origins
from airnode.media.room.rooms import Rooms
from airnode.media.room.watchable import WatchableRoom

log = structlog.get_logger(__name__)

_SWEEP_S = 0.5
#: An origin reports each second. After this time without a report, the origin itself may be dead.
_REPORT_TIMEOUT_S = 3.0


class Relays(Service):
    """The rooms that this node serves: its own rooms, and rooms of other nodes while somebody watches them here.

    Args:
        node_id: of this node.
        sign: returns a credential for a room and a tier.
    """

    name = "relays"

    def __init__(
        self,
        rooms: Rooms,
        origins: Origins,
        section: RelaySection,
        registry: CollectorRegistry,
        *,
        node_id: str,
        sign: Callable[[str, int], str],
        viewer_window_s: float,
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self._reachability = NodeReachability(section.lost_after_s)
        self._no_place_after_s = 2 * section.lost_after_s
        self._own = rooms
        self._origins = origins
        self._section = section
        self._sign = sign
        self._metrics = RelayMetrics(registry)
        self._access = UpstreamAccess(node_id, self._upstream, self._upstream_node, self._metrics)
        self._viewer_window_s = viewer_window_s
        self._tasks = tasks
        self._session: aiohttp.ClientSession | None = None
        #: {room name: the room}, for rooms of other nodes that are watched here.
        self._relayed: dict[str, RelayedRoom] = {}
        origins.on_change(self._origin_changed)
        origins.keep_while(self._is_received)

    @property
    def draining(self) -> bool:
        """Return whether the node is shutting down."""
        return self._own.draining

    def get(self, name: str) -> WatchableRoom | None:
        """Return the room; None: no node publishes it."""
        own = self._own.get(name)
        if own is not None:
            return own
        return self._relayed.get(name) or self._open(name)

    def relayed(self, name: str) -> RelayedRoom | None:
        """Return the room; None: it is not pulled from another node."""
        return self._relayed.get(name)

    def relays(self) -> dict[str, Relayed]:
        """Return {room: the node that it is pulled from, and this node's tier}, for the heartbeat."""
        return {name: Relayed(room.upstream_node.node_id, room.tier) for name, room in self._relayed.items()}

    def all(self) -> list[WatchableRoom]:
        """Return this node's own rooms and the relayed ones."""
        return [*self._own.all(), *self._relayed.values()]

    def viewers(self) -> dict[str, int]:
        """Return {room: number of its viewers on this node}."""
        now_s = _now_s()
        return {room.name: room.viewers.count(now_s) for room in self.all()}

    def watching(self) -> dict[tuple[str, str], tuple[str, float]]:
        """Return {(room, session): (id of its user, seconds since it was last seen)}, of the viewers on this node."""
        now_s = _now_s()
        return {
            (room.name, session_id): user
            for room in self.all()
            for session_id, user in room.viewers.users(now_s).items()
        }

    def watching_users(self) -> dict[str, set[str]]:
        """Return {room: ids of those who watch it on this node}, without rooms that nobody watches."""
        found: dict[str, set[str]] = {}
        for (room, _), (user_id, _) in self.watching().items():
            found.setdefault(room, set()).add(user_id)
        return found

    def newcomers(self) -> list[str]:
        """Return the sessions that are new since the last call."""
        return [session for room in self.all() for session in room.viewers.newcomers()]

    def unreachable_origins(self) -> list[str]:
        """Return the origins that report to the cluster but do not answer this node."""
        return sorted({room.origin_id for room in self._relayed.values() if room.origin_unreachable})

    async def start(self) -> None:
        """Open the HTTP session, and start the sweep of the rooms."""
        self._session = aiohttp.ClientSession(connector=connector())
        self._tasks.spawn("sweep", repeat_every(_SWEEP_S, self._sweep, failed="relay_sweep_failed"))

    async def drain(self) -> None:
        """Answer the waiting requests, so that their players try another node."""
        for room in self._relayed.values():
            room.waiters.wake()
            room.live.end()

    async def stop(self) -> None:
        """Close all rooms and connections."""
        for room in list(self._relayed.values()):
            self._close(room)
        await self._tasks.aclose()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self, name: str) -> RelayedRoom | None:
        origin = self._origins.table.origin(name)
        if origin is None or self._session is None or self.draining:
            return None
        room = self._relayed[name] = RelayedRoom(
            name,
            origin,
            self._access,
            feed=self._own.new_feed,
            has_ended=lambda: self._is_over(name),
            viewer_window_s=self._viewer_window_s,
            max_bytes=self._section.room_max_bytes,
            tasks=self._tasks,
        )
        log.info("relay_opened", room=name, origin=origin.node_id)
        self._metrics.rooms.set(len(self._relayed))
        return room

    def _upstream(self, room: str, upstream_node: UpstreamNode) -> UpstreamClient:
        if self._session is None:
            raise Unavailable("This node is shutting down.", retry_after_s=1)
        token = NodeToken(lambda: self._sign(room, upstream_node.tier))
        return UpstreamClient(self._session, token, self._metrics, self._reachability, room, upstream_node)

    def _upstream_node(self, edge: EdgeNode) -> UpstreamNode:
        return UpstreamNode(edge.node_id, self._origins.table.base_url(edge.scheme, edge.host, edge.port), SECOND)

    def _is_over(self, name: str) -> bool:
        state = self._origins.table.state(name)
        return state is None or state.phase == "ended"

    def _origin_changed(self, name: str) -> None:
        origin = self._origins.table.origin(name)
        own = self._own.get(name)
        if own is not None and origin is not None and origin.epoch > own.epoch:
            self._own.lose(own, origin.node_id)
        room = self._relayed.get(name)
        if room is None:
            return
        if origin is None:
            self._close(room)
        else:
            self._metrics.moves.inc()
            room.change_origin(origin)

    def _close(self, room: RelayedRoom) -> None:
        room.close()
        self._relayed.pop(room.name, None)
        self._metrics.rooms.set(len(self._relayed))
        log.info("relay_closed", room=room.name)

    async def _sweep(self) -> None:
        """Find the origins that do not answer, close the rooms that nobody watches, and update the gauges."""
        now_s = _now_s()
        for room in list(self._relayed.values()):
            room.set_origin_unreachable(self._is_cut_off(room, now_s))
            if room.idle and not room.viewers.count(now_s):
                self._close(room)
        self._metrics.unreachable.set(sum(room.origin_unreachable for room in self._relayed.values()))
        self._metrics.window_bytes.set(sum(room.window.media_bytes for room in self._relayed.values()))

    def _is_received(self, name: str) -> bool:
        room = self._relayed.get(name)
        return room is not None and _now_s() - room.last_media_s < _REPORT_TIMEOUT_S

    def _is_cut_off(self, room: RelayedRoom, now_s: float) -> bool:
        if now_s - self._origins.table.last_report_s(room.name) >= _REPORT_TIMEOUT_S:
            return False
        return (
            self._reachability.lost(room.origin_id, time.monotonic())
            or room.without_place_s(now_s) > self._no_place_after_s
        )


def _now_s() -> float:
    return asyncio.get_running_loop().time()
