"""The bodies that a live window serves by name: initialization sections, segments and parts."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airnode.media.hls.playlist import Part, Segment

#: Number of segments that can still be fetched after they left the playlist.
RETAINED_SEGMENTS = 2
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

    A segment that leaves the playlist can still be fetched for a while, as a player may have read the playlist just
    before. An initialization section stays as long as a segment needs it.

    Attributes:
        init_name: name of the current initialization section; empty: there is none yet.
    """

    def __init__(self) -> None:
        self.init_name = ""
        self._init_count = 0
        self._inits: dict[str, bytes] = {}
        #: {name: segment or part}, for all that can be fetched.
        self._bodies: dict[str, Part | Segment] = {}
        #: Segments that have left the playlist, oldest first.
        self._retired: deque[Segment] = deque()

    def begin_init(self, init: bytes, prefix: str) -> None:
        """Set the current initialization section. The name stays while the bytes and the prefix stay the same."""
        if self._inits.get(self.init_name) != init or not self.init_name.startswith(prefix):
            self._init_count += 1
            self.init_name = f"{prefix}_init{self._init_count}.mp4"
            self._inits[self.init_name] = init

    def keep(self, body: Part | Segment) -> None:
        """Make a part or a segment available under its name."""
        self._bodies[body.name] = body

    def retire(self, segment: Segment, listed: Iterable[Segment]) -> None:
        """Note that a segment has left the playlist; remove the bodies that nobody may request any more.

        Args:
            listed: the open segment and those in the playlist.
        """
        if segment.gap:
            del self._bodies[segment.name]
            return
        self._retired.append(segment)
        while len(self._retired) > RETAINED_SEGMENTS:
            oldest = self._retired.popleft()
            for name in (oldest.name, *(part.name for part in oldest.parts)):
                del self._bodies[name]
            used = {each.init_name for each in (*self._retired, *listed)}
            for name in self._inits.keys() - used - {self.init_name}:
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
            KeyError: there is none of this name, or no segment needs it any more.
        """
        return self._inits[name]

    @property
    def retired_bytes(self) -> int:
        """Bytes of the segments that have left the playlist and can still be fetched."""
        return sum(segment.size_bytes for segment in self._retired)
