"""Reads and writes recordings on the disk. All functions block: they run in threads, never on the event loop."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from airnode.bus.messages import ROOM_PATTERN
from airnode.bus.recordings import RECORDING_ID, RecordingStatus
from airnode.media.recording.index import (
    MAX_LINE_BYTES,
    BeginEntry,
    EndEntry,
    Entry,
    InitEntry,
    SegmentEntry,
    SegmentIndex,
    decode,
    encode,
    parse,
)
from airnode.store.files.disk import REMOVED_PREFIX, sync_directory, write_at

log = structlog.get_logger(__name__)

INDEX, MEDIA = "index.jsonl", "media.mp4"


@dataclass(frozen=True, slots=True)
class SegmentToWrite:
    """A segment to write, with its initialization section.

    Attributes:
        msn: media sequence number; a missing number is a gap in the recording.
    """

    msn: int
    init: bytes
    parts: Sequence[bytes]
    size_bytes: int
    duration_s: float
    start_unix_s: float
    discontinuity: bool


class RecordingFile:
    """The files of a running recording.

    A segment is written completely, with its line in the index, or not at all: if writing fails, the data that was
    already written is removed.
    """

    def __init__(self, directory: Path, begun: BeginEntry) -> None:
        directory.mkdir(parents=True, mode=0o750)
        self._directory = directory
        self._directories_synced = False
        self._media = self._index = -1
        try:
            self._media = os.open(directory / MEDIA, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            self._index = os.open(directory / INDEX, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            self._media_end = self._index_end = 0
            self._append([begun])
        except OSError:
            self.close()
            shutil.rmtree(directory, ignore_errors=True)
            raise
        self._dirty = True
        self._init = b""
        self._next_msn = 0
        self.index = SegmentIndex(begun)

    def write(self, segment: SegmentToWrite) -> list[Entry]:
        """Return the new entries, after appending a segment, and its initialization section if that has changed.

        Raises:
            OSError: writing failed; nothing of the segment is kept.
        """
        entries: list[Entry] = []
        end, first = self._media_end, not self.index.segments
        breaks = segment.discontinuity or segment.init != self._init or segment.msn != self._next_msn
        try:
            if segment.init != self._init:
                entries.append(InitEntry(end, len(segment.init)))
                end = write_at(self._media, (segment.init,), end)
            entries.append(
                SegmentEntry(end, segment.size_bytes, segment.duration_s, segment.start_unix_s, breaks and not first)
            )
            end = write_at(self._media, segment.parts, end)
            self._append(entries)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._media, self._media_end)
            raise
        self._media_end, self._dirty = end, True
        self._init, self._next_msn = segment.init, segment.msn + 1
        for entry in entries:
            self.index.append(entry)
        return entries

    def _append(self, entries: Sequence[Entry]) -> None:
        try:
            self._index_end = write_at(self._index, [encode(entry) for entry in entries], self._index_end)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._index, self._index_end)
            raise

    def sync(self) -> None:
        """Force written data to the disk: the media first, so that no line refers to missing media."""
        if self._dirty:
            os.fdatasync(self._media)
            os.fdatasync(self._index)
            self._dirty = False
        if not self._directories_synced:
            for directory in (self._directory, self._directory.parent, self._directory.parent.parent):
                sync_directory(directory)
            self._directories_synced = True

    def finish(self, ended_at: float) -> EndEntry:
        """Return the last entry, after writing its line and closing the files; ``ended_at`` in unix seconds.

        If the line cannot be written, the next start of the node adds it. A recording without segments is removed.
        """
        ended = self.index.end("finished", ended_at)
        if not ended.segments:
            self.close()
            shutil.rmtree(self._directory, ignore_errors=True)
            return ended
        try:
            self._append([ended])
            self._dirty = True
            self.sync()
        except OSError as error:
            log.warning("recording_end_not_written", recording_id=self.index.begun.recording_id, error=str(error))
        finally:
            self.index.append(ended)
            self.close()
        return ended

    def close(self) -> None:
        for fd in (self._media, self._index):
            if fd >= 0:
                with contextlib.suppress(OSError):
                    os.close(fd)
        self._media = self._index = -1


# -- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FinishedRecording:
    """A recording that has ended; times in unix seconds."""

    recording_id: str
    room: str
    directory: Path
    status: RecordingStatus
    started_at: float
    ended_at: float
    duration_s: float
    size_bytes: int


def scan(root: Path) -> Iterator[FinishedRecording]:
    """Yield all recordings. Ends the recordings, and completes the removals, that a crash interrupted.

    A recording that cannot be read is logged and not changed.
    """
    if not root.is_dir():
        return
    for room in sorted(root.iterdir()):
        if not ROOM_PATTERN.match(room.name) or not room.is_dir():
            continue
        for directory in sorted(room.iterdir()):
            if directory.name.startswith(REMOVED_PREFIX):
                shutil.rmtree(directory, ignore_errors=True)
            elif RECORDING_ID.match(directory.name) and directory.is_dir():
                try:
                    found = _read_finished(directory)
                except OSError as error:
                    log.warning("recording_not_read", path=str(directory), error=str(error))
                    continue
                if found is not None:
                    yield found


def _read_finished(directory: Path) -> FinishedRecording | None:
    begun, ended = _first_and_last(directory / INDEX)
    if begun is None or ended is None:
        index = _recover(directory)
        if index is None or index.ended is None:
            log.warning("recording_not_recovered", path=str(directory), detail="it has no index that can be read")
            return None
        begun, ended = index.begun, index.ended
    if (begun.recording_id, begun.room) != (directory.name, directory.parent.name):
        log.warning("recording_misplaced", path=str(directory), recording_id=begun.recording_id, room=begun.room)
        return None
    return FinishedRecording(
        begun.recording_id,
        begun.room,
        directory,
        ended.status,
        begun.started_at,
        ended.ended_at,
        ended.duration_s,
        ended.size_bytes,
    )


def _first_and_last(path: Path) -> tuple[BeginEntry | None, EndEntry | None]:
    """Return the entries of the first and the last line; None: the line is not valid."""
    with path.open("rb") as file:
        first = decode(file.readline(MAX_LINE_BYTES))
        file.seek(max(os.fstat(file.fileno()).st_size - MAX_LINE_BYTES, 0))
        tail = file.read()
    last = decode(tail[:-1].rpartition(b"\n")[2]) if tail.endswith(b"\n") else None
    return first if isinstance(first, BeginEntry) else None, last if isinstance(last, EndEntry) else None


def _recover(directory: Path) -> SegmentIndex | None:
    """Return the index of a recording, after ending it without the incomplete data that a crash left at its end."""
    media, path = directory / MEDIA, directory / INDEX
    data = path.read_bytes()
    index, good = parse(data, media.stat().st_size)
    if index is None or index.ended is not None:
        return index
    last = index.segments[-1] if index.segments else None
    ended_at = last.start_unix_s + last.duration_s if last is not None else index.begun.started_at
    ended = index.end("interrupted", max(ended_at, index.begun.started_at))
    with contextlib.suppress(OSError):  # the disk is full or read-only: the next start of the node tries again
        with path.open("r+b") as file:
            file.truncate(good)
            file.seek(good)
            file.write(encode(ended))
        os.truncate(media, index.size_bytes)
    index.append(ended)
    log.warning("recording_recovered", recording_id=index.begun.recording_id, duration_s=round(index.duration_s, 1))
    return index


def load(directory: Path) -> SegmentIndex | None:
    """Return the index of a recording; None: the files cannot be read."""
    try:
        return parse((directory / INDEX).read_bytes(), (directory / MEDIA).stat().st_size)[0]
    except OSError:
        return None
