"""The recordings of this node: read from the disk at the start, and kept up to date afterwards."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from airnode.bus.recordings import RecordingRecord, RecordingStatus
from airnode.errors import Conflict, NotFound, Unavailable
from airnode.kernel.service import Service
from airnode.media.recording import disk
from airnode.media.recording.fragment_reader import Malformed
from airnode.media.recording.index import BeginEntry, EndEntry, Entry, SegmentIndex
from airnode.media.recording.progressive import ProgressiveMp4, build_progressive
from airnode.store.files.disk import read_at, remove_directory
from airnode.store.files.reading_threads import ReadingThreads
from airnode.store.files.retention import StoredItem, expired

log = structlog.get_logger(__name__)

#: Most indexes of ended recordings, and most heads of MP4 files, that stay in memory.
_INDEXES_KEPT, _HEADS_KEPT = 32, 4


@dataclass(slots=True)
class Recording:
    """One recording; times in unix seconds.

    Attributes:
        index: positions of the segments; always present while the recording runs, otherwise loaded on request.
    """

    recording_id: str
    room: str
    directory: Path
    status: RecordingStatus
    started_at: float
    ended_at: float | None = None
    duration_s: float = 0.0
    size_bytes: int = 0
    index: SegmentIndex | None = None

    @property
    def media(self) -> Path:
        """Return the path of the recorded file."""
        return self.directory / disk.MEDIA

    def record(self, node_id: str) -> RecordingRecord:
        """Return the record for the cluster, without the node's address."""
        return RecordingRecord(
            self.recording_id,
            self.room,
            node_id,
            self.status,
            self.started_at,
            self.ended_at,
            round(self.duration_s, 3),
            self.size_bytes,
        )


