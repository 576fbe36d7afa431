"""What nodes and masters tell each other about recordings.

The files on a node's disk are the truth. Each node writes what it has into two tables of :class:`RecordingRecord`, by
room (for edges, which look one up) and by node (for masters, which mirror it into PostgreSQL), and says so on the
channel. Orders go the other way, each with an answer; one that is lost is given again by whoever waits for it.
"""

import re
from typing import Literal

import msgspec

#: Name of the channel.
RECORDINGS = "recordings"
#: UTC time of the start, and 32 random bits: sorts by time, stands in paths and URLs as it is.
RECORDING_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}\Z")

RecordingStatus = Literal["recording", "finished", "interrupted"]
RecordingMode = Literal["off", "all", "on-request"]
RecordingAction = Literal["start", "stop", "delete"]


def recordings_in(room: str) -> str:
    """Table {recording_id: record} of one room."""
    return f"recordings-in:{room}"


def recordings_of(node_id: str) -> str:
    """Table {recording_id: record} of one node."""
    return f"recordings-of:{node_id}"


class RecordingRecord(msgspec.Struct, frozen=True):
    """A recording on a node's disk.

    Attributes:
        ended_at: unix seconds; None while it is being made.
        status: ``interrupted`` when the node died while it was being made; it has all up to then.
        host, scheme, media_port: where edges get it from; host as in :class:`airnode.bus.messages.NodeRecord`.
    """

    recording_id: str
    room: str
    node_id: str
    status: RecordingStatus
    started_at: float
    ended_at: float | None
    duration_s: float
    size_bytes: int
    host: str = ""
    scheme: str = "http"
    media_port: int = 0


class RecordingsAnnounced(msgspec.Struct, frozen=True):
    """A node wrote its tables anew: it has ``count`` recordings."""

    node_id: str
    count: int


class RecordingsChanged(msgspec.Struct, frozen=True):
    """Some recordings of a node are new, went on or ended; ``gone`` are ids of those that were removed."""

    node_id: str
    changed: list[RecordingRecord] = []
    gone: list[str] = []


class RecordingOrder(msgspec.Struct, frozen=True):
    """A teacher wants something of the node that has the room, or the recording."""

    order_id: str
    node_id: str
    action: RecordingAction
    room: str
    recording_id: str = ""


class RecordingAnswer(msgspec.Struct, frozen=True):
    """What became of an order.

    Attributes:
        recording_id: of the recording that is being made; empty: none is.
        refused: code of the error; empty: it was done. detail: for people.
    """

    order_id: str
    recording_id: str = ""
    refused: str = ""
    detail: str = ""
