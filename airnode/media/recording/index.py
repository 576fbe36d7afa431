"""The index of a recording: an append-only file of JSON lines. No I/O.

A recording has two files in ``recordings/<room>/<recording-id>/``. ``media.mp4`` contains the initialization sections
and segments, one after the other. ``index.jsonl`` contains the position of each of them. The line of a segment is
written after all bytes of the segment, so every complete line is correct. After a crash, bytes after the last complete
line are ignored, and media without a line too::

    ["begin", 1, "20261122T091500Z-5f0c2a91", "stream", "node-1a2b3c4d", 1795338900.2, 2]
    ["init", 0, 1290]
    ["segment", 1290, 131072, 1.0, 1795338900.2, false]
    ["segment", 132362, 130211, 1.0, 1795338901.2, true]      true: a discontinuity is before this segment
    ["end", "finished", 1795338902.2, 2, 2.0, 262573]
"""

from typing import Literal

import msgspec

VERSION = 1
#: Longest line.
MAX_LINE_BYTES = 4096


class BeginEntry(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """The first line."""

    version: int
    recording_id: str
    room: str
    node_id: str
    started_at: float
    target_duration_s: int


class InitEntry(msgspec.Struct, frozen=True, array_like=True, tag="init"):
    """The position of an initialization section in ``media.mp4``; it applies to the segments after it."""

    offset_bytes: int
    size_bytes: int


class SegmentEntry(msgspec.Struct, frozen=True, array_like=True, tag="segment"):
    """The position of a segment in ``media.mp4``; ``start_unix_s`` is the wall clock time of its first sample."""

    offset_bytes: int
    size_bytes: int
    duration_s: float
    start_unix_s: float
    discontinuity: bool


class EndEntry(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """The last line, with the totals: the list of recordings only reads this line and the first one."""

    status: Literal["finished", "interrupted"]
    ended_at: float
    segments: int
    duration_s: float
    size_bytes: int


Entry = BeginEntry | InitEntry | SegmentEntry | EndEntry

_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """Return one line, with its newline."""
    return msgspec.json.encode(entry) + b"\n"


def decode(line: bytes) -> Entry | None:
    """Return the entry of a line without its newline; None: the line is invalid."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class SegmentIndex:
    """The entries of one recording, in order.

    Attributes:
        init_of: for each segment, the number of its initialization section.
        size_bytes: of the media.
    """

    def __init__(self, begun: BeginEntry) -> None:
        self.begun = begun
        self.inits: list[InitEntry] = []
        self.segments: list[SegmentEntry] = []
        self.init_of: list[int] = []
        self.ended: EndEntry | None = None
        self.duration_s = 0.0
        self.size_bytes = 0

    def append(self, entry: Entry) -> bool:
        """Return whether the entry is valid here; if so, append it. After an invalid entry, all others are invalid."""
        if self.ended is not None or isinstance(entry, BeginEntry):
            return False
        if isinstance(entry, EndEntry):
            self.ended = entry
            return True
        if entry.offset_bytes < self.size_bytes or entry.size_bytes <= 0:
            return False
        if isinstance(entry, InitEntry):
            self.inits.append(entry)
        elif not self.inits or not entry.duration_s > 0:
            return False
        else:
            self.segments.append(entry)
            self.init_of.append(len(self.inits) - 1)
            self.duration_s += entry.duration_s
        self.size_bytes = entry.offset_bytes + entry.size_bytes
        return True

    def end(self, status: Literal["finished", "interrupted"], ended_at: float) -> EndEntry:
        """Return the last entry of a recording that ends here."""
        return EndEntry(status, ended_at, len(self.segments), round(self.duration_s, 6), self.size_bytes)


def parse(data: bytes, media_bytes: int) -> tuple[SegmentIndex | None, int]:
    """Return (index, length in bytes) of the valid part of an index file: complete lines whose media exist.

    The index is None if the first line is invalid.

    Args:
        media_bytes: size of the media file.
    """
    index: SegmentIndex | None = None
    valid_bytes = 0
    while (end := data.find(b"\n", valid_bytes)) >= 0:
        entry = decode(data[valid_bytes:end]) if end - valid_bytes <= MAX_LINE_BYTES else None
        if entry is None:
            break
        if index is None:
            if not isinstance(entry, BeginEntry) or entry.version != VERSION:
                break
            index = SegmentIndex(entry)
        elif (
            isinstance(entry, InitEntry | SegmentEntry) and entry.offset_bytes + entry.size_bytes > media_bytes
        ) or not index.append(entry):
            break
        valid_bytes = end + 1
    return index, valid_bytes
