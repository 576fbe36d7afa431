"""Parses MediaMTX's playlists, and chooses the items to fetch next. No I/O and no clock.

gohlslib writes these playlists: each track is a rendition, the first seven segments are gaps, only the last two
segments have parts, and all names change when the muxer restarts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')
#: Most lines of a playlist that are parsed.
_MAX_LINES = 20_000


class MuxerRestarted(Exception):
    """The muxer restarted: its renditions must be read from the start."""


def attributes(text: str) -> dict[str, str]:
    """Return an attribute list (RFC 8216 4.2) without the quotes."""
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(text)}


def parse_multivariant_playlist(text: str) -> tuple[str, ...]:
    """Return the URIs of the media playlists of one presentation: the first variant and its default audio.

    Raises:
        ValueError: the text is no multivariant playlist.
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
    """A segment of a playlist. The open segment has no ``name``.

    Attributes:
        init: the URI of its initialization section.
        parts: (name, duration in s) of the listed parts.
    """

    msn: int
    init: str
    name: str = ""
    parts: list[tuple[str, float]] = field(default_factory=list)
    duration_s: float = 0.0
    gap: bool = False


@dataclass(slots=True)
class ParsedPlaylist:
    media_sequence: int = 0
    target_duration_s: int = 0
    blocks: bool = False
    ended: bool = False
    segments: list[ParsedSegment] = field(default_factory=list)

    @property
    def next(self) -> tuple[int, int]:
        """Return the (msn, part) of the first part that is not listed yet."""
        if not self.segments:
            return self.media_sequence, 0
        last = self.segments[-1]
        return (last.msn + 1, 0) if last.name else (last.msn, len(last.parts))


def parse_media_playlist(text: str) -> ParsedPlaylist:
    """Return a parsed media playlist.

    Raises:
        ValueError: the text is no media playlist.
    """
    found = ParsedPlaylist()
    segment: ParsedSegment | None = None
    closed = list[ParsedSegment]()
    init, duration_s = "", 0.0
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
            case "#EXTINF":
                duration_s = float(value.partition(",")[0])
            case "#EXT-X-PART" if segment is not None:
                part = attributes(value)
                segment.parts.append((part.get("URI", ""), float(part.get("DURATION", "0"))))
            case "#EXT-X-GAP" if segment is not None:
                segment.gap = True
            case _ if segment is not None and not line.startswith("#"):
                segment.name, segment.duration_s = line, duration_s
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
    """A part or a segment to fetch, and the URI of its initialization section."""

    name: str
    init: str
    duration_s: float = 0.0


class PlaylistCursor:
    """The position of one reader in one rendition."""

    def __init__(self) -> None:
        self._position: tuple[int, int] | None = None
        #: Number of segments that left the playlist before they were read.
        self.lost_segments = 0

    def query(self, playlist: ParsedPlaylist) -> dict[str, str]:
        """Return the query of a blocking reload for the next part; empty: send the request without blocking."""
        if not playlist.blocks or playlist.ended or self._position is None:
            return {}
        return {"_HLS_msn": str(self._position[0]), "_HLS_part": str(self._position[1])}

    def take(self, playlist: ParsedPlaylist) -> list[PlaylistItem]:
        """Return the items to fetch now, in order: parts, or whole segments whose parts are not listed.

        Raises:
            MuxerRestarted: the playlist ends before the items that were already read.
        """
        if self._position is None:
            self._position = (_first_msn(playlist), 0)
        elif playlist.next < self._position:
            raise MuxerRestarted
        if playlist.media_sequence > self._position[0]:
            self.lost_segments += playlist.media_sequence - self._position[0]
            self._position = (playlist.media_sequence, 0)
        found = [
            PlaylistItem(name, segment.init, duration_s)
            for segment in playlist.segments
            if segment.msn >= self._position[0]
            for name, duration_s in self._new(segment)
        ]
        self._position = playlist.next
        return found

    def _new(self, segment: ParsedSegment) -> Iterator[tuple[str, float]]:
        msn, part = self._position or (0, 0)
        if segment.gap:
            return
        if segment.parts:
            yield from segment.parts[part if segment.msn == msn else 0 :]
        elif segment.name:
            yield segment.name, segment.duration_s


def _first_msn(playlist: ParsedPlaylist) -> int:
    """Return the media sequence number of the segment to start with: the newest one with parts.

    This segment starts with a key frame, and all renditions have the same segment boundaries.
    """
    for segment in reversed(playlist.segments):
        if segment.parts and not segment.gap:
            return segment.msn
    return max((segment.msn for segment in playlist.segments if not segment.gap), default=playlist.next[0])
