"""The muxer of one track in the fake of MediaMTX: parts, segments and the playlist, like those of gohlslib."""

import asyncio
from struct import unpack_from

GAPS = 7

LISTED_PARTS_OF = 2


class Muxer:
    """The muxer of one track, like that of gohlslib."""

    def __init__(self, kind: str, prefix: str, segment_s: float, leading: "Muxer | None") -> None:
        self.name = {"video": "video1", "audio": "audio2"}[kind]
        self.prefix = f"{prefix}_{self.name}"
        self.segment_s = segment_s
        self.leading = leading
        self.init = b""
        self.timescale = 0
        self.codec = ""
        #: Finished segments: (duration, parts: [(duration, number, independent)]); None is a gap.
        self.segments: list[list[tuple[float, int, bool]] | None] = [None] * GAPS
        self.open: list[tuple[float, int, bool]] = []
        #: The start of each segment, in seconds of media.
        self.begins: list[float] = [0.0] * GAPS
        self.parts: list[bytes] = []
        self.changed = asyncio.Event()

    def begin(self, init: bytes) -> None:
        self.init = init
        at = init.index(b"mdhd") + 4
        (self.timescale,) = unpack_from(">I", init, at + (20 if init[at] else 12))
        avcc = init.find(b"avcC")
        self.codec = f"avc1.{init[avcc + 5 : avcc + 8].hex()}" if avcc > 0 else "mp4a.40.2"
        self.wake()

    def add(self, fragment: bytes) -> None:
        """Add a part."""
        time, duration, key = parse_fragment(fragment)
        begin, length = time / self.timescale, duration / self.timescale
        if not self.open:
            self.begins.append(begin)
        elif self._ends(begin, key):
            self.segments.append(self.open)
            self.open = []
            self.begins.append(begin)
        self.open.append((length, len(self.parts), key or self.leading is not None))
        self.parts.append(fragment)
        self.wake()

    def _ends(self, begin: float, key: bool) -> bool:
        if self.leading is None:
            return key and begin - self.begins[-1] >= self.segment_s - 0.001
        following = self.leading.begins[len(self.segments) + 1 :]
        return bool(following) and begin >= following[0]

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    @property
    def ready(self) -> bool:
        return bool(self.parts)

    def uri(self, number: int) -> str:
        return f"{self.prefix}_part{number}.mp4"

    def playlist(self, suffix: str) -> str:
        msn, listed = len(self.segments), 7
        first = max(0, msn - listed)
        target = max([1.0, *(sum(p[0] for p in each) for each in [*self.segments, self.open] if each)])
        part_target = max(part[0] for each in [*self.segments, self.open] if each for part in each)
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:10",
            f"#EXT-X-TARGETDURATION:{round(target + 0.49)}",
            f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={part_target * 2.5:.5f},CAN-SKIP-UNTIL=12",
            f"#EXT-X-PART-INF:PART-TARGET={part_target:.5f}",
            f"#EXT-X-MEDIA-SEQUENCE:{first}",
            f'#EXT-X-MAP:URI="{self.prefix}_init.mp4{suffix}"',
        ]
        for number in range(first, msn):
            segment = self.segments[number]
            if segment is None:
                lines += ["#EXT-X-GAP", "#EXTINF:1.00000,", "gap.mp4"]
                continue
            if number >= msn - LISTED_PARTS_OF:
                lines += self._parts(segment, suffix)
            lines += [f"#EXTINF:{sum(p[0] for p in segment):.5f},", f"{self.prefix}_seg{number}.mp4{suffix}"]
        lines += self._parts(self.open, suffix)
        lines += [f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{self.uri(len(self.parts))}{suffix}"', ""]
        return "\n".join(lines)

    def _parts(self, parts: list[tuple[float, int, bool]], suffix: str) -> list[str]:
        return [
            f'#EXT-X-PART:DURATION={length:.5f},URI="{self.uri(number)}{suffix}"'
            + (",INDEPENDENT=YES" if independent else "")
            for length, number, independent in parts
        ]

    def has(self, msn: int, part: int | None) -> bool | None:
        """Return whether a reload is answered now; None: with 400."""
        following = len(self.segments)
        if msn > following + 1 or msn < following - 7:
            return None
        if msn < following:
            return True
        return msn == following and part is not None and part < len(self.open)


def parse_fragment(fragment: bytes) -> tuple[int, int, bool]:
    """Return the (decode time, duration, begins with a key frame) of a fragment of one track, as ffmpeg writes it."""
    (flags,) = unpack_from(">I", fragment, at := fragment.index(b"tfhd") + 4)
    at += 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
    default_duration = unpack_from(">I", fragment, at)[0] if flags & 8 else 0
    at += (4 if flags & 8 else 0) + (4 if flags & 16 else 0)
    first_flags = unpack_from(">I", fragment, at)[0] if flags & 32 else 0
    at = fragment.index(b"tfdt") + 4
    (time,) = unpack_from(">Q" if fragment[at] else ">I", fragment, at + 4)
    at = fragment.index(b"trun") + 4
    run, count = unpack_from(">II", fragment, at)
    at += 8 + (4 if run & 1 else 0)
    if run & 4:
        (first_flags,) = unpack_from(">I", fragment, at)
        at += 4
    duration = 0
    for index in range(count):
        duration += unpack_from(">I", fragment, at)[0] if run & 0x100 else default_duration
        at += (4 if run & 0x100 else 0) + (4 if run & 0x200 else 0)
        if run & 0x400:
            first_flags = unpack_from(">I", fragment, at)[0] if index == 0 else first_flags
            at += 4
        at += 4 if run & 0x800 else 0
    return time, duration, not first_flags & 0x10000
