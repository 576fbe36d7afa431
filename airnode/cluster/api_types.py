"""The bodies of ``/cluster`` and the state of rooms, as the API has them."""

import msgspec

from airnode.bus.messages import ChatLoad, NodeOrder, NodeRecord, Notice, Relayed, RoomPhase, StreamInfo
from airnode.bus.recordings import RecordingMode
from airnode.cluster.placement import NodeHealth
from airnode.web.alarms import Alarm


class RegisterRequest(msgspec.Struct):
    """A slave that wants to join.

    Attributes:
        media_port, rtmp_port: where it listens. max_connections: its places. version: the airnode that it runs.
        node_id: its id from an earlier start; empty: the master generates one.
        host: host under which viewers reach it; empty: the address that the master sees.
        node_name: its name for people. bandwidth_bps: most that it may send, in bit/s; null: no limit.
    """

    node_name: str
    media_port: int
    rtmp_port: int
    max_connections: int
    version: str
    node_id: str = ""
    host: str = ""
    bandwidth_bps: int | None = None


class Registration(msgspec.Struct):
    """What a slave needs to join.

    Attributes:
        redis_url: with user and password; empty: the master's Redis cannot be shared, the slave needs its own address.
        jwt_secret: the key that verifies viewers' tokens.
        node_host: the address that the master saw; empty: the same machine as the master's.
        recording_mode: ``recording.mode`` of the whole cluster.
        student_download: ``recording.student_download`` of the whole cluster.
    """

    node_id: str
    redis_url: str
    jwt_secret: str
    heartbeat_s: float
    lease_s: float
    node_host: str
    recording_mode: RecordingMode = "on-request"
    student_download: bool = True


class HeartbeatRequest(msgspec.Struct):
    """A heartbeat of a slave that cannot reach Redis.

    Attributes:
        seen: sessions of viewers that connected since the last heartbeat.
    """

    record: NodeRecord
    seen: list[str] = []


class HeartbeatAnswer(msgspec.Struct):
    """What the master answers to a heartbeat.

    Attributes:
        order: the order of an administrator; empty: none. reserved: reserved places on this node.
    """

    order: NodeOrder
    reserved: int


class NodeView(msgspec.Struct):
    """A node, as the API shows it.

    Attributes:
        load_percentage: percentage of its places that are taken.
        reserved: reserved places whose viewers have not connected yet.
        bandwidth_bps: most that it may send; null: no limit.
        last_beat: unix seconds of the node's clock.
        cut_from: ids of origins that report to the cluster and do not answer this node.
        alarms: what an operator should check there, as sentences.
        notices: what an operator should check there, with codes; older nodes send none.
        chat: what its chat does.
    """

    node_id: str
    node_name: str
    current_connections: int
    max_connections: int
    load_percentage: float
    status: NodeHealth
    reserved: int
    sent_bps: int
    bandwidth_bps: int | None
    streams: int
    version: str
    host: str
    media_port: int
    rtmp_port: int
    last_beat: float
    last_beat_age_s: float
    cut_from: list[str] = []
    alarms: list[str] = []
    notices: list[Notice] = []
    chat: ChatLoad = ChatLoad()


class OrderView(msgspec.Struct):
    """The order of an administrator to a node.

    Attributes:
        order: empty: there is none.
    """

    node_id: str
    order: NodeOrder


class MasterView(msgspec.Struct):
    """The chat on a master's own port."""

    node_id: str
    node_name: str
    chat: ChatLoad


class NodeList(msgspec.Struct):
    """The nodes of the cluster.

    Attributes:
        healthy_nodes: number of nodes that take viewers.
        total_connections: viewers. total_capacity: places.
        utilization: percentage of the places that are taken, over healthy, draining and overloaded nodes.
        alarms: of the cluster and its nodes, the worst first.
        masters: the masters with a chat on their own port; in a standalone node it is that of the node.
    """

    total_nodes: int
    healthy_nodes: int
    offline_nodes: int
    total_connections: int
    total_capacity: int
    utilization: float
    nodes: list[NodeView]
    alarms: list[Alarm] = []
    masters: list[MasterView] = []


class BestNode(msgspec.Struct):
    """The node to publish to.

    Attributes:
        rtmp_url: the server; the stream key comes after it.
        load_percentage: percentage of its places that are taken.
    """

    node_id: str
    node_name: str
    host: str
    rtmp_url: str
    media_url: str
    status: NodeHealth
    current_connections: int
    max_connections: int
    load_percentage: float


class RoomView(msgspec.Struct):
    """A room as its pages show it; times are unix seconds.

    Attributes:
        state: a class that has ended is `ended` for an hour, or until the master starts again; then `waiting`.
        since: begin of this state. reconnect_deadline: until when the publisher may return; null: none is awaited.
        server_time: the time now, by which a page corrects its clock.
        epoch: number of the room's life on an origin; it only grows.
        stream: what is being published; null for students and while nothing is.
        recording: whether it is being recorded now.
        live_since: when the class went live, before a publisher was lost and came back; 0: not known, or not live.
    """

    room: str
    state: RoomPhase
    since: float
    reconnect_deadline: float | None
    viewers: int
    epoch: int
    server_time: float
    stream: StreamInfo | None
    recording: bool = False
    live_since: float = 0.0


class StreamView(msgspec.Struct):
    """A room that is live, or was a moment ago.

    Attributes:
        origin: id of the node that takes its publisher.
        edges: {node_id: viewers there}.
        relays: {node_id: the node that it pulls the room from, and its tier}.
        notices: why nothing of it can be played; empty: something can.
        title: of the class; empty: it is not known.
    """

    room: str
    state: RoomPhase
    origin: str
    origin_name: str
    epoch: int
    since: float
    viewers: int
    edges: dict[str, int]
    bitrate_bps: int
    dropped_samples: int
    relays: dict[str, Relayed] = {}
    notices: list[Notice] = []
    title: str = ""


class StreamList(msgspec.Struct):
    """The rooms that are live, or were a moment ago.

    Attributes:
        alarms: of the rooms, the worst first.
    """

    total_streams: int
    total_viewers: int
    streams: list[StreamView]
    alarms: list[Alarm] = []
