"""Messages and records about recordings, between nodes and masters.

The files on a node's disk are the original. Each node writes its recordings into two tables of
:class:`RecordingRecord`: one by room, in which edges find a recording, and one by node, which masters copy into
PostgreSQL. It publishes each change on a channel that masters read.

Masters publish orders on a channel that nodes read, and the node answers on the channel of the masters. Orders are not
stored: if no answer arrives within five seconds, the request fails (503), and the order is not repeated.
"""

import re
from typing import Literal

import msgspec

#: Names of the channels: from nodes to masters, and from masters to nodes. They are separate, because a subscriber
#: must know every type of message on its channel.
RECORDINGS, RECORDING_ORDERS = "recordings", "recording-orders"
#: The UTC time of the start, and 32 random bits. Ids sort by time, and need no quoting in paths and URLs.
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
        host, scheme, media_port: address of the node, for edges; host as in :class:`airnode.bus.messages.NodeRecord`.
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
        recording_id: id of the recording in progress; empty: there is no recording.
        refused: code of the error; empty: the order was carried out.
        detail: the error as a sentence.
    """

    order_id: str
    recording_id: str = ""
    refused: str = ""
    detail: str = ""
