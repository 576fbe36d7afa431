"""HLS playlists as text (draft-pantos-hls-rfc8216bis; section numbers are those of revision 16).

A playlist is rendered from the window's segments. All URIs are relative, so all viewers get the same byte string.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil

_CAN_SKIP_UNTIL = re.compile(r"CAN-SKIP-UNTIL=([0-9.]+)")
_PART_DURATION = re.compile(r"#EXT-X-PART:DURATION=([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Part:
    """A Partial Segment.

    Attributes:
        data: one fragment (moof, mdat).
        independent: it contains a key frame, or the stream has no video.
    """

    name: str
    data: bytes
    duration_s: float
    independent: bool


@dataclass(slots=True)
class Segment:
    """A Media Segment, finished or open.

    Attributes:
        msn: its media sequence number.
        init_name: name of its Media Initialization Section.
        discontinuity: EXT-X-DISCONTINUITY is written before it.
        independent: it begins with a key frame.
        gap: it has no media (EXT-X-GAP) and only fills the window before the stream began.
        start_unix_s: unix time of its first sample (EXT-X-PROGRAM-DATE-TIME).
        duration_s, size_bytes: sums over its parts.
        longest_playlist_s: duration of the longest playlist that listed it while it was finished.
    """

    msn: int
    name: str
    init_name: str = ""
    discontinuity: bool = False
    independent: bool = True
    gap: bool = False
    start_unix_s: float = 0.0
    duration_s: float = 0.0
    size_bytes: int = 0
    longest_playlist_s: float = 0.0
    parts: list[Part] = field(default_factory=list)
    _lines: str = ""

    def add(self, part: Part) -> None:
        self.parts.append(part)
        self.duration_s += part.duration_s
        self.size_bytes += len(part.data)

    def finished_lines(self) -> str:
        """Return the lines of a finished segment that never change. They are rendered once."""
        if not self._lines:
            gap = "#EXT-X-GAP\n" if self.gap else ""
            self._lines = f"{gap}#EXTINF:{self.duration_s:.5f},\n{self.name}\n"
        return self._lines


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """The content of a Media Playlist.

    Attributes:
        first_init: name of the Media Initialization Section that applies to the first segment.
        low_latency: the playlist has parts, blocking reload and delta updates.
        parts_from_msn: parts are listed from the segment with this media sequence number on.
        hint: name of the next part (EXT-X-PRELOAD-HINT); not rendered after the end of the stream.
        skip: number of segments that are left out at the start (a Playlist Delta Update); 0: a full playlist.
    """

    segments: Sequence[Segment]
    open_segment: Segment | None
    target_duration_s: int
    part_target_s: float
    part_hold_back_s: float
    discontinuity_sequence: int
    first_init: str
    low_latency: bool
    parts_from_msn: int = 0
    hint: str = ""
    ended: bool = False
    skip: int = 0

    def render(self) -> bytes:
        """Return the playlist's text, encoded in UTF-8."""
        lines = self._header()
        init = self.first_init
        if self.skip:
            lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={self.skip}\n")
            init = self.segments[self.skip - 1].init_name or init
        else:
            lines.append(f'#EXT-X-MAP:URI="{init}"\n')
        for segment in self.segments[self.skip :]:
            lines += self._segment(segment, init)
            lines.append(segment.finished_lines())
            init = segment.init_name or init
        if self.open_segment is not None and self.open_segment.parts and self.low_latency:
            lines += self._segment(self.open_segment, init)
        lines.append(self._ending())
        return "".join(lines).encode()

    def _header(self) -> list[str]:
        first = self.segments[0] if self.segments else self.open_segment
        hold_back_s = 3 * self.target_duration_s
        lines = [f"#EXTM3U\n#EXT-X-VERSION:{9 if self.low_latency else 7}\n"]
        lines.append(f"#EXT-X-TARGETDURATION:{self.target_duration_s}\n")
        if self.low_latency:
            lines.append(
                f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={6 * self.target_duration_s:.1f},"
                f"HOLD-BACK={hold_back_s:.1f},PART-HOLD-BACK={self.part_hold_back_s:.3f}\n"
                f"#EXT-X-PART-INF:PART-TARGET={self.part_target_s:.3f}\n"
            )
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first.msn if first else 0}\n")
        lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{self.discontinuity_sequence}\n")
        if self._all_independent():
            lines.append("#EXT-X-INDEPENDENT-SEGMENTS\n")
        return lines

    def _all_independent(self) -> bool:
        open_one = self.open_segment
        return all(segment.independent for segment in self.segments) and (open_one is None or open_one.independent)

    def _segment(self, segment: Segment, init: str) -> Iterable[str]:
        """Yield the lines before a segment's EXTINF: discontinuity, initialization section, date, parts."""
        if segment.discontinuity:
            yield "#EXT-X-DISCONTINUITY\n"
        if segment.init_name and segment.init_name != init:
            yield f'#EXT-X-MAP:URI="{segment.init_name}"\n'
        if not segment.gap:
            yield f"#EXT-X-PROGRAM-DATE-TIME:{date_time(segment.start_unix_s)}\n"
        if self.low_latency and segment.msn >= self.parts_from_msn:
            for part in segment.parts:
                independent = ",INDEPENDENT=YES" if part.independent else ""
                yield f'#EXT-X-PART:DURATION={part.duration_s:.5f},URI="{part.name}"{independent}\n'

    def _ending(self) -> str:
        if self.ended:
            return "#EXT-X-ENDLIST\n"
        return f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{self.hint}"\n' if self.low_latency else ""


