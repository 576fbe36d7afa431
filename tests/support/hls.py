"""A strict reader of HLS playlists: every rule of draft-pantos-hls-rfc8216bis that a playlist alone, or two versions of
one, can break. It shares no code with the writer; integration tests may point it at any server."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(?:,|$)')

_ONCE = {
    "#EXT-X-VERSION",
    "#EXT-X-TARGETDURATION",
    "#EXT-X-MEDIA-SEQUENCE",
    "#EXT-X-DISCONTINUITY-SEQUENCE",
    "#EXT-X-SERVER-CONTROL",
    "#EXT-X-PART-INF",
    "#EXT-X-INDEPENDENT-SEGMENTS",
    "#EXT-X-SKIP",
    "#EXT-X-ENDLIST",
    "#EXT-X-PLAYLIST-TYPE",
}

_KNOWN = _ONCE | {
    "#EXTM3U",
    "#EXTINF",
    "#EXT-X-MAP",
    "#EXT-X-GAP",
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-PROGRAM-DATE-TIME",
    "#EXT-X-PART",
    "#EXT-X-PRELOAD-HINT",
}

_BARE = {"#EXT-X-INDEPENDENT-SEGMENTS", "#EXT-X-ENDLIST", "#EXT-X-GAP", "#EXT-X-DISCONTINUITY"}


class PlaylistError(AssertionError):
    """A rule is broken; the text says which rule, and where."""


def rule(holds: object, text: str) -> None:
    if not holds:
        raise PlaylistError(text)


def attributes(text: str) -> dict[str, str]:
    """Return the attributes of an attribute list (4.2); names must be unique."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _ATTRIBUTE.match(text, at)
        rule(match, f"bad attribute list: {text!r}")
        assert match
        rule(match[1] not in found, f"attribute {match[1]} twice: {text!r}")
        found[match[1]] = match[2].strip('"')
        at = match.end()
    return found


@dataclass
class PartLine:
    uri: str
    duration_s: float
    independent: bool


@dataclass
class SegmentLines:
    msn: int
    uri: str = ""
    duration_s: float = 0.0
    map_uri: str = ""
    discontinuity: bool = False
    gap: bool = False
    date: datetime | None = None
    parts: list[PartLine] = field(default_factory=list)


@dataclass
class Media:
    """A parsed media playlist. ``open_segment``: the parts after the last whole segment; ``kind``: VOD or EVENT."""

    version: int = 0
    target_duration_s: int = 0
    media_sequence: int = 0
    discontinuity_sequence: int = 0
    control: dict[str, str] = field(default_factory=dict)
    part_target_s: float = 0.0
    independent: bool = False
    skipped: int = 0
    ended: bool = False
    kind: str = ""
    hint: str = ""
    segments: list[SegmentLines] = field(default_factory=list)
    open_segment: SegmentLines | None = None

    @property
    def last_msn(self) -> int:
        """Return the sequence number of the newest segment, which may still be open."""
        if self.open_segment is not None and self.open_segment.parts:
            return self.open_segment.msn
        return self.media_sequence + self.skipped + len(self.segments) - 1

    @property
    def duration_s(self) -> float:
        return sum(s.duration_s for s in self.segments) + sum(p.duration_s for p in self.trailing_parts)

    @property
    def trailing_parts(self) -> list[PartLine]:
        return self.open_segment.parts if self.open_segment is not None else []


