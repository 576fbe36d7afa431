"""The interfaces that the RTMP server uses: they decide who may publish, and receive the media."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from airnode.media.frames import IngestEvent, KeyFrameReason


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """A publisher's request. The fields that may contain the stream key are excluded from the representation.

    Attributes:
        name: the stream name, without its query.
        params: the query parameters of the stream name, the app and tcUrl.
        remote: address and port of the peer.
        key: the parameter ``key``, or else the stream name itself.
        secure: the connection uses TLS.
    """

    app: str
    name: str = field(repr=False)
    params: dict[str, str] = field(repr=False)
    remote: str
    key: str = field(repr=False)
    secure: bool = False


@dataclass(frozen=True, slots=True)
class PublishRefusal:
    """The authority refuses a publish.

    Attributes:
        reason: a short stable label, for the metric and the log.
        description: a sentence that the encoder shows.
    """

    reason: str
    description: str


class PublishAuthority(Protocol):
    """Decides who may publish, and into which room."""

    async def authorize(self, request: PublishRequest) -> str | PublishRefusal:
        """Return the room to publish to, or a refusal.

        Raises:
            AirnodeError: this refuses the publish, too.
        """
        ...


@dataclass(frozen=True, slots=True)
class PublisherInfo:
    """A publisher, as the hub sees it.

    Attributes:
        disconnect: ends the publisher; its encoder shows the reason. No push() follows. close() follows, in a later
            iteration of the event loop.
        request_key_frame: asks the encoder for a key frame; the argument is the reason, a label. None: the protocol
            cannot ask.
    """

    remote: str
    key: str = field(repr=False)
    secure: bool
    disconnect: Callable[[str], None] = field(repr=False)
    request_key_frame: Callable[[KeyFrameReason], None] | None = field(default=None, repr=False)


class Ingest(Protocol):
    """Receives the media of one publisher."""

    @property
    def needs_audio_at_once(self) -> bool:
        """Return whether audio must not wait for the next video frame."""
        ...

    def push(self, events: Sequence[IngestEvent], received_bytes: int) -> None:
        """Receive media, in order. ``received_bytes``: network bytes since the last call.

        Raises:
            AirnodeError: this ends the publisher; its encoder shows ``detail``.
        """
        ...

    def close(self, reason: str) -> None:
        """End the publish; called exactly once."""
        ...


class IngestHub(Protocol):
    """Holds the media of the rooms."""

    async def wait_for_turn(self, room: str, key: str) -> None:
        """Wait while a silent publisher with the same key still holds the room."""
        ...

    def open(self, room: str, publisher: PublisherInfo) -> Ingest:
        """Return the ingest of a new publisher.

        Raises:
            AirnodeError: it is refused (``Conflict``: the room is live already); its encoder shows ``detail``.
        """
        ...
