"""The window of a relayed room: the origin's playlists, and for a limited time the objects that they name.

No I/O. Playlists are not changed, so that a player can switch between nodes during a class. Objects are immutable, so
each one is fetched once for all viewers of this node. Parts are fetched as soon as a playlist lists them, because
low-latency players request them next. A finished segment is joined from its parts, because fetching it too would double
the traffic between the nodes. The whole segment is fetched only if most of its parts are missing: this happens when the
node has just begun to relay.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from airnode.media.hls.blocking_reload import BadRequest, Position, Ready, Wait, resolve_reload
from airnode.media.hls.media_store import Found
from airnode.media.hls.playlist import delta_update
from airnode.media.hls.window import Pending

_URI = re.compile(r'URI="([^"]*)"')


@dataclass(slots=True)
class RelayedPlaylist:
    """A parsed media playlist that airnode wrote.

    Attributes:
        segments: {name of a finished segment: names of its listed parts}, including gap segments.
        duration_s: of all finished segments.
        open_parts: names of the parts after the last finished segment.
        inits: names of the initialization sections.
        hint: name of the next part, which is announced; empty: none.
    """

    media_sequence: int = 0
    target_duration_s: int = 0
    part_target_s: float = 0.0
    blocks: bool = False
    ended: bool = False
    hint: str = ""
    last_is_gap: bool = False
    duration_s: float = 0.0
    segments: dict[str, tuple[str, ...]] = field(default_factory=dict)
    open_parts: tuple[str, ...] = ()
    inits: set[str] = field(default_factory=set)

    @property
    def position(self) -> Position:
        """Return the end of the playlist, in the numbers of a blocking reload."""
        last = next(reversed(self.segments.values()), None)
        return Position(
            next_msn=self.media_sequence + len(self.segments),
            open_parts=len(self.open_parts),
            last_parts=None if last is None or self.last_is_gap else len(last),
            part_target_s=self.part_target_s,
            blocks=self.blocks and not self.ended,
        )

    def names(self) -> Iterator[str]:
        """Yield all names in the playlist, including the hinted part."""
        yield from self.inits
        for name, parts in self.segments.items():
            yield name
            yield from parts
        yield from self.open_parts
        if self.hint:
            yield self.hint


def parse_playlist(text: bytes) -> RelayedPlaylist:
    """Return the content of a full media playlist that airnode wrote; other playlists are not supported.

    Raises:
        ValueError: this is not such a playlist.
    """
    lines = text.decode().splitlines()
    if not lines or lines[0] != "#EXTM3U":
        raise ValueError("not a playlist")
    found, parts, gap = RelayedPlaylist(), list[str](), False
    for line in lines[1:]:
        tag, _, value = line.partition(":")
        match tag:
            case "#EXT-X-MEDIA-SEQUENCE":
                found.media_sequence = int(value)
            case "#EXT-X-TARGETDURATION":
                found.target_duration_s = int(value)
            case "#EXT-X-PART-INF":
                found.part_target_s = float(value.partition("PART-TARGET=")[2])
            case "#EXT-X-SERVER-CONTROL":
                found.blocks = "CAN-BLOCK-RELOAD=YES" in value
            case "#EXT-X-ENDLIST":
                found.ended = True
            case "#EXTINF":
                found.duration_s += float(value.rstrip(","))
            case "#EXT-X-GAP":
                gap = True
            case "#EXT-X-MAP":
                found.inits.update(_URI.findall(value))
            case "#EXT-X-PART":
                parts += _URI.findall(value)
            case "#EXT-X-PRELOAD-HINT":
                found.hint = "".join(_URI.findall(value))
            case _ if not line.startswith("#"):
                found.segments[line] = tuple(parts)
                found.last_is_gap, gap = gap, False
                parts.clear()
    found.open_parts = tuple(parts)
    if not found.target_duration_s:
        raise ValueError("a playlist without a target duration")
    return found


def _end(listing: RelayedPlaylist) -> tuple[int, int]:
    position = listing.position
    return position.next_msn, position.open_parts


class RelayedWindow:
    """The playlists and objects for viewers' requests.

    Args:
        request_fetch: called with the name of a requested object that is missing; may be called repeatedly.
        max_bytes: limit of the stored media. The oldest object is dropped first; the newest one always stays.
        clock: returns monotonic seconds.

    Attributes:
        evicted: number of objects that were dropped because of ``max_bytes``.
    """

    media_uri = "media.m3u8"

    def __init__(
        self, request_fetch: Callable[[str], None], max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._request_fetch = request_fetch
        self._max_bytes = max_bytes
        self.evicted = 0
        self.target_duration_s = 0
        self.ended = False
        self._media = b""
        #: The delta update of ``_media``; empty: nobody has requested it yet.
        self._delta = b""
        self._multivariant = b""
        self._listing: RelayedPlaylist | None = None
        #: {name: body}, oldest first.
        self._objects: dict[str, bytes] = {}
        self._bytes = 0
        #: {name: (time until which the object is kept; duration in s of the longest playlist that listed it)}. After
        #: an object was last listed, it is kept for the duration of that playlist and of its segment (rfc8216bis
        #: 6.2.2). The segment and the open parts of the playlist each count as one target duration.
        self._listed: dict[str, tuple[float, float]] = {}
        #: {name of a finished segment: names of its parts}, for segments whose parts were listed.
        self._parts: dict[str, tuple[str, ...]] = {}
        self._missing: set[str] = set()

    # ---- writing -----------------------------------------------------------------------------------------------------

    def update(self, media: bytes, *, forward: bool = False) -> list[str]:
        """Return the names that should be fetched at once, after replacing the playlist by this one of the origin.

        Args:
            forward: reject an older playlist than the current one: a new parent may lag behind the last one.

        Raises:
            ValueError: airnode did not write this playlist, or it is older.
        """
        listing = parse_playlist(media)
        if forward and self._listing is not None and _end(listing) < _end(self._listing):
            raise ValueError("an older playlist than the one before")
        before, self._listing, self._media, self._delta = self._listing, listing, media, b""
        self.target_duration_s = listing.target_duration_s
        self.ended = listing.ended
        new = [name for name in self._ahead(listing) if name not in self._listed] if before is not None else []
        self._parts.update((name, parts) for name, parts in listing.segments.items() if parts)
        # A playlist stops listing the parts of a segment long before the segment, which is joined from them here.
        joined = (part for name in listing.segments for part in self._parts.get(name, ()))
        now_s, nothing = self._clock(), (0.0, 0.0)
        for name in (*listing.names(), *joined):
            longest_s = max(self._listed.get(name, nothing)[1], listing.duration_s)
            self._listed[name] = now_s + longest_s + 2 * listing.target_duration_s, longest_s
        self._missing &= self._listed.keys()
        self._forget()
        hints = [listing.hint] if listing.hint else []
        return [name for name in dict.fromkeys([*new, *hints]) if name not in self._objects]

    def set_multivariant(self, text: bytes) -> None:
        self._multivariant = text

    def keep(self, name: str, body: bytes) -> None:
        """Store an object, and drop the oldest ones if ``max_bytes`` is exceeded."""
        if name in self._objects:
            return
        self._objects[name] = body
        self._bytes += len(body)
        self._missing.discard(name)
        while self._bytes > self._max_bytes and len(self._objects) > 1:
            self.evicted += 1
            self._drop(next(iter(self._objects)))

    def miss(self, name: str) -> None:
        """Note that the origin does not have this object: requests for it are answered with 404."""
        self._missing.add(name)

    def clear(self) -> None:
        """Drop everything: nobody watches, and all media will be outdated when a viewer comes back."""
        self._media = self._delta = self._multivariant = b""
        self._listing = None
        self._objects.clear()
        self._bytes = 0
        self._listed.clear()
        self._parts.clear()
        self._missing.clear()

    @staticmethod
    def _ahead(listing: RelayedPlaylist) -> Iterator[str]:
        """Yield the names that viewers request next: initialization sections and parts, or segments without parts."""
        yield from listing.inits
        for name, parts in listing.segments.items():
            yield from parts or (() if listing.blocks else (name,))
        yield from listing.open_parts

    def _forget(self) -> None:
        now_s = self._clock()
        for name in [each for each, (until_s, _) in self._listed.items() if until_s <= now_s]:
            del self._listed[name]
            self._parts.pop(name, None)
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._bytes -= len(self._objects.pop(name, b""))

    # ---- reading -----------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Return whether both playlists can be served."""
        return self._listing is not None and bool(self._multivariant)

    @property
    def has_multivariant(self) -> bool:
        """Return whether the multivariant playlist has been fetched."""
        return bool(self._multivariant)

    @property
    def inits(self) -> frozenset[str]:
        """Return the listed initialization sections. A new one means that the multivariant playlist has changed too."""
        return frozenset(self._listing.inits) if self._listing is not None else frozenset()

    @property
    def media_bytes(self) -> int:
        """Return the size of the stored objects."""
        return self._bytes

    @property
    def position(self) -> Position | None:
        """Return the end of the playlist; None: there is no playlist."""
        return self._listing.position if self._listing is not None else None

    def multivariant_playlist(self) -> bytes:
        """Return the multivariant playlist as the origin wrote it."""
        return self._multivariant

    def media_playlist(self, *, skip: bool = False) -> bytes:
        """Return the media playlist as the origin wrote it; with ``skip``, its delta update, if possible."""
        if not skip:
            return self._media
        self._delta = self._delta or delta_update(self._media)
        return self._delta

    def resolve_reload(self, msn: int | None, part: int | None = None) -> Ready | Wait | BadRequest:
        """Return how to answer a playlist request for the current playlist, by the same rules as the origin."""
        return resolve_reload(self.position if self.ready else None, msn, part)

    def lookup(self, name: str) -> Found | Pending | None:
        """Return the object with this name; None: it does not exist; Pending: its fetch has been requested."""
        body = self._body(name)
        if body is not None:
            return Found(body)
        if name in self._missing or name not in self._listed:
            return None
        parts = self._parts.get(name, ())
        for each in [part for part in parts if part not in self._objects] if self._have_most(parts) else [name]:
            self._request_fetch(each)
        return Pending()

    def _body(self, name: str) -> tuple[bytes, ...] | None:
        if name in self._objects:
            return (self._objects[name],)
        parts = self._parts.get(name)
        if not parts or any(part not in self._objects for part in parts):
            return None
        return tuple(self._objects[part] for part in parts)

    def _have_most(self, parts: tuple[str, ...]) -> bool:
        """Return whether to fetch the missing parts, because this costs less than the whole segment."""
        missing = [part for part in parts if part not in self._objects]
        return bool(parts) and 2 * len(missing) <= len(parts) and not self._missing.intersection(missing)
