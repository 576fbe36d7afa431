"""The window of a relayed room: the origin's playlists as they came, and the objects that they name, kept a while.

No I/O and no clock. Objects are immutable, so a name that was fetched once serves all viewers here. A whole segment is
put together from its parts, which were fetched as they appeared.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from airnode.media.hls.blocking_reload import BadRequest, Position, Ready, Wait, resolve_reload
from airnode.media.hls.media_store import Found
from airnode.media.hls.playlist import delta_update
from airnode.media.hls.window import Pending

#: Objects can be had for so many segments after they left the playlist.
RETAINED_SEGMENTS = 2
_URI = re.compile(r'URI="([^"]*)"')


@dataclass(slots=True)
class RelayedPlaylist:
    """What a media playlist of ours names.

    Attributes:
        segments: {name of a finished segment: names of its listed parts}; of gap segments too.
        open_parts: names behind the last finished segment.
    """

    media_sequence: int = 0
    target_duration_s: int = 0
    part_target_s: float = 0.0
    blocks: bool = False
    ended: bool = False
    hint: str = ""
    last_is_gap: bool = False
    segments: dict[str, tuple[str, ...]] = field(default_factory=dict)
    open_parts: tuple[str, ...] = ()
    inits: set[str] = field(default_factory=set)

    @property
    def position(self) -> Position:
        """Where its end is."""
        last = next(reversed(self.segments.values()), None)
        return Position(
            next_msn=self.media_sequence + len(self.segments),
            open_parts=len(self.open_parts),
            last_parts=None if last is None or self.last_is_gap else len(last),
            part_target_s=self.part_target_s,
            blocks=self.blocks and not self.ended,
        )

    def names(self) -> Iterator[str]:
        """Everything that it names."""
        yield from self.inits
        for name, parts in self.segments.items():
            yield name
            yield from parts
        yield from self.open_parts
        if self.hint:
            yield self.hint


def parse_playlist(text: bytes) -> RelayedPlaylist:
    """Read a full media playlist of our own making.

    Raises:
        ValueError: it is none.
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
    at = listing.position
    return at.next_msn, at.open_parts


