"""What nodes tell each other over the bus about themselves and about rooms."""

import re
from typing import Literal

import msgspec

from airnode.bus.leased_records import RecordRules
from airnode.bus.recordings import RecordingMode

#: Names of channels and lease groups alike.
NODES = "nodes"
ROOMS = "rooms"
#: Channel on which masters tell each other of the places they give away.
PLACES = "places"
#: The table of :class:`ClassRecord`, by the SHA-256 of the stream key.
STREAM_KEYS = "stream-keys"
#: A valid name of a room. PostgreSQL checks the same pattern.
ROOM_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")

NodeStatus = Literal["healthy", "draining", "overloaded"]
#: What an admin wants of a node; empty: nothing.
NodeOrder = Literal["", "drain", "removed"]
RoomPhase = Literal["waiting", "live", "reconnecting", "ended"]


class Relayed(msgspec.Struct, frozen=True):
    """From where an edge pulls a room. ``tier`` 1: from the origin; 2: from an edge of the first tier; 0: not yet."""

    parent: str
    tier: int


class Notice(msgspec.Struct, frozen=True):
    """Something that somebody should look at.

    Attributes:
        code: what it is, for pages that have words of their own. fields: what stands in those words.
        text: the same as an English sentence.
    """

    code: str
    text: str
    fields: dict[str, str | int | float] = {}


class NodeRecord(msgspec.Struct, frozen=True):
    """A slave, as its lease says; a dead one vanishes with its lease.

    Attributes:
        host: under which viewers reach it; empty: the host through which they reached the master.
        scheme: of its media port, ``http`` or ``https``.
        beat_at: unix seconds of the node's clock.
        sent_bps: what it sent to viewers since the beat before.
        bandwidth_bps: most that it may send; None: no limit.
        reserved: places given away whose viewers had not shown up at this beat.
        streams: rooms that it is the origin of.
        rooms: {room: viewers}, for rooms that somebody watches here.
        relays: {room: from where}, for rooms that come from another node.
        alarms: what somebody should look at there, as sentences; notices: the same with codes.
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


class NodeOrdered(msgspec.Struct, frozen=True):
    """An admin's order for a node has changed."""

    node_id: str
    order: NodeOrder


class NodeLeft(msgspec.Struct, frozen=True):
    """A node went down on purpose; nothing is remembered of it."""

    node_id: str


class Placed(msgspec.Struct, frozen=True):
    """A master gave places away: {node_id: places reserved there now}."""

    counts: dict[str, int]


class StreamInfo(msgspec.Struct, frozen=True):
    """What is being published; 0 where not known (yet)."""

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


class RoomState(msgspec.Struct, frozen=True):
    """A room on its origin.

    Attributes:
        phase: ``reconnecting`` while the class is kept for a publisher that dropped.
        since: unix seconds since when the phase holds.
        reconnect_deadline: unix seconds until when the class is kept, while reconnecting.
        epoch: of the origin's claim; grows for ever.
        host, scheme, media_port: where edges get it from; host as in :class:`NodeRecord`.
        next_msn, target_duration_s, part_target_s, discontinuities: where its playlist is, for an origin that takes
            over.
        silent_s: since the publisher sent anything.
        recording_id: of the recording that is being made; empty: none is.
        recording_mode: of the node, see the ``recording`` section.
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


def room_rules(keep_s: float = 0.0) -> RecordRules[RoomState]:
    """Return how the reports about rooms follow one another: a claim of a higher epoch replaces a lower one.

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
    """What slaves need to know of the class that a stream key opens."""

    room: str
