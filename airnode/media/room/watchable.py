"""Protocols for the rooms that the media port serves: published to this node, or relayed from another node."""

from typing import Literal, Protocol

from airnode.media.hls.blocking_reload import BadRequest, Ready, Wait, Waiters
from airnode.media.hls.media_store import Found
from airnode.media.hls.window import Pending
from airnode.media.live.feed import LiveFeed
from airnode.media.room.viewers import Viewers

#: What a request is for: playlists and the objects that they name, or ``live.mp4``.
RequestKind = Literal["window", "live"]


class WatchableWindow(Protocol):
    """Playlists and the objects that they name; see :class:`airnode.media.hls.window.Window`."""

    media_uri: str
    target_duration_s: int

    @property
    def ready(self) -> bool:
        """Return whether a playlist can be served."""
        ...

    def multivariant_playlist(self) -> bytes:
        """Return the multivariant playlist."""
        ...

    def media_playlist(self, *, skip: bool = False) -> bytes:
        """Return the media playlist; with ``skip`` it may be a delta update."""
        ...

    def resolve_reload(self, msn: int | None, part: int | None = None) -> Ready | Wait | BadRequest:
        """Return how to answer a playlist request."""
        ...

    def lookup(self, name: str) -> Found | Pending | None:
        """Return the object with this name; None: it does not exist; Pending: it is not finished yet."""
        ...


class WatchableRoom(Protocol):
    """The part of a room that the media port uses.

    Attributes:
        closed: the room will never change again.
        origin_unreachable: the origin does not answer this node, but may answer other nodes.
        waiters: each change of the room wakes them.
    """

    name: str
    closed: bool
    origin_unreachable: bool
    live: LiveFeed
    waiters: Waiters
    viewers: Viewers

    @property
    def window(self) -> WatchableWindow:
        """Return the playlists and objects."""
        ...

    def note_request(self, what: RequestKind) -> None:
        """Note a request of a viewer."""
        ...


class WatchableRooms(Protocol):
    """The rooms that the media port serves."""

    @property
    def draining(self) -> bool:
        """Return whether the node is shutting down."""
        ...

    def get(self, name: str) -> WatchableRoom | None:
        """Return the room; None: no node publishes it."""
        ...
