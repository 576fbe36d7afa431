"""The events of a session."""

from dataclasses import dataclass, field

import msgspec

from airnode.media.rtmp.amf_values import AmfValue


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """The peer wants to publish; answer with ``accept_publish`` or ``reject_publish``.

    Name and parameters may hold the stream key and are kept out of the representation.

    Attributes:
        app: the app, without its query.
        name: the stream name, without its query.
        params: the query parameters of the stream name, the app and tcUrl together.
        key: the stream key: the parameter ``key``, or else the stream name.
    """

    app: str
    name: str = field(repr=False)
    params: dict[str, str] = field(repr=False)
    stream_id: int
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PublishStopped:
    """The peer ended an accepted publish and can start another one."""

    stream_id: int
    reason: str


class AudioReceived(msgspec.Struct, frozen=True, gc=False):
    """The body of an FLV audio tag; the timestamp is unwrapped."""

    timestamp_ms: int
    payload: bytes


class VideoReceived(msgspec.Struct, frozen=True, gc=False):
    """The body of an FLV video tag; the timestamp is unwrapped."""

    timestamp_ms: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class DataReceived:
    """A data message, such as onMetaData, without ``@setDataFrame``."""

    values: list[AmfValue]


@dataclass(frozen=True, slots=True)
class MessageSkipped:
    """A message that could not be read, or only in part; the connection continues.

    Attributes:
        reason: a short stable label, as in :class:`ProtocolViolation`.
        detail: a sentence for the log.
    """

    reason: str
    detail: str


Event = PublishRequested | PublishStopped | AudioReceived | VideoReceived | DataReceived | MessageSkipped
