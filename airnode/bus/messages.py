"""Messages that nodes publish on the bus about themselves and about rooms."""

import re
from typing import Literal

import msgspec

from airnode.bus.leased_records import RecordRules
from airnode.bus.recordings import RecordingMode

#: Names of channels, and of the lease groups of the same records.
NODES = "nodes"
ROOMS = "rooms"
#: Channel on which masters publish their reservations to each other.
PLACES = "places"
#: The table of :class:`ClassRecord`, by the SHA-256 of the stream key.
STREAM_KEYS = "stream-keys"
#: A valid name of a room. PostgreSQL checks the same pattern.
ROOM_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")

NodeStatus = Literal["healthy", "draining", "overloaded"]
#: An admin's order for a node; empty: none.
NodeOrder = Literal["", "drain", "removed"]
RoomPhase = Literal["waiting", "live", "reconnecting", "ended"]


class Relayed(msgspec.Struct, frozen=True):
    """The node that an edge pulls a room from. ``tier`` 1: the origin; 2: an edge of the first tier; 0: none yet."""

    parent: str
    tier: int


NoticeLevel = Literal["critical", "warning"]


class Notice(msgspec.Struct, frozen=True):
    """Something that an operator should check.

    Attributes:
        code: its kind, for pages with own texts. fields: the values in these texts.
        text: the same as an English sentence.
        level: ``critical``: something that users want does not work; ``warning``: it works, but not well. Nodes of
            earlier versions send none; theirs count as critical.
    """

    code: str
    text: str
    fields: dict[str, str | int | float] = {}
    level: NoticeLevel = "critical"


class RoomChat(msgspec.Struct, frozen=True):
    """A room of the chat on one node: its members there, and what was said in it, on all nodes, per second."""

    members: int
    messages_per_s: float = 0.0


class ChatLoad(msgspec.Struct, frozen=True):
    """What a node's chat does.

    Attributes:
        connections: clients now. deliveries_per_s: events sent to clients since the heartbeat before.
        dropped: events that slow clients did not get. gaps: how often they were told. Both since the start of the node.
        alone: Redis does not answer, and messages reach this node's clients only.
        rooms: {room: what happens in it}, the 50 with the most members. room_count: all rooms with members here.
    """

    connections: int = 0
    deliveries_per_s: float = 0.0
    dropped: int = 0
    gaps: int = 0
    alone: bool = False
    rooms: dict[str, RoomChat] = {}
    room_count: int = 0


class ChatCounts(msgspec.Struct, frozen=True):
    """What the chat of this process counts.

    Attributes:
        delivered, dropped, gaps: since the start of the process; see :class:`ChatLoad`.
        rooms: {room: (members here, number of its newest entry)}.
    """

    connections: int = 0
    delivered: int = 0
    dropped: int = 0
    gaps: int = 0
    alone: bool = False
    rooms: dict[str, tuple[int, int]] = {}


class NodeRecord(msgspec.Struct, frozen=True):
    """A slave's heartbeat and the value of its lease; a dead node disappears when its lease ends.

    Attributes:
        host: host under which viewers reach it; empty: the host under which they reached the master.
        scheme: of its media port, ``http`` or ``https``.
        publish_ports: {protocol: port} for publishers by ``srt``, ``rtsp``, ``whip`` or ``whips`` (WHIP over HTTPS).
        beat_at: unix seconds of the node's clock.
        sent_bps: bandwidth to viewers since the heartbeat before.
        bandwidth_bps: most that it may send; None: no limit.
        reserved: reserved places whose viewers had not connected at this heartbeat.
        streams: rooms that it is the origin of.
        rooms: {room: viewers}, for rooms with viewers here.
        relays: {room: its source}, for rooms that come from another node.
        alarms: what an operator should check there, as sentences; notices: the same with codes.
        cut_from: ids of origins that report to the cluster and do not answer this node.
    """

    node_id: str
    node_name: str
    status: NodeStatus
    host: str
    scheme: str
    media_port: int
    rtmp_port: int
    current_connections: int
    max_connections: int
    version: str
    beat_at: float
    sent_bps: int = 0
    bandwidth_bps: int | None = None
    reserved: int = 0
    streams: int = 0
    rooms: dict[str, int] = {}
    alarms: list[str] = []
    notices: list[Notice] = []
    cut_from: list[str] = []
    relays: dict[str, Relayed] = {}
    publish_ports: dict[str, int] = {}
    chat: ChatLoad = ChatLoad()


class NodeOrdered(msgspec.Struct, frozen=True):
    """The order of an admin for a node changed."""

    node_id: str
    order: NodeOrder


class NodeLeft(msgspec.Struct, frozen=True):
    """A node stopped on purpose; masters forget it."""

    node_id: str


class Placed(msgspec.Struct, frozen=True):
    """A master reserved places: {node_id: places that are reserved there now}."""

    counts: dict[str, int]


class StreamInfo(msgspec.Struct, frozen=True):
    """The stream that is being published; 0: not known (yet).

    Attributes:
        findings: what is odd in the publisher's samples, with what to change at the encoder.
    """

    width: int = 0
    height: int = 0
    frame_rate: float = 0.0
    bitrate_bps: int = 0
    video_codecs: str = ""
    audio_codecs: str = ""
    key_frame_interval_s: float = 0.0
    encoder: str = ""
    uptime_s: float = 0.0
    dropped_samples: int = 0
    findings: list[Notice] = []


class RoomState(msgspec.Struct, frozen=True):
    """A room on its origin.

    Attributes:
        phase: ``reconnecting`` while the class is kept for a publisher that dropped.
        since: unix seconds at which the phase began.
        reconnect_deadline: unix seconds until when the class is kept, while reconnecting.
        epoch: epoch of the origin's claim; it only grows.
        host, scheme, media_port: address of the origin, for edges; host as in :class:`NodeRecord`.
        next_msn, target_duration_s, part_target_s, discontinuities: the position of its playlist, for an
            origin that takes over.
        silent_s: time since the publisher sent anything.
        heard_s: when it did, by a clock of the origin: only to be compared with an earlier report; 0: not known.
        recording_id: id of the recording in progress; empty: there is no recording.
        recording_mode: mode of the node, see the ``recording`` section.
        live_since: unix seconds at which the class went live, before it was reconnecting; 0: not known.
    """

    room: str
    node_id: str
    phase: RoomPhase
    since: float
    viewers: int = 0
    epoch: int = 0
    reconnect_deadline: float | None = None
    stream: StreamInfo | None = None
    host: str = ""
    scheme: str = "http"
    media_port: int = 0
    next_msn: int = 0
    target_duration_s: int = 0
    discontinuities: int = 0
    silent_s: float = 0.0
    recording_id: str = ""
    recording_mode: RecordingMode | None = None
    part_target_s: float = 0.0
    live_since: float = 0.0
    heard_s: float = 0.0


def room_rules(keep_s: float = 0.0) -> RecordRules[RoomState]:
    """Return the rules for reports about rooms: a report of a lower epoch never replaces one of a higher epoch.

    Args:
        keep_s: see :class:`RecordRules`.
    """
    return RecordRules(
        key=lambda state: state.room,
        order=lambda state: (state.epoch, state.node_id),
        has_ended=lambda state: state.phase == "waiting",
        keep_s=keep_s,
    )


class ClassRecord(msgspec.Struct, frozen=True):
    """The class that a stream key belongs to, with the data that slaves need."""

    room: str