class RecordingCatalog(Service):
    """Lists and reads the recordings.

    Args:
        root: the directory of all recordings; the first recording creates it.
    """

    name = "recording-catalog"

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        #: The threads of all reads of this node's recordings.
        self.threads = ReadingThreads("recording-read")
        #: {recording_id: recording}.
        self._recordings: dict[str, Recording] = {}
        #: {recording_id: None}, for ended recordings whose index is in memory; least recently requested first.
        self._loaded: OrderedDict[str, None] = OrderedDict()
        #: {(recording_id, number of segments): MP4}, least recently requested first.
        self._files: OrderedDict[tuple[str, int], ProgressiveMp4] = OrderedDict()
        #: One head is built at a time, because that costs CPU time.
        self._building = asyncio.Lock()
        self._listeners: list[Callable[[Recording], None]] = []

    async def start(self) -> None:
        """Read the recordings from the disk, and end those that a crash left open."""
        try:
            found = await self.threads.run(lambda: list(disk.scan(self.root)))
        except OSError as error:
            log.error("recordings_not_found", path=str(self.root), error=str(error))
            return
        for kept in found:
            self._recordings[kept.recording_id] = Recording(
                kept.recording_id,
                kept.room,
                kept.directory,
                kept.status,
                kept.started_at,
                kept.ended_at,
                kept.duration_s,
                kept.size_bytes,
            )
        log.info("recordings_found", path=str(self.root), count=len(found))

    async def stop(self) -> None:
        """Close the reading threads."""
        self.threads.close()

    def on_change(self, listener: Callable[[Recording], None]) -> None:
        """Call ``listener`` with each recording that begins, ends, or is removed (it is no longer in the catalog)."""
        self._listeners.append(listener)

    def _notify(self, recording: Recording) -> None:
        for listener in self._listeners:
            listener(recording)

    # -- the list ----------------------------------------------------------------------------------------------------

    def all(self) -> list[Recording]:
        return list(self._recordings.values())

    def get(self, room: str, recording_id: str) -> Recording | None:
        """Return a recording of a room; None: the room has no recording with this id."""
        found = self._recordings.get(recording_id)
        return found if found is not None and found.room == room else None

    def begin(self, begun: BeginEntry) -> Recording:
        """Return a new recording, which is added to the catalog."""
        directory = self.root / begun.room / begun.recording_id
        made = self._recordings[begun.recording_id] = Recording(
            begun.recording_id, begun.room, directory, "recording", begun.started_at, index=SegmentIndex(begun)
        )
        self._notify(made)
        return made

    def grow(self, recording: Recording, entries: list[Entry]) -> None:
        """Append entries after they were written to the disk."""
        index = recording.index
        if index is None:
            return
        for entry in entries:
            index.append(entry)
        recording.duration_s, recording.size_bytes = index.duration_s, index.size_bytes
        if index.ended is not None:
            recording.status, recording.ended_at = index.ended.status, index.ended.ended_at
            self._keep_index(recording)
            self._notify(recording)

    def end(self, recording: Recording, ended: EndEntry) -> None:
        """Complete a recording; remove it if it has no segments."""
        if not ended.segments:
            self._recordings.pop(recording.recording_id, None)
            self._notify(recording)
        else:
            self.grow(recording, [ended])

    # -- reading ------------------------------------------------------------------------------------------------------

    async def index(self, recording: Recording) -> SegmentIndex:
        """Return the index.

        Raises:
            NotFound: (404) the files are missing or damaged.
        """
        if recording.index is None:
            recording.index = await self.threads.run(disk.load, recording.directory)
        if recording.index is None:
            raise NotFound("This recording's files are gone or damaged.")
        if recording.status != "recording":
            self._keep_index(recording)
        return recording.index

    def _keep_index(self, recording: Recording) -> None:
        """Keep the index in memory, and drop the least recently requested ones if there are too many."""
        self._loaded[recording.recording_id] = None
        self._loaded.move_to_end(recording.recording_id)
        while len(self._loaded) > _INDEXES_KEPT:
            oldest, _ = self._loaded.popitem(last=False)
            if (found := self._recordings.get(oldest)) is not None and found.status != "recording":
                found.index = None

    async def file(self, recording: Recording) -> ProgressiveMp4:
        """Return the recording, as far as it is written, as one MP4.

        Raises:
            NotFound: (404) the recording is still empty, or its files are damaged.
            Unavailable: (503) the disk cannot be read.
        """
        index = await self.index(recording)
        key = recording.recording_id, len(index.segments)
        async with self._building:
            made = self._files.get(key)
            if made is None:
                started_s = time.monotonic()
                made = self._files[key] = await self._build(recording, index)
                log.debug("recording_head_made", recording_id=key[0], took_s=round(time.monotonic() - started_s, 3))
            self._files.move_to_end(key)
            while len(self._files) > _HEADS_KEPT:
                self._files.popitem(last=False)
        return made

    async def _build(self, recording: Recording, index: SegmentIndex) -> ProgressiveMp4:
        snapshot = SegmentIndex(index.begun)
        for name in ("inits", "segments", "init_of"):
            setattr(snapshot, name, list(getattr(index, name)))

        def make() -> ProgressiveMp4:
            with recording.media.open("rb", buffering=0) as file:
                return build_progressive(snapshot, lambda at, size: read_at(file.fileno(), at, size))

        try:
            return await self.threads.run(make)
        except Malformed as error:
            log.warning("recording_not_readable", recording_id=recording.recording_id, error=str(error))
            raise NotFound(f"This recording cannot be downloaded: {error}.") from None
        except FileNotFoundError:
            raise NotFound("This recording's files are gone.") from None
        except OSError as error:
            raise Unavailable("The disk with this recording cannot be read.", debug=repr(error)) from error

    # -- removing -----------------------------------------------------------------------------------------------------

    def expired(self, now_unix_s: float, max_age_s: float | None, max_bytes: int | None) -> list[Recording]:
        """Return the recordings that retention removes; times in seconds."""
        items = [StoredItem(each.recording_id, each.started_at, each.ended_at, each.size_bytes) for each in self.all()]
        gone = expired(items, now_unix_s, max_age_s=max_age_s, max_bytes=max_bytes)
        return [self._recordings[recording_id] for recording_id in gone]

    async def remove(self, recording: Recording) -> None:
        """Remove a recording and its files.

        Raises:
            Conflict: (409) the recording is running.
            Unavailable: (503) the files cannot be removed.
        """
        if recording.status == "recording":
            raise Conflict("This recording is being made; stop it first.")
        try:
            await self.threads.run(remove_directory, recording.directory)
        except FileNotFoundError:
            pass  # the files were already removed
        except OSError as error:
            raise Unavailable(f"The recording cannot be removed: {error.strerror}.", debug=repr(error)) from error
        self._recordings.pop(recording.recording_id, None)
        self._loaded.pop(recording.recording_id, None)
        for key in [key for key in self._files if key[0] == recording.recording_id]:
            del self._files[key]
        self._notify(recording)
