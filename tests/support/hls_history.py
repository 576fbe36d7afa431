"""Successive playlists of one stream: checks of their changes (RFC 8216bis, 6.2.1), and delta updates."""

import re
from dataclasses import dataclass, field
from datetime import datetime

from tests.support.hls import (
    Media,
    SegmentLines,
    _all,
    read_media,
    rule,
)


@dataclass
class History:
    """Versions of one live playlist, each checked against the one before (6.2.1, 6.2.2)."""

    last: Media | None = None
    uris: dict[int, str] = field(default_factory=dict)
    dates: dict[int, datetime] = field(default_factory=dict)
    removed_discontinuities: int = 0
    part_target_changes: int = 0

    def add(self, text: bytes, *, grown: bool = False) -> Media:
        """Check a full (not a delta) playlist as the next version, and return it.

        ``grown``: PART-TARGET increased since the version before: listed parts may be too short now.
        """
        old = self.last
        listed = [part.uri for segment in _all(old) for part in segment.parts] if old is not None else []
        if grown:
            listed = re.findall(r'EXT-X-PART:.*URI="([^"]*)"', text.decode())
        media = read_media(text, accepted=frozenset(listed))
        rule(not media.skipped, "a delta update where a full playlist was asked for")
        for segment in media.segments:
            known = self.uris.setdefault(segment.msn, segment.uri)
            rule(known == segment.uri, f"segment {segment.msn} changed its URI")
            if segment.date is not None:
                rule(self.dates.setdefault(segment.msn, segment.date) == segment.date, "a date changed")
        if self.last is not None:
            self._compare(self.last, media)
        self.last = media
        return media

    def _compare(self, old: Media, new: Media) -> None:
        rule(not old.ended, "a change after EXT-X-ENDLIST")
        rule(new.target_duration_s == old.target_duration_s, "the target duration changed")
        rule(new.version == old.version, "the version changed")
        rule(new.part_target_s >= old.part_target_s, "the part target shrank")
        self.part_target_changes += new.part_target_s != old.part_target_s
        rule(new.last_msn >= old.last_msn, "the last sequence number went back")
        removed = new.media_sequence - old.media_sequence
        rule(0 <= removed <= len(old.segments), "segments were removed out of order")
        gone = sum(segment.discontinuity for segment in old.segments[:removed])
        rule(new.discontinuity_sequence == old.discontinuity_sequence + gone, "EXT-X-DISCONTINUITY-SEQUENCE is wrong")
        if removed:
            left_s = sum(segment.duration_s for segment in new.segments)
            rule(left_s >= 3 * new.target_duration_s - 0.001, "removed below three target durations (6.2.2)")
        by_msn = {segment.msn: segment for segment in _all(new)}
        for segment in old.segments:
            same = by_msn.get(segment.msn)
            rule(same is None or (same.duration_s, same.map_uri) == (segment.duration_s, segment.map_uri), "changed")
        self._compare_parts(old, new, by_msn)

    def _compare_parts(self, old: Media, new: Media, by_msn: dict[int, SegmentLines]) -> None:
        for segment in _all(old):
            same = by_msn.get(segment.msn)
            if segment.parts and same is not None and same.parts:
                rule(same.parts[: len(segment.parts)] == segment.parts, "parts changed")
        new_parts = [part.uri for segment in _all(new) for part in segment.parts]
        if new_parts != [part.uri for segment in _all(old) for part in segment.parts] and old.hint and new_parts:
            known = {part.uri for segment in _all(old) for part in segment.parts}
            added = [uri for uri in new_parts if uri not in known]
            if added and not any(s.discontinuity and s.parts and s.parts[0].uri == added[0] for s in _all(new)):
                rule(added[0] == old.hint, f"hinted {old.hint}, came {added[0]}")


def apply_delta(old: Media, delta: bytes) -> Media:
    """Return the playlist that a client makes of a delta update and the version that it has (6.3.7)."""
    media = read_media(delta)
    rule(media.skipped, "not a delta update")
    rule(media.media_sequence >= old.media_sequence, "a delta update to something older")
    kept = {segment.msn: segment for segment in old.segments}
    skipped = []
    for msn in range(media.media_sequence, media.media_sequence + media.skipped):
        rule(msn in kept, f"segment {msn} was skipped, and was not there before")
        skipped.append(kept[msn])
    map_uri = skipped[-1].map_uri
    for segment in _all(media):
        map_uri = segment.map_uri = segment.map_uri or map_uri
    boundary = float(media.control["CAN-SKIP-UNTIL"])
    rule(media.duration_s >= boundary - 0.001, "skipped something within the skip boundary")
    media.segments[:0] = skipped
    media.skipped = 0
    return media
