"""What the media port serves from: rooms that are published here, and rooms that are relayed from another node."""

from typing import Literal, Protocol

from airnode.media.hls.blocking_reload import BadRequest, Ready, Wait, Waiters
from airnode.media.hls.media_store import Found
from airnode.media.hls.window import Pending
from airnode.media.live.feed import LiveFeed
from airnode.media.room.viewers import Viewers

#: What a request is for: playlists and what they name, or ``live.mp4``.
RequestKind = Literal["window", "live"]


class WatchableWindow(Protocol):
    """Playlists, and what their names give; see :class:`airnode.media.hls.window.Window`."""

    media_uri: str
    target_duration_s: int

    @property
    def ready(self) -> bool:
        """Whether there is a playlist to serve."""
        ...

    def multivariant_playlist(self) -> bytes:
        """The multivariant playlist."""
        ...

    def media_playlist(self, *, skip: bool = False) -> bytes:
        """The media playlist; with ``skip`` it may be a delta update."""
        ...

    def resolve_reload(self, msn: int | None, part: int | None = None) -> Ready | Wait | BadRequest:
        """What to do with a playlist request."""
        ...

    def lookup(self, name: str) -> Found | Pending | None:
        """What a name gives."""
        ...


class WatchableRoom(Protocol):
    """A room as the media port needs it.

    Attributes:
        closed: nothing will change any more.
        origin_unreachable: what comes cannot reach this node; other nodes may have it.
        waiters: woken by each change.
    """

    name: str
    closed: bool
    origin_unreachable: bool
    live: LiveFeed
    waiters: Waiters
    viewers: Viewers

    @property
    def window(self) -> WatchableWindow:
        """Its playlists."""
        ...

    def note_request(self, what: RequestKind) -> None:
        """A request for it came in."""
        ...


class WatchableRooms(Protocol):
    """Where the media port finds rooms."""

    @property
    def draining(self) -> bool:
        """The node is going down."""
        ...

    def get(self, name: str) -> WatchableRoom | None:
        """The room, if there is anything to watch."""
        ...
