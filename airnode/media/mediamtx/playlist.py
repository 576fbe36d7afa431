"""Reading MediaMTX's playlists, and knowing what to fetch next. No I/O and no clock.

gohlslib, which makes them, gives each track a rendition of its own, begins with seven gap segments, lists parts for the
last two segments only, and names everything anew when its muxer starts again.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')
#: Most lines of a playlist that are looked at.
_MAX_LINES = 20_000


class MuxerRestarted(Exception):
    """The muxer began anew: what was known of its renditions is void."""


def attributes(text: str) -> dict[str, str]:
    """An attribute list (RFC 8216 4.2), without the quotes."""
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(text)}


def parse_multivariant_playlist(text: str) -> tuple[str, ...]:
    """URIs of the media playlists that make up one presentation: the first variant's, and of its audio's default.

    Raises:
        ValueError: it is none.
    """
    lines = _lines(text)
    renditions: dict[str, str] = {}
    variant: dict[str, str] | None = None
    uri = ""
    for line in lines:
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-MEDIA":
            media = attributes(value)
            group = media.get("GROUP-ID", "")
            if media.get("TYPE") == "AUDIO" and (group not in renditions or media.get("DEFAULT") == "YES"):
                renditions[group] = media.get("URI", "")
        elif tag == "#EXT-X-STREAM-INF" and variant is None:
            variant = attributes(value)
        elif variant is not None and not uri and not line.startswith("#"):
            uri = line
    if variant is None or not uri:
        raise ValueError("a multivariant playlist without a variant")
    audio = renditions.get(variant.get("AUDIO", ""), "")
    return tuple(dict.fromkeys(each for each in (uri, audio) if each))


@dataclass(slots=True)
class ParsedSegment:
    """A segment as it is listed. The open one has no ``name``.

    Attributes:
        init: the initialization section that it needs. parts: their names, as far as they are listed.
    """

    msn: int
    init: str
    name: str = ""
    parts: list[str] = field(default_factory=list)
    gap: bool = False


@dataclass(slots=True)
class ParsedPlaylist:
    """A media playlist."""

    media_sequence: int = 0
    target_duration_s: int = 0
    blocks: bool = False
    ended: bool = False
    segments: list[ParsedSegment] = field(default_factory=list)

    @property
    def next(self) -> tuple[int, int]:
        """(msn, part) of what is not listed yet."""
        if not self.segments:
            return self.media_sequence, 0
        last = self.segments[-1]
        return (last.msn + 1, 0) if last.name else (last.msn, len(last.parts))


def parse_media_playlist(text: str) -> ParsedPlaylist:
    """Read a media playlist.

    Raises:
        ValueError: it is none.
    """
    found = ParsedPlaylist()
    segment: ParsedSegment | None = None
    closed = list[ParsedSegment]()
    init = ""
    for line in _lines(text):
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-MEDIA-SEQUENCE":
            found.media_sequence = int(value)
            continue
        if tag in ("#EXT-X-PART", "#EXT-X-GAP") or not line.startswith("#"):
            segment = segment or ParsedSegment(found.media_sequence + len(closed), init)
        match tag:
            case "#EXT-X-TARGETDURATION":
                found.target_duration_s = int(value)
            case "#EXT-X-SERVER-CONTROL":
                found.blocks = attributes(value).get("CAN-BLOCK-RELOAD") == "YES"
            case "#EXT-X-MAP":
                init = attributes(value).get("URI", "")
            case "#EXT-X-ENDLIST":
                found.ended = True
            case "#EXT-X-PART" if segment is not None:
                segment.parts.append(attributes(value).get("URI", ""))
            case "#EXT-X-GAP" if segment is not None:
                segment.gap = True
            case _ if segment is not None and not line.startswith("#"):
                segment.name = line
                closed.append(segment)
                segment = None
    found.segments = [*closed, segment] if segment is not None else closed
    if not found.target_duration_s:
        raise ValueError("a media playlist without a target duration")
    return found


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()[:_MAX_LINES]]
    if not lines or lines[0] != "#EXTM3U":
        raise ValueError("not a playlist")
    return [line for line in lines[1:] if line]


@dataclass(frozen=True, slots=True)
class PlaylistItem:
    """Something to fetch: a part or a segment, and the initialization section that it needs."""

    name: str
    init: str


class PlaylistCursor:
    """Where one reader of one rendition is."""

    def __init__(self) -> None:
        self._at: tuple[int, int] | None = None
        #: Segments that were gone before they could be read.
        self.lost = 0

    def query(self, playlist: ParsedPlaylist) -> dict[str, str]:
        """What makes the next reload wait until there is something new; empty: it cannot wait."""
        if not playlist.blocks or playlist.ended or self._at is None:
            return {}
        return {"_HLS_msn": str(self._at[0]), "_HLS_part": str(self._at[1])}

    def take(self, playlist: ParsedPlaylist) -> list[PlaylistItem]:
        """What to fetch now, in order: parts, or whole segments whose parts are not listed (any more).

        Raises:
            MuxerRestarted: the playlist ends before what was read already.
        """
        if self._at is None:
            self._at = (_entry(playlist), 0)
        elif playlist.next < self._at:
            raise MuxerRestarted
        if playlist.media_sequence > self._at[0]:
            self.lost += playlist.media_sequence - self._at[0]
            self._at = (playlist.media_sequence, 0)
        found = [
            PlaylistItem(name, segment.init)
            for segment in playlist.segments
            if segment.msn >= self._at[0]
            for name in self._new(segment)
        ]
        self._at = playlist.next
        return found

    def _new(self, segment: ParsedSegment) -> Iterator[str]:
        msn, part = self._at or (0, 0)
        if segment.gap:
            return
        if segment.parts:
            yield from segment.parts[part if segment.msn == msn else 0 :]
        elif segment.name:
            yield segment.name


def _entry(playlist: ParsedPlaylist) -> int:
    """Where to begin: the newest segment that has parts; it begins with a key frame, and all renditions cut alike."""
    for segment in reversed(playlist.segments):
        if segment.parts and not segment.gap:
            return segment.msn
    return max((segment.msn for segment in playlist.segments if not segment.gap), default=playlist.next[0])
