"""Split ``live.mp4``, as it comes from another node, into initialization sections and fragments. No I/O."""

from dataclasses import dataclass
from struct import error, unpack_from

from airnode.media.cmaf.bmff import VIDEO_TRACK_ID
from airnode.media.live.fragmenter import AUDIO_ENTRY_90K, Fragment, http_chunk

#: Largest box that is taken: a key frame of any sane stream, many times over.
MAX_BOX_BYTES = 64 << 20
_NON_SYNC = 0x10000
#: Flags of the first sample in one of our video truns: header 20, duration 4, size 4.
_FIRST_FLAGS = 28
#: Playback of audio without video can begin with every so many fragments; see :data:`AUDIO_ENTRY_90K`.
_AUDIO_ENTRY_FRAGMENTS = max(1, AUDIO_ENTRY_90K // 3600)


@dataclass(frozen=True, slots=True)
class LivePiece:
    """An initialization section (``fragment`` None) or a fragment.

    Attributes:
        dts_ticks: decode time of the fragment's first video frame (audio, where there is no video), in ticks of its
            track; -1: it has none.
    """

    init: bytes
    fragment: Fragment | None
    dts_ticks: int = 0


class LiveSplitter:
    """Takes bytes in any portions, returns whole pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._boxes: list[bytes] = []
        self._has_video = False
        self._fragments = 0

    def feed(self, data: bytes) -> list[LivePiece]:
        """Take bytes and return the pieces that are complete with them.

        Raises:
            ValueError: these bytes are not what :mod:`.fragmenter` writes.
        """
        self._buffer += data
        found, at = [], 0
        while len(self._buffer) - at >= 8:
            size, kind = unpack_from(">I4s", self._buffer, at)
            if not 8 <= size <= MAX_BOX_BYTES:
                raise ValueError(f"a box of {size} bytes")
            if len(self._buffer) - at < size:
                break
            self._boxes.append(bytes(self._buffer[at : at + size]))
            at += size
            if kind in (b"moov", b"mdat"):
                try:
                    found.append(self._piece(kind))
                except (KeyError, error) as wrong:
                    raise ValueError(f"a moof that is not ours: {wrong}") from None
        del self._buffer[:at]
        return found

    def _piece(self, kind: bytes) -> LivePiece:
        boxes, self._boxes = self._boxes, []
        if kind == b"moov":
            init = b"".join(boxes)
            self._has_video = b"vide" in init
            return LivePiece(init, None)
        moof = next((box for box in boxes if box[4:8] == b"moof"), None)
        if moof is None:
            raise ValueError("an mdat without its moof")
        self._fragments += 1
        dts_ticks, is_key = _leading_track(moof, self._has_video)
        if not self._has_video:
            is_key = self._fragments % _AUDIO_ENTRY_FRAGMENTS == 1 or _AUDIO_ENTRY_FRAGMENTS == 1
        return LivePiece(b"", Fragment(http_chunk(*boxes), is_key), dts_ticks)


def _leading_track(moof: bytes, has_video: bool) -> tuple[int, bool]:
    """Return the leading track's decode time, and whether the fragment begins with a video key frame."""
    for kind, at, end in _boxes(moof, 8, len(moof)):
        if kind != b"traf":
            continue
        inner = {name: begin for name, begin, _ in _boxes(moof, at + 8, end)}
        (track,) = unpack_from(">I", moof, inner[b"tfhd"] + 12)
        if has_video and track != VIDEO_TRACK_ID:
            continue
        (dts_ticks,) = unpack_from(">Q", moof, inner[b"tfdt"] + 12)
        (flags,) = unpack_from(">I", moof, inner[b"trun"] + _FIRST_FLAGS) if has_video else (_NON_SYNC,)
        return dts_ticks, not flags & _NON_SYNC
    return -1, False


def _boxes(data: bytes, at: int, end: int) -> list[tuple[bytes, int, int]]:
    """Return (type, start, end) of the boxes in a range."""
    found = []
    while at + 8 <= end:
        size, kind = unpack_from(">I4s", data, at)
        if not 8 <= size <= end - at:
            raise ValueError("a box reaches over the one around it")
        found.append((kind, at, at + size))
        at += size
    return found
