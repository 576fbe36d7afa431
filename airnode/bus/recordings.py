"""What nodes and masters publish to each other about recordings.

The files on a node's disk are the truth. Each node writes what it has into two tables of :class:`RecordingRecord`, by
room (for edges, which look one up) and by node (for masters, which mirror it into PostgreSQL), and publishes each
change on a channel that masters read.

Masters send orders on a channel that nodes read, and a node answers on the channel of the masters. An order stands
nowhere else: without an answer within five seconds the request fails (503), and nobody repeats the order.
"""

import re
from typing import Literal

import msgspec

#: Names of the channels: from nodes to masters, and from masters to nodes. There are two, because a subscriber has to
#: know every type of message on its channel.
RECORDINGS, RECORDING_ORDERS = "recordings", "recording-orders"
#: UTC time of the start, and 32 random bits: sorts by time, and needs no quoting in paths and URLs.
RECORDING_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}\Z")

RecordingStatus = Literal["recording", "finished", "interrupted"]
RecordingMode = Literal["off", "all", "on-request"]
RecordingAction = Literal["start", "stop", "delete"]


def recordings_in(room: str) -> str:
    """Return the name of the table {recording_id: record} of a room."""
    return f"recordings-in:{room}"


def recordings_of(node_id: str) -> str:
    """Return the name of the table {recording_id: record} of a node."""
    return f"recordings-of:{node_id}"


class RecordingRecord(msgspec.Struct, frozen=True):
    """A recording on a node's disk.

    Attributes:
        ended_at: unix seconds; None: it is not finished.
        status: ``interrupted``: the node failed during the recording, which ends there.
        host, scheme, media_port: of the node, for edges; host as in :class:`airnode.bus.messages.NodeRecord`.
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
    """A node rewrote its tables; it has ``count`` recordings."""

    node_id: str
    count: int


class RecordingsChanged(msgspec.Struct, frozen=True):
    """Some recordings of a node are new, longer or finished; ``gone``: ids of the removed ones."""

    node_id: str
    changed: list[RecordingRecord] = []
    gone: list[str] = []


class RecordingOrder(msgspec.Struct, frozen=True):
    """A teacher's order for the node that has the room or the recording."""

    order_id: str
    node_id: str
    action: RecordingAction
    room: str
    recording_id: str = ""


class RecordingAnswer(msgspec.Struct, frozen=True):
    """The result of an order.

    Attributes:
        recording_id: of the recording in progress; empty: there is none.
        refused: code of the error; empty: the order was carried out. detail: the error as a sentence.
    """

    order_id: str
    recording_id: str = ""
    refused: str = ""
    detail: str = ""