def count_before(segments: Sequence[Segment], open_segment: Segment | None, boundary_s: float) -> int:
    """Return how many segments at the start of a playlist end at least ``boundary_s`` before its end."""
    from_end_s = open_segment.duration_s if open_segment is not None else 0.0
    for kept, segment in enumerate(reversed(segments)):
        if from_end_s >= boundary_s:
            return len(segments) - kept
        from_end_s += segment.duration_s
    return 0


def bit_rates_bps(segments: Iterable[Segment], open_segment: Segment | None) -> tuple[int, int]:
    """Return the highest bit rate of a segment, and the average bit rate of all; 1 if nothing can be measured.

    The open segment counts only while no other segment has media.
    """
    measured = [segment for segment in segments if segment.size_bytes]
    if not measured and open_segment is not None:
        measured = [open_segment]
    rates = [segment.size_bytes * 8 / segment.duration_s for segment in measured if segment.duration_s]
    duration_s = sum(segment.duration_s for segment in measured)
    if not rates:
        return 1, 1
    return ceil(max(rates)), ceil(sum(segment.size_bytes for segment in measured) * 8 / duration_s)


def date_time(unix_s: float) -> str:
    """Return a unix time in ISO 8601, in UTC with milliseconds."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def multivariant_playlist(
    *,
    uri: str,
    codecs: Sequence[str],
    width: int,
    height: int,
    frame_rate: float,
    bandwidth_bps: int,
    average_bandwidth_bps: int,
    low_latency: bool,
) -> bytes:
    """Return a Multivariant Playlist with one variant (4.4.6.2); ``width`` 0: there is no video."""
    attributes = [f"BANDWIDTH={bandwidth_bps}", f"AVERAGE-BANDWIDTH={average_bandwidth_bps}"]
    attributes.append(f'CODECS="{",".join(codecs)}"')
    if width:
        attributes.append(f"RESOLUTION={width}x{height}")
        if frame_rate > 0:
            attributes.append(f"FRAME-RATE={frame_rate:.3f}")
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{9 if low_latency else 7}"]
    lines += ["#EXT-X-STREAM-INF:" + ",".join(attributes), uri, ""]
    return "\n".join(lines).encode()


def delta_update(text: bytes) -> bytes:
    """Return the Playlist Delta Update (6.2.5.1) of a full media playlist that airnode rendered.

    An edge has only the text of the playlist. The result has the same bytes as the origin renders with ``skip``: the
    playlist without the segments before the skip boundary. If no segment can be skipped, or CAN-SKIP-UNTIL is missing,
    the result is the whole playlist.
    """
    lines = text.decode().splitlines(keepends=True)
    offered = next((found for line in lines if (found := _CAN_SKIP_UNTIL.search(line))), None)
    if offered is None:
        return text
    ends = [index for index, line in enumerate(lines) if not line.startswith("#")]
    skipped = _skippable_segments(lines, ends, float(offered[1]))
    if not skipped:
        return text
    first_map = next(index for index, line in enumerate(lines) if line.startswith("#EXT-X-MAP:"))
    kept = lines[ends[skipped - 1] + 1 :]
    return "".join([*lines[:first_map], f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n", *kept]).encode()


def _skippable_segments(lines: list[str], ends: list[int], boundary_s: float) -> int:
    """Return the number of segments that end more than ``boundary_s`` before the end of the playlist.

    Args:
        ends: indices of the lines with segments' URIs.
    """
    tail = lines[ends[-1] + 1 :] if ends else []
    from_end_s = sum(float(part[1]) for line in tail if (part := _PART_DURATION.match(line)))
    for kept, end in enumerate(reversed(ends)):
        if from_end_s >= boundary_s:
            return len(ends) - kept
        from_end_s += float(lines[end - 1].removeprefix("#EXTINF:").rstrip(",\n"))
    return 0
