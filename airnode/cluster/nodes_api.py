"""``/cluster``: nodes send heartbeats, and are listed, drained and removed."""

import time
from collections.abc import Mapping

import msgspec
import structlog
from aiohttp import web

from airnode.bus.messages import ROOM_PATTERN, ChatLoad, NodeOrder, NodeRecord, Notice, Relayed, RoomState
from airnode.cluster.access import CLUSTER_TOKEN
from airnode.cluster.access_issuer import require_node_id
from airnode.cluster.alarms import node_alarms, stream_alarms
from airnode.cluster.api_types import (
    BestNode,
    HeartbeatAnswer,
    HeartbeatRequest,
    MasterView,
    NodeList,
    NodeView,
    OrderView,
    StreamList,
    StreamView,
)
from airnode.cluster.class_titles import ClassTitles
from airnode.cluster.master_chats import MasterChats, MasterRecord
from airnode.cluster.node_states import NodeStates
from airnode.cluster.placement import NodeHealth
from airnode.cluster.reservations import Reservations
from airnode.cluster.room_states import RoomStates
from airnode.config.sections.cluster import ClusterSection
from airnode.errors import FieldError, InvalidInput
from airnode.web.addresses import rtmp_server
from airnode.web.clients import Clients
from airnode.web.credentials import Authorizer, Right
from airnode.web.inputs import json_response, read_input
from airnode.web.openapi import operation

log = structlog.get_logger(__name__)

_NODE = (("node_id", "The node's id."),)
_REFUSALS = (401, 403, 429, 503)


class RoomQuery(msgspec.Struct):
    """The room to publish into.

    Attributes:
        room: the class; empty: the node is chosen by its load.
    """

    room: str = ""


class NodesApi:
    """The handlers. They hold no state."""

    def __init__(
        self,
        *,
        section: ClusterSection,
        authorizer: Authorizer,
        nodes: NodeStates,
        rooms: RoomStates,
        reservations: Reservations,
        clients: Clients,
        titles: ClassTitles,
        masters: MasterChats,
    ) -> None:
        self._section = section
        self._authorizer = authorizer
        self._nodes = nodes
        self._rooms = rooms
        self._reservations = reservations
        self._clients = clients
        self._titles = titles
        self._masters = masters

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/cluster/heartbeat", self.heartbeat)
        app.router.add_get("/cluster/nodes", self.list_nodes)
        app.router.add_get("/cluster/best-node", self.best_node)
        app.router.add_get("/cluster/streams", self.streams)
        app.router.add_post("/cluster/nodes/{node_id}/drain", self.drain)
        app.router.add_post("/cluster/nodes/{node_id}/undrain", self.undrain)
        app.router.add_delete("/cluster/nodes/{node_id}", self.remove)

    # -- nodes themselves ---------------------------------------------------------------------------------------------

    @operation(
        summary="Heartbeat of a slave that cannot reach Redis",
        tag="cluster",
        body=HeartbeatRequest,
        returns=HeartbeatAnswer,
        errors=(400, 408, 413, *_REFUSALS),
        auth="node",
    )
    async def heartbeat(self, request: web.Request) -> web.Response:
        """Renew the lease of the node, and return its order."""
        self._authorizer.require(request, CLUSTER_TOKEN)
        body = await read_input(request, HeartbeatRequest)
        require_node_id(body.record.node_id, "record.node_id")
        reserved = await self._reservations.release(body.record.node_id, body.seen)
        record = msgspec.structs.replace(body.record, reserved=reserved)
        order = await self._nodes.registry.beat(record, self._section.lease_s)
        return json_response(HeartbeatAnswer(order, reserved))

    # -- reading ------------------------------------------------------------------------------------------------------

    @operation(
        summary="All nodes",
        tag="cluster",
        description="Nodes that stopped are listed as `offline` for `cluster.remember_s`. Open to anyone with "
        "`cluster.open_status`.",
        returns=NodeList,
        errors=_REFUSALS,
        auth="cluster",
    )
    async def list_nodes(self, request: web.Request) -> web.Response:
        """Return this master's view; all masters have the same."""
        self._authorizer.require(request, Right.READER)
        return json_response(node_list(self._nodes.known(), self._masters.records(), time.time()))

    @operation(
        summary="Node to publish to",
        tag="cluster",
        description="The node that a publisher should connect to: with `room`, the room's origin while it reports, "
        "else the least loaded other node.",
        query=RoomQuery,
        returns=BestNode,
        errors=(400, *_REFUSALS),
        auth="cluster",
    )
    async def best_node(self, request: web.Request) -> web.Response:
        """Return the node, or 503 where there is none."""
        self._authorizer.require(request, Right.READER)
        room = request.query.get("room", "")
        _check("room", not room or ROOM_PATTERN.match(room), "1 to 63 of a-z, 0-9, - and _")
        node = self._nodes.place_publisher(self._rooms.origin(room), silent=self._rooms.silent(room))
        host = node.host or self._clients.hostname(request)
        return json_response(
            BestNode(
                node_id=node.node_id,
                node_name=node.node_name,
                host=host,
                rtmp_url=rtmp_server(host, node.rtmp_port),
                media_url=f"{node.scheme}://{host}:{node.media_port}",
                status=self._nodes.health(node.node_id),
                current_connections=node.current_connections,
                max_connections=node.max_connections,
                load_percentage=percentage(node.current_connections, node.max_connections),
            )
        )

    @operation(
        summary="All streams",
        tag="cluster",
        description="Rooms that are live, or were a moment ago: where they come from and where they are watched.",
        returns=StreamList,
        errors=_REFUSALS,
        auth="cluster",
    )
    async def streams(self, request: web.Request) -> web.Response:
        """Return the rooms, from their leases and the nodes' heartbeats."""
        self._authorizer.require(request, Right.READER)
        nodes = self._nodes.nodes()
        titles = await self._titles.by_room()
        found = []
        for state in self._rooms.states():
            edges = {node_id: node.rooms[state.room] for node_id, node in nodes.items() if state.room in node.rooms}
            origin = nodes.get(state.node_id)
            found.append(
                StreamView(
                    room=state.room,
                    state=state.phase,
                    origin=state.node_id,
                    origin_name=origin.node_name if origin is not None else "",
                    epoch=state.epoch,
                    since=state.since,
                    viewers=sum(edges.values()) if edges else state.viewers,
                    edges=edges,
                    relays=_relays(nodes, state),
                    bitrate_bps=state.stream.bitrate_bps if state.stream is not None else 0,
                    dropped_samples=state.stream.dropped_samples if state.stream is not None else 0,
                    notices=_alarming(state),
                    title=titles.get(state.room, ""),
                )
            )
        return json_response(StreamList(len(found), sum(each.viewers for each in found), found, stream_alarms(found)))

    # -- changing -----------------------------------------------------------------------------------------------------

    @operation(
        summary="Send a node no new viewers",
        tag="cluster",
        description="Those who are there stay. Needs `auth.admin_secret` or the cluster token.",
        returns=OrderView,
        errors=(404, *_REFUSALS),
        auth="admin",
        path_params=_NODE,
    )
    async def drain(self, request: web.Request) -> web.Response:
        """Order the node to drain; the order is valid until it is taken back or the node joins again."""
        self._authorizer.require(request, Right.ADMIN)
        return await self._ordered(request, "drain")

    @operation(
        summary="Send a node viewers again",
        tag="cluster",
        returns=OrderView,
        errors=(404, *_REFUSALS),
        auth="admin",
        path_params=_NODE,
    )
    async def undrain(self, request: web.Request) -> web.Response:
        """Take the order to drain back."""
        self._authorizer.require(request, Right.ADMIN)
        return await self._ordered(request, "")

    @operation(
        summary="Remove a node",
        tag="cluster",
        description="It takes no viewers any more, and comes back only when it is started again.",
        returns=OrderView,
        errors=(404, *_REFUSALS),
        auth="admin",
        path_params=_NODE,
    )
    async def remove(self, request: web.Request) -> web.Response:
        """Order the node to leave; the answer to its next heartbeat has the order."""
        self._authorizer.require(request, Right.ADMIN)
        return await self._ordered(request, "removed")

    async def _ordered(self, request: web.Request, order: NodeOrder) -> web.Response:
        node_id = request.match_info["node_id"]
        if order == "removed":
            await self._nodes.registry.remove(node_id)
        else:
            await self._nodes.registry.drain(node_id, on=order == "drain")
        log.info("node_order_given", node_id=node_id, order=order or "none", remote=self._clients.address(request))
        return json_response(OrderView(node_id, order))


