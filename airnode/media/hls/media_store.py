"""The bodies that a live window serves by name: initialization sections, segments and parts.

Section numbers are those of draft-pantos-hls-rfc8216bis.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from airnode.media.hls.playlist import Part, Segment

MEDIA_TYPE = "video/mp4"
#: Only a segment type box (ISO 14496-12 8.16.2), without frames.
_EMPTY_SEGMENT = b"\0\0\0\x18stypmsdh\0\0\0\0msdhmsix"


@dataclass(frozen=True, slots=True)
class Found:
    """The body of a response, as a sequence of buffers: a segment is the concatenation of its parts."""

    body: Sequence[bytes]
    content_type: str = MEDIA_TYPE

    @property
    def size_bytes(self) -> int:
        """Length of the whole body."""
        return sum(len(piece) for piece in self.body)


class MediaStore:
    """Bodies by name, for as long as a player may request them.

    A segment that leaves the playlist is *retired*: it, its parts and its initialization section can be fetched until
    its own duration, and that of the longest playlist that named it, have passed (6.2.2).

    Args:
        retained_max_bytes: most bytes of retired segments; above this, the oldest are removed before their time.
        clock: returns seconds that never go back.

    Attributes:
        init_name: name of the current initialization section; empty: there is none yet.
        retained_bytes: bytes of the retired segments.
        removed_early: number of segments that were removed before their time, because of ``retained_max_bytes``.
    """

    def __init__(self, retained_max_bytes: int, clock: Callable[[], float]) -> None:
        self.init_name = ""
        self.retained_bytes = 0
        self.removed_early = 0
        self._retained_max_bytes = retained_max_bytes
        self._clock = clock
        self._init_count = 0
        self._inits: dict[str, bytes] = {}
        #: {name: segment or part that can be fetched}
        self._bodies: dict[str, Part | Segment] = {}
        #: (time of removal on the clock, segment), oldest first.
        self._retired: deque[tuple[float, Segment]] = deque()

    def begin_init(self, init: bytes, prefix: str) -> None:
        """Set the current initialization section. The name stays while the bytes and the prefix stay the same."""
        if self._inits.get(self.init_name) != init or not self.init_name.startswith(prefix):
            self._init_count += 1
            self.init_name = f"{prefix}_init{self._init_count}.mp4"
            self._inits[self.init_name] = init

    def keep(self, body: Part | Segment) -> None:
        """Make a part or a segment available under its name."""
        self._bodies[body.name] = body

    def retire(self, segment: Segment) -> None:
        """Retire a segment that has left the playlist."""
        self._retired.append((self._clock() + segment.duration_s + segment.longest_playlist_s, segment))
        self.retained_bytes += segment.size_bytes

    def expire(self, listed: Iterable[Segment]) -> None:
        """Remove the bodies that nobody may request any more.

        Args:
            listed: the open segment and those in the playlist.
        """
        now_s, removed = self._clock(), False
        while self._retired and (self._retired[0][0] <= now_s or self.retained_bytes > self._retained_max_bytes):
            due_s, oldest = self._retired.popleft()
            self.removed_early += due_s > now_s
            self.retained_bytes -= oldest.size_bytes
            for name in (oldest.name, *(part.name for part in oldest.parts)):
                del self._bodies[name]
            removed = True
        if removed:
            needing = (*listed, *(segment for _, segment in self._retired))
            for name in self._inits.keys() - {self.init_name, *(segment.init_name for segment in needing)}:
                del self._inits[name]

    def lookup(self, name: str) -> Found | None:
        """Return the body with this name, or None."""
        body = self._bodies.get(name)
        if isinstance(body, Part):
            return Found((body.data,))
        if body is not None and body.gap:
            return Found((_EMPTY_SEGMENT,))
        if body is not None:
            return Found(tuple(part.data for part in body.parts))
        init = self._inits.get(name)
        return Found((init,)) if init is not None else None

    def init_section(self, name: str) -> bytes:
        """Return the bytes of an initialization section.

        Raises:
            KeyError: no section has this name, or no segment needs it any more.
        """
        return self._inits[name]