def read_media(text: bytes, *, accepted: frozenset[str] = frozenset()) -> Media:
    """Return a parsed media playlist, after checking all rules that one version alone can break.

    ``accepted``: names of parts that were long enough before PART-TARGET increased.
    """
    lines = text.decode("utf-8").split("\n")
    rule(lines[0] == "#EXTM3U", "the first line is not #EXTM3U")
    rule(lines[-1] == "" and "" not in lines[:-1], "empty lines, or no newline at the end")
    rule(not text.startswith(b"\xef\xbb\xbf") and b"\r" not in text, "a byte order mark or CR")
    playlist = _Reader(lines[1:-1]).read()
    _check(playlist, accepted)
    return playlist


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.media = Media()
        self.seen: set[str] = set()
        self.map_uri = ""
        self.current: SegmentLines | None = None
        self.extinf = False

    def read(self) -> Media:
        for line in self.lines:
            if line.startswith("#"):
                tag, _, value = line.partition(":")
                rule(tag in _KNOWN, f"unknown tag {tag}")
                rule(tag not in _ONCE or tag not in self.seen, f"{tag} twice")
                rule(tag not in _BARE or not value, f"{tag} with a value")
                self.seen.add(tag)
                getattr(self, "tag_" + tag[1:].lower().replace("-", "_"))(value)
            else:
                self.uri(line)
        rule(not self.extinf, "EXTINF without a URI")
        if self.current is not None:
            rule(not self.current.gap, "EXT-X-GAP without a segment")
            self.media.open_segment = self.current
        for tag in ("#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE"):
            rule(tag in self.seen, f"{tag} is missing")
        return self.media

    def segment(self) -> SegmentLines:
        if self.current is None:
            msn = self.media.media_sequence + self.media.skipped + len(self.media.segments)
            self.current = SegmentLines(msn, map_uri=self.map_uri)
        return self.current

    def before_segments(self, tag: str) -> None:
        rule(not self.media.segments and self.current is None, f"{tag} behind the first segment")

    def uri(self, line: str) -> None:
        rule(self.extinf, f"URI without EXTINF: {line}")
        self.relative(line)
        segment = self.segment()
        segment.uri = line
        self.media.segments.append(segment)
        self.current, self.extinf = None, False

    def relative(self, uri: str) -> None:
        rule(uri and "/" not in uri and ":" not in uri and " " not in uri, f"URI is not relative and plain: {uri!r}")

    def tag_ext_x_version(self, value: str) -> None:
        self.media.version = int(value)

    def tag_ext_x_targetduration(self, value: str) -> None:
        rule(value.isdigit(), "TARGETDURATION is not a decimal integer")
        self.media.target_duration_s = int(value)

    def tag_ext_x_media_sequence(self, value: str) -> None:
        self.before_segments("EXT-X-MEDIA-SEQUENCE")
        self.media.media_sequence = int(value)

    def tag_ext_x_discontinuity_sequence(self, value: str) -> None:
        self.before_segments("EXT-X-DISCONTINUITY-SEQUENCE")
        self.media.discontinuity_sequence = int(value)

    def tag_ext_x_server_control(self, value: str) -> None:
        self.media.control = attributes(value)

    def tag_ext_x_part_inf(self, value: str) -> None:
        self.media.part_target_s = float(attributes(value)["PART-TARGET"])

    def tag_ext_x_independent_segments(self, value: str) -> None:
        self.media.independent = True

    def tag_ext_x_skip(self, value: str) -> None:
        self.before_segments("EXT-X-SKIP")
        self.media.skipped = int(attributes(value)["SKIPPED-SEGMENTS"])

    def tag_ext_x_playlist_type(self, value: str) -> None:
        self.before_segments("EXT-X-PLAYLIST-TYPE")
        rule(value in ("VOD", "EVENT"), f"bad EXT-X-PLAYLIST-TYPE {value}")
        self.media.kind = value

    def tag_ext_x_endlist(self, value: str) -> None:
        self.media.ended = True

    def tag_ext_x_map(self, value: str) -> None:
        self.map_uri = attributes(value)["URI"]
        self.relative(self.map_uri)
        if self.current is not None:
            rule(not self.current.parts, "EXT-X-MAP behind a part of its segment")
            self.current.map_uri = self.map_uri

    def tag_ext_x_gap(self, value: str) -> None:
        self.segment().gap = True

    def tag_ext_x_discontinuity(self, value: str) -> None:
        rule(not self.segment().parts, "EXT-X-DISCONTINUITY behind a part of its segment")
        self.segment().discontinuity = True

    def tag_ext_x_program_date_time(self, value: str) -> None:
        segment = self.segment()
        rule(segment.date is None, "two dates for a segment")
        rule(not segment.parts, "date behind a part of its segment")
        segment.date = datetime.fromisoformat(value)
        rule(segment.date.tzinfo is not None, "date without a time zone")

    def tag_ext_x_part(self, value: str) -> None:
        found = attributes(value)
        rule(set(found) <= {"DURATION", "URI", "INDEPENDENT"}, f"unknown attributes: {value}")
        rule(found.get("INDEPENDENT", "YES") == "YES", "INDEPENDENT is not YES")
        self.relative(found["URI"])
        self.segment().parts.append(PartLine(found["URI"], float(found["DURATION"]), "INDEPENDENT" in found))

    def tag_extinf(self, value: str) -> None:
        rule(not self.extinf, "two EXTINF for a segment")
        duration, comma, _ = value.partition(",")
        rule(comma, "EXTINF without a comma")
        self.segment().duration_s = float(duration)
        self.extinf = True

    def tag_ext_x_preload_hint(self, value: str) -> None:
        found = attributes(value)
        rule(found["TYPE"] == "PART" and set(found) == {"TYPE", "URI"}, f"hint: {value}")
        rule(not self.media.hint, "two preload hints for parts")
        self.relative(found["URI"])
        self.media.hint = found["URI"]


