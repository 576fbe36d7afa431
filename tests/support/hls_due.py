"""How long the objects of playlists must be available (draft-pantos-hls-rfc8216bis 6.2.2)."""

from tests.support.hls import Media


class Due:
    """The objects that playlists named, and until when each must be available.

    Attributes:
        until_s: {name: time until which it must be available}, for objects that have left the playlist.
        listed: {name in the last playlist: (duration of its segment, of the longest playlist that listed the segment)}.
    """

    def __init__(self) -> None:
        self.until_s: dict[str, float] = {}
        self.listed: dict[str, tuple[float, float]] = {}

    def note(self, media: Media, now_s: float) -> None:
        """Record a playlist that was served at ``now_s``; objects that are no longer in it left no earlier than now."""
        listed = {}
        for segment in media.segments:
            names = [
                segment.uri,
                *(part.uri for part in segment.parts),
                *([segment.map_uri] if not segment.gap else []),
            ]
            for name in names:
                _, longest_s = self.listed.get(name, (0.0, 0.0))
                listed[name] = segment.duration_s, max(longest_s, media.duration_s)
        for name in self.listed.keys() - listed.keys():
            duration_s, longest_s = self.listed[name]
            self.until_s[name] = now_s + duration_s + longest_s
        self.listed = listed

    def names(self, now_s: float) -> list[str]:
        """Return the names that have left the playlist and must be available."""
        return [name for name, until_s in self.until_s.items() if until_s > now_s]

    def over(self, now_s: float) -> list[str]:
        """Return the names of segments that need not be available since ``now_s``, each once."""
        found = [name for name, until_s in self.until_s.items() if until_s <= now_s and "_part" not in name]
        for name in found:
            del self.until_s[name]
        return found
