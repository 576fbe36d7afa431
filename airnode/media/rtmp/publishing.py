"""What the RTMP server needs from outside: who may publish, and where the media goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from airnode.media.frames import MediaEvent


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """Somebody wants to publish. Whatever may hold the stream key is kept out of the representation.

    Attributes:
        name: the stream name, without its query.
        params: the query parameters of the stream name, the app and tcUrl.
        remote: address and port of the peer.
        key: the parameter ``key``, or else the stream name itself.
        secure: it came over TLS.
    """

    app: str
    name: str = field(repr=False)
    params: dict[str, str] = field(repr=False)
    remote: str
    key: str = field(repr=False)
    secure: bool = False


@dataclass(frozen=True, slots=True)
class PublishRefusal:
    """The authority says no.

    Attributes:
        reason: a short stable label, for the metric and the log.
        description: a sentence that the encoder shows.
    """

    reason: str
    description: str


class PublishAuthority(Protocol):
    """Decides who may publish where."""

    async def authorize(self, request: PublishRequest) -> str | PublishRefusal:
        """The room to publish to, or a refusal. Raising an AirnodeError refuses, too."""
        ...


@dataclass(frozen=True, slots=True)
class PublisherInfo:
    """A publisher, as the hub sees it.

    Attributes:
        disconnect: ends the publisher with this reason, which the encoder is told. No push() follows; close() does, in
            a later turn of the loop.
    """

    remote: str
    key: str = field(repr=False)
    secure: bool
    disconnect: Callable[[str], None] = field(repr=False)


class Ingest(Protocol):
    """Takes one publisher's media."""

    def push(self, events: Sequence[MediaEvent], received_bytes: int) -> None:
        """Take media, in order. ``received_bytes``: network bytes since the last call.

        Raises:
            AirnodeError: ends the publisher; ``detail`` is what its encoder shows.
        """
        ...

    def close(self, reason: str) -> None:
        """The publisher is gone; called exactly once."""
        ...


class IngestHub(Protocol):
    """Owns the rooms' media."""

    def open(self, room: str, publisher: PublisherInfo) -> Ingest:
        """Take a new publisher.

        Raises:
            AirnodeError: refused (``Conflict``: the room is live already); ``detail`` is what its encoder shows.
        """
        ...
