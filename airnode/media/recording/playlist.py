"""The playlist of a recording: EVENT while the recording runs, VOD afterwards (RFC 8216 4.3.3.5). Plain HLS, no I/O.

Objects are numbered: ``init0.mp4``, ``seg0.mp4``; they never change. Lines are as short as possible, because players
fetch all of them with each reload while the recording runs.
"""

import re
from collections.abc import Iterator

from airnode.media.hls.playlist import date_time
from airnode.media.recording.index import InitEntry, SegmentEntry, SegmentIndex

#: Players that follow the recording read EXT-X-ENDLIST within this time. The type may only change after that (6.2.1).
_FOLLOWED_FOR_S = 60.0
_NAME = re.compile(r"(init|seg)(0|[1-9][0-9]{0,8})\.mp4\Z")


def render(index: SegmentIndex, now_unix_s: float) -> bytes:
    """Return the playlist as UTF-8."""
    return "".join(_lines(index, now_unix_s)).encode()


def is_settled(index: SegmentIndex, now_unix_s: float) -> bool:
    """Return whether the playlist will never change again."""
    return index.ended is not None and now_unix_s - index.ended.ended_at > _FOLLOWED_FOR_S


def lookup(index: SegmentIndex, name: str) -> InitEntry | SegmentEntry | None:
    """Return the index entry of a name in the playlist; None: the playlist has no such name."""
    match = _NAME.match(name)
    if match is None:
        return None
    found: list[InitEntry] | list[SegmentEntry] = index.inits if match[1] == "init" else index.segments
    number = int(match[2])
    return found[number] if number < len(found) else None


def target_duration_s(index: SegmentIndex) -> int:
    """Return the target duration; it is constant, unless a segment is longer than expected."""
    longest_s = max((segment.duration_s for segment in index.segments), default=0.0)
    return max(index.begun.target_duration_s, int(longest_s + 0.5), 1)


def _lines(index: SegmentIndex, now_unix_s: float) -> Iterator[str]:
    kind = "VOD" if is_settled(index, now_unix_s) else "EVENT"
    yield f"#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target_duration_s(index)}\n"
    yield f"#EXT-X-PLAYLIST-TYPE:{kind}\n#EXT-X-MEDIA-SEQUENCE:0\n"
    init = -1
    for number, segment in enumerate(index.segments):
        if segment.discontinuity and number:
            yield "#EXT-X-DISCONTINUITY\n"
        if index.init_of[number] != init:
            init = index.init_of[number]
            yield f'#EXT-X-MAP:URI="init{init}.mp4"\n'
        if segment.discontinuity or not number:
            yield f"#EXT-X-PROGRAM-DATE-TIME:{date_time(segment.start_unix_s)}\n"
        yield f"#EXTINF:{segment.duration_s:.5f},\nseg{number}.mp4\n"
    if index.ended is not None:
        yield "#EXT-X-ENDLIST\n"