class RelayedWindow:
    """What viewers are answered from.

    Args:
        want: called with a name that somebody asks for and that is not here (yet); it may be called again and again.
        max_bytes: of media; the oldest goes first, the newest object stays however large it is.

    Attributes:
        evicted: objects that went because of ``max_bytes``.
    """

    media_uri = "media.m3u8"

    def __init__(self, want: Callable[[str], None], max_bytes: int) -> None:
        self._want = want
        self._max_bytes = max_bytes
        self.evicted = 0
        self.target_duration_s = 0
        self.ended = False
        self._media = b""
        #: The delta update that goes with it, once somebody asked; empty: nobody did.
        self._delta = b""
        self._multivariant = b""
        self._listing: RelayedPlaylist | None = None
        #: {name: body}, oldest first.
        self._objects: dict[str, bytes] = {}
        self._bytes = 0
        #: {name: the next msn when it was listed last}.
        self._listed: dict[str, int] = {}
        #: {finished segment: its parts}, as far as all of them were listed.
        self._parts: dict[str, tuple[str, ...]] = {}
        self._missing: set[str] = set()

    # ---- writing -----------------------------------------------------------------------------------------------------

    def update(self, media: bytes, *, forward: bool = False) -> list[str]:
        """Take the origin's playlist; what is new in it and worth fetching at once.

        Args:
            forward: take no older one than there is: another edge may be behind the one before.

        Raises:
            ValueError: it is no playlist of ours, or an older one.
        """
        listing = parse_playlist(media)
        if forward and self._listing is not None and _end(listing) < _end(self._listing):
            raise ValueError("an older playlist than the one before")
        before, self._listing, self._media, self._delta = self._listing, listing, media, b""
        self.target_duration_s = listing.target_duration_s
        self.ended = listing.ended
        next_msn = listing.position.next_msn
        new = [name for name in self._ahead(listing) if name not in self._listed] if before is not None else []
        self._listed.update(dict.fromkeys(listing.names(), next_msn))
        self._parts.update((name, parts) for name, parts in listing.segments.items() if parts)
        self._missing &= self._listed.keys()
        self._forget(listing, next_msn)
        hints = [listing.hint] if listing.hint else []
        return [name for name in dict.fromkeys([*new, *hints]) if name not in self._objects]

    def set_multivariant(self, text: bytes) -> None:
        """Take the origin's multivariant playlist."""
        self._multivariant = text

    def keep(self, name: str, body: bytes) -> None:
        """Take an object."""
        if name in self._objects:
            return
        self._objects[name] = body
        self._bytes += len(body)
        self._missing.discard(name)
        while self._bytes > self._max_bytes and len(self._objects) > 1:
            self.evicted += 1
            self._drop(next(iter(self._objects)))

    def miss(self, name: str) -> None:
        """The origin does not have it."""
        self._missing.add(name)

    def clear(self) -> None:
        """Nobody watches: what is here will be old when somebody comes again."""
        self._media = self._delta = self._multivariant = b""
        self._listing = None
        self._objects.clear()
        self._bytes = 0
        self._listed.clear()
        self._parts.clear()
        self._missing.clear()

    @staticmethod
    def _ahead(listing: RelayedPlaylist) -> Iterator[str]:
        """What viewers fetch next: initialization sections and parts; segments where there are no parts."""
        yield from listing.inits
        for name, parts in listing.segments.items():
            yield from parts or (() if listing.blocks else (name,))
        yield from listing.open_parts

    def _forget(self, listing: RelayedPlaylist, next_msn: int) -> None:
        for name in [
            each for each, msn in self._listed.items() if next_msn < msn or next_msn - msn > RETAINED_SEGMENTS
        ]:
            if not self._needed(name, listing):
                del self._listed[name]
                self._parts.pop(name, None)
                self._drop(name)

    def _needed(self, name: str, listing: RelayedPlaylist) -> bool:
        """Whether it is a part of a segment that is listed, though its parts are not any more."""
        return any(name in self._parts.get(segment, ()) for segment in listing.segments)

    def _drop(self, name: str) -> None:
        self._bytes -= len(self._objects.pop(name, b""))

    # ---- reading -----------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether there is a playlist to serve."""
        return self._listing is not None and bool(self._multivariant)

    @property
    def has_multivariant(self) -> bool:
        """Whether the multivariant playlist is here."""
        return bool(self._multivariant)

    @property
    def inits(self) -> frozenset[str]:
        """Initialization sections that are listed: a new one brings a new multivariant playlist."""
        return frozenset(self._listing.inits) if self._listing is not None else frozenset()

    @property
    def media_bytes(self) -> int:
        """Bytes held."""
        return self._bytes

    @property
    def position(self) -> Position | None:
        """Where the end of the playlist is; None: there is none."""
        return self._listing.position if self._listing is not None else None

    def multivariant_playlist(self) -> bytes:
        """As the origin wrote it."""
        return self._multivariant

    def media_playlist(self, *, skip: bool = False) -> bytes:
        """As the origin wrote it; with ``skip`` the delta update that it would write, where it offers to."""
        if not skip:
            return self._media
        self._delta = self._delta or delta_update(self._media)
        return self._delta

    def resolve_reload(self, msn: int | None, part: int | None = None) -> Ready | Wait | BadRequest:
        """As at the origin, for the playlist that is here."""
        return resolve_reload(self.position if self.ready else None, msn, part)

    def lookup(self, name: str) -> Found | Pending | None:
        """A body, or nothing; or Pending, and it is asked for."""
        body = self._body(name)
        if body is not None:
            return Found(body)
        if name in self._missing or name not in self._listed:
            return None
        parts = self._parts.get(name, ())
        for each in [part for part in parts if part not in self._objects] if self._have_most(parts) else [name]:
            self._want(each)
        return Pending()

    def _body(self, name: str) -> tuple[bytes, ...] | None:
        if name in self._objects:
            return (self._objects[name],)
        parts = self._parts.get(name)
        if not parts or any(part not in self._objects for part in parts):
            return None
        return tuple(self._objects[part] for part in parts)

    def _have_most(self, parts: tuple[str, ...]) -> bool:
        """Whether a segment is better put together than fetched."""
        missing = [part for part in parts if part not in self._objects]
        return bool(parts) and 2 * len(missing) <= len(parts) and not self._missing.intersection(missing)