def node_list(known: list[tuple[NodeRecord, NodeHealth, int]], masters: list[MasterRecord], now: float) -> NodeList:
    """Return the answer of ``GET /cluster/nodes``; ``now`` is unix seconds."""
    views = [_node_view(record, health, reserved, now) for record, health, reserved in known]
    there = [view for view in views if view.status != "offline"]
    taken, capacity = (sum(view.current_connections for view in there), sum(view.max_connections for view in there))
    healthy, utilization = sum(view.status == "healthy" for view in views), percentage(taken, capacity)
    return NodeList(
        total_nodes=len(views),
        healthy_nodes=healthy,
        offline_nodes=len(views) - len(there),
        total_connections=taken,
        total_capacity=capacity,
        utilization=utilization,
        nodes=views,
        alarms=node_alarms(views, healthy_nodes=healthy, utilization=utilization),
        masters=[MasterView(each.node_id, each.node_name, each.chat) for each in masters],
    )


def _node_view(record: NodeRecord, health: NodeHealth, reserved: int, now: float) -> NodeView:
    current = 0 if health == "offline" else record.current_connections
    return NodeView(
        node_id=record.node_id,
        node_name=record.node_name,
        current_connections=current,
        max_connections=record.max_connections,
        load_percentage=percentage(current, record.max_connections),
        status=health,
        reserved=reserved,
        sent_bps=0 if health == "offline" else record.sent_bps,
        bandwidth_bps=record.bandwidth_bps,
        streams=0 if health == "offline" else record.streams,
        version=record.version,
        host=record.host,
        media_port=record.media_port,
        rtmp_port=record.rtmp_port,
        last_beat=record.beat_at,
        last_beat_age_s=round(max(0.0, now - record.beat_at), 1),
        alarms=[] if health == "offline" else record.alarms,
        notices=[] if health == "offline" else record.notices,
        cut_from=record.cut_from,
        chat=ChatLoad() if health == "offline" else record.chat,
    )


def _alarming(state: RoomState) -> list[Notice]:
    """Return why nothing of a room can be played; other findings are only for its teacher."""
    findings = state.stream.findings if state.stream is not None else []
    return [notice for notice in findings if notice.level == "critical"]


def _relays(nodes: Mapping[str, NodeRecord], state: RoomState) -> dict[str, Relayed]:
    """Return {id of an edge: the source of the room there}."""
    return {
        node_id: node.relays[state.room]
        for node_id, node in nodes.items()
        if state.room in node.relays and node_id != state.node_id
    }


def percentage(taken: int, capacity: int) -> float:
    """Return the percentage of ``capacity`` that is taken; 0 without capacity."""
    return round(100 * taken / capacity, 1) if capacity else 0.0


def _check(path: str, good: object, expected: str) -> None:
    if not good:
        message = f"{path} must be {expected}."
        raise InvalidInput(message, errors=[FieldError(path, message)])
