"""Splits ``live.mp4`` from another node into initialization sections and fragments. No I/O."""

import struct
from dataclasses import dataclass
from struct import unpack_from

from airnode.media.cmaf.bmff import VIDEO_TRACK_ID
from airnode.media.live.fragmenter import AUDIO_ENTRY_90K, Fragment, http_chunk

#: Largest box that is accepted: many times the largest key frame of a real stream.
MAX_BOX_BYTES = 64 << 20
_NON_SYNC = 0x10000
#: Position of the first sample's flags in airnode's video trun: after header (20), duration (4), size (4).
_FIRST_FLAGS_AT = 28
#: Without video, playback can begin with every n-th fragment; see :data:`AUDIO_ENTRY_90K`.
_AUDIO_ENTRY_FRAGMENTS = max(1, AUDIO_ENTRY_90K // 3600)


@dataclass(frozen=True, slots=True)
class LivePiece:
    """An initialization section (``fragment`` is None) or a fragment (``init`` is empty).

    Attributes:
        dts_ticks: decode time of the fragment's first video frame (of its first audio frame, if the stream has no
            video), in ticks of that track; -1: the fragment has no such frame.
    """

    init: bytes
    fragment: Fragment | None
    dts_ticks: int = 0


class LiveSplitter:
    """Parses the response's body, which may come in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._boxes: list[bytes] = []
        self._has_video = False
        self._fragments = 0

    def feed(self, data: bytes) -> list[LivePiece]:
        """Return the pieces that are complete with ``data``.

        Raises:
            ValueError: these bytes were not written by :mod:`.fragmenter`.
        """
        self._buffer += data
        found, at = [], 0
        while len(self._buffer) - at >= 8:
            size_bytes, kind = unpack_from(">I4s", self._buffer, at)
            if not 8 <= size_bytes <= MAX_BOX_BYTES:
                raise ValueError(f"a box of {size_bytes} bytes")
            if len(self._buffer) - at < size_bytes:
                break
            self._boxes.append(bytes(self._buffer[at : at + size_bytes]))
            at += size_bytes
            if kind in (b"moov", b"mdat"):
                try:
                    found.append(self._piece(kind))
                except (KeyError, struct.error) as error:
                    raise ValueError(f"a moof that airnode did not write: {error}") from None
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
    """Return the leading track's decode time in ticks (-1: it has no frame), and whether it begins with a key frame."""
    for kind, at, end in _boxes(moof, 8, len(moof)):
        if kind != b"traf":
            continue
        inner = {name: begin for name, begin, _ in _boxes(moof, at + 8, end)}
        (track,) = unpack_from(">I", moof, inner[b"tfhd"] + 12)
        if has_video and track != VIDEO_TRACK_ID:
            continue
        (dts_ticks,) = unpack_from(">Q", moof, inner[b"tfdt"] + 12)
        (flags,) = unpack_from(">I", moof, inner[b"trun"] + _FIRST_FLAGS_AT) if has_video else (_NON_SYNC,)
        return dts_ticks, not flags & _NON_SYNC
    return -1, False


def _boxes(data: bytes, at: int, end: int) -> list[tuple[bytes, int, int]]:
    """Return (type, start, end) of the boxes in a range.

    Raises:
        ValueError: a box is longer than the range.
    """
    found = []
    while at + 8 <= end:
        size_bytes, kind = unpack_from(">I4s", data, at)
        if not 8 <= size_bytes <= end - at:
            raise ValueError("a box is longer than the box around it")
        found.append((kind, at, at + size_bytes))
        at += size_bytes
    return found