def _check(media: Media, accepted: frozenset[str]) -> None:
    _check_versions(media)
    target = media.target_duration_s
    for segment in media.segments:
        # 4.4.3.1
        rule(int(segment.duration_s + 0.5) <= target, f"segment of {segment.duration_s} s, target duration {target}")
        rule(segment.duration_s > 0, "empty segment")
        rule(segment.map_uri or media.skipped, "fMP4 segment without EXT-X-MAP")
        rule(segment.gap or segment.date or media.kind, "segment without a date")
    uris = [s.uri for s in media.segments] + [p.uri for s in _all(media) for p in s.parts]
    rule(len(uris) == len(set(uris)), "a URI twice")
    _check_dates(media)
    if not media.part_target_s:
        rule(not media.hint and not any(s.parts for s in _all(media)), "parts without EXT-X-PART-INF")
        return
    _check_low_latency(media, accepted)


def _all(media: Media) -> list[SegmentLines]:
    return media.segments + ([media.open_segment] if media.open_segment is not None else [])


def _check_versions(media: Media) -> None:
    rule(media.version >= 6, "EXT-X-MAP needs version 6")
    if any(segment.gap for segment in media.segments):
        rule(media.version >= 8, "EXT-X-GAP: version 8")
    if media.skipped:
        rule(media.version >= 9, "EXT-X-SKIP needs version 9")
        rule(media.control.get("CAN-SKIP-UNTIL"), "delta update without CAN-SKIP-UNTIL")


def _check_dates(media: Media) -> None:
    for before, after in zip(_all(media), _all(media)[1:], strict=False):
        if before.date and after.date:
            rule(after.date >= before.date, "dates go back")
            if not after.discontinuity:
                off = after.date - before.date - timedelta(seconds=before.duration_s)
                rule(off > timedelta(seconds=-1), "date far before what the durations say")


def _check_low_latency(media: Media, accepted: frozenset[str]) -> None:
    target, part_target, control = media.target_duration_s, media.part_target_s, media.control
    rule(control.get("CAN-BLOCK-RELOAD") == "YES", "no blocking reload")
    # 4.4.3.8
    rule(float(control["PART-HOLD-BACK"]) >= 2 * part_target, "PART-HOLD-BACK below two part targets")
    rule(float(control["PART-HOLD-BACK"]) >= 3 * part_target - 1e-3, "PART-HOLD-BACK below three part targets")
    rule(float(control["HOLD-BACK"]) >= 3 * target, "HOLD-BACK below three target durations")
    rule(float(control["CAN-SKIP-UNTIL"]) >= 6 * target, "CAN-SKIP-UNTIL below six target durations")
    rule(part_target <= target + 0.5, "part target above the target duration")
    rule(bool(media.hint) != media.ended, "no preload hint while live, or one after the end")
    rule(media.hint not in {p.uri for s in _all(media) for p in s.parts}, "the hinted part is there already")
    for segment in _all(media):
        _check_parts(segment, part_target, accepted, open_one=segment is media.open_segment)
    after_s = sum(p.duration_s for p in media.trailing_parts)
    for segment in reversed(media.segments):
        rule(segment.parts or segment.gap or after_s >= 3 * target - 0.001, "parts are missing near the end (4.4.4.9)")
        rule(
            not segment.parts or after_s < 3 * target + 0.001, "parts further than three target durations from the end"
        )
        after_s += segment.duration_s


def _check_parts(segment: SegmentLines, part_target: float, accepted: frozenset[str], *, open_one: bool) -> None:
    """Check 4.4.4.9: a part has at most PART-TARGET, and 85 % of it or more unless it is independent or the last."""
    slack = 1e-4
    for index, part in enumerate(segment.parts):
        rule(0 < part.duration_s <= part_target + slack, f"part of {part.duration_s} s, part target {part_target}")
        last = index == len(segment.parts) - 1 and not open_one
        rule(
            part.duration_s >= 0.85 * part_target - slack or part.independent or last or part.uri in accepted,
            f"part {part.uri} of {part.duration_s} s is under 85 % of {part_target}",
        )
    if segment.parts and not open_one:
        total = sum(part.duration_s for part in segment.parts)
        rule(abs(total - segment.duration_s) < 0.001, f"parts of {total} s in a segment of {segment.duration_s} s")


def read_multivariant(text: bytes) -> tuple[dict[str, str], str]:
    """Return (attributes, URI) of the only variant."""
    lines = text.decode().split("\n")
    rule(lines[0] == "#EXTM3U" and lines[-1] == "", "not a playlist")
    streams = [index for index, line in enumerate(lines) if line.startswith("#EXT-X-STREAM-INF:")]
    rule(len(streams) == 1, "one variant is expected")
    found = attributes(lines[streams[0]].partition(":")[2])
    rule(int(found["BANDWIDTH"]) >= int(found["AVERAGE-BANDWIDTH"]) > 0, "bandwidth")
    rule(found["CODECS"], "no CODECS")
    rule("RESOLUTION" not in found or re.fullmatch(r"\d+x\d+", found["RESOLUTION"]), "RESOLUTION")
    return found, lines[streams[0] + 1]
