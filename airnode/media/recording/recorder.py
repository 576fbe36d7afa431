"""Records this node's rooms: each segment of a window is written to the disk after it has closed, by one thread.

::

    window ──closed segment──▶ queue (recording.queue_bytes) ──▶ one thread ──▶ disk
                                 │ full: left out, counted           │ full, broken, read-only: alarm; left out until
                                 ▼                                   ▼ a probe every few seconds succeeds
                              (a gap in the recording; the class goes on)
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import structlog
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from airnode.bus.messages import Notice
from airnode.bus.recordings import RecordingMode
from airnode.config.sections.recording import RecordingSection
from airnode.errors import AirnodeError, Conflict, NotFound, Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble
from airnode.media.hls.playlist import Segment
from airnode.media.recording.active_recording import ActiveRecording, WriteJob, complete_files, segment_to_write
from airnode.media.recording.catalog import RecordingCatalog
from airnode.media.recording.disk import RecordingFile
from airnode.media.recording.index import VERSION, BeginEntry, EndEntry, Entry, SegmentIndex
from airnode.media.recording.reporting import RecordingMetrics, disk_failure, notices_of, slow_notice
from airnode.media.room.live_room import LiveRoom
from airnode.media.room.rooms import Rooms
from airnode.store.files.disk import free_bytes, probe_writable, require_free_bytes

log = structlog.get_logger(__name__)

#: Intervals of the disk check and of retention; the interval of syncs is ``recording.sync_s``.
_CHECK_S, _RETENTION_S = 5.0, 30.0
#: The alarm ends when this many segments of the failed size fit, so that it does not flap on an almost full disk.
_RESUME_SEGMENTS = 4
#: A disk that does not answer for this long counts as failed.
_DISK_TIMEOUT_S = 20.0
#: Longest time to write the rest of the queue when the node stops.
_FINISH_TIMEOUT_S = 5.0
#: Most jobs that are taken from the queue at once.
_BATCH = 64
#: The notice about a slow disk stays for this long after the last segment that was left out.
_SLOW_NOTICE_S = 60.0
#: Target duration in s, if the window has none when its first segment has closed.
_DEFAULT_TARGET_S = 10


class Recorder(Service):
    """Records the rooms that are published to this node.

    Args:
        node_id: of this node.
    """

    name = "recorder"

    def __init__(
        self,
        rooms: Rooms,
        catalog: RecordingCatalog,
        section: RecordingSection,
        node_id: str,
        registry: CollectorRegistry,
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self._rooms = rooms
        self._catalog = catalog
        self._section = section
        self._node_id = node_id
        self._metrics = RecordingMetrics(registry)
        self._tasks = tasks
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recording-write")
        #: {room name: the running recording}.
        self._active: dict[str, ActiveRecording] = {}
        #: Recordings whose files the thread may still have open.
        self._open: set[ActiveRecording] = set()
        #: Bounded by ``recording.queue_bytes``.
        self._queue: deque[WriteJob] = deque()
        self._queued_bytes = 0
        self._jobs_waiting = asyncio.Event()
        self._idle = asyncio.Event()
        #: {room name: the room}, for rooms whose teacher stopped the recording; ``recording.mode = all`` skips them.
        self._stopped_by_teacher: dict[str, LiveRoom] = {}
        #: The reason why nothing can be written. Only changed on the event loop.
        self._trouble = Trouble("recording_stopped", "recording_possible_again", level="error")
        #: Monotonic time at which the queue was last full.
        self._queue_full_s = float("-inf")
        #: Bytes that must be free beyond the limit before recording resumes. Only used by the thread.
        self._resume_bytes = 0
        rooms.on_change(self._room_changed)

    @property
    def mode(self) -> RecordingMode:
        """Return ``recording.mode``: which classes are recorded."""
        return self._section.mode

    # -- start and stop -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Check the disk, and start to write."""
        await self._check_disk()
        self._tasks.spawn("write", self._write_forever())
        self._tasks.spawn("check", repeat_every(_CHECK_S, self._check_disk, failed="recording_disk_not_checked"))
        sync = repeat_every(self._section.sync_s, lambda: self._on_disk(self._sync), failed="recordings_not_forced")
        self._tasks.spawn("sync", sync)
        self._tasks.spawn("retention", self._apply_retention_forever())

    async def stop(self) -> None:
        """End all recordings, and wait up to `_FINISH_TIMEOUT_S` for the disk."""
        for active in list(self._active.values()):
            self._finish(active)
        try:
            async with asyncio.timeout(_FINISH_TIMEOUT_S):
                while self._open:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            log.warning("recordings_not_finished", count=len(self._open))
        await self._tasks.aclose()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def notices(self) -> list[Notice]:
        """Return the notices about the disk, for the admin page."""
        found = notices_of(self._trouble)
        if time.monotonic() - self._queue_full_s < _SLOW_NOTICE_S:
            found.append(slow_notice(self._catalog.root))
        return found

    async def check(self) -> str | None:
        """Return the number of running recordings, for ``/health``. Raise LookupError if there are notices."""
        if notices := self.notices():
            raise LookupError(" ".join(f"{each.level}: {each.text}" for each in notices))
        return f"{len(self._active)} running" if self._active else None

    # -- recordings ---------------------------------------------------------------------------------------------------

    def record(self, name: str) -> str:
        """Return the id of the room's recording, which is started if none is running.

        Raises:
            Conflict: (409) recording is switched off here, or the room is not live here.
            Unavailable: (503) the disk accepts no writes.
        """
        if self.mode == "off":
            raise Conflict("Recording is switched off on this node: set recording.mode and start it again.")
        room = self._rooms.get(name)
        if room is None or room.phase not in ("live", "reconnecting"):
            raise Conflict("This class is not live on this node.")
        self._stopped_by_teacher.pop(name, None)
        if name not in self._active:
            if self._trouble:
                raise Unavailable(self._trouble.text, retry_after_s=_CHECK_S)
            self._begin(room)
            room.request_key_frame("recording")
        return self._active[name].recording.recording_id

    def end(self, name: str) -> None:
        """Stop recording a room, if it is recorded."""
        room = self._rooms.get(name)
        if room is not None:
            self._stopped_by_teacher[name] = room
        if (active := self._active.get(name)) is not None:
            self._finish(active)

    async def remove(self, name: str, recording_id: str) -> None:
        """Remove a recording and its files.

        Raises:
            NotFound: (404) this node does not have the recording.
            Conflict: (409) the recording is running.
            Unavailable: (503) the files cannot be removed.
        """
        found = self._catalog.get(name, recording_id)
        if found is None:
            raise NotFound("There is no such recording on this node.")
        await self._catalog.remove(found)
        self._metrics.removed.labels("asked").inc()

    def _room_changed(self, room: LiveRoom) -> None:
        room.recording_mode = self.mode
        active = self._active.get(room.name)
        if active is not None and (active.room is not room or room.closed or room.phase == "ended"):
            self._finish(active)
            active = None
        is_live = room.phase == "live" and not room.closed
        if is_live and active is None and self.mode == "all" and self._stopped_by_teacher.get(room.name) is not room:
            self._begin(room)
        if room.closed and self._stopped_by_teacher.get(room.name) is room:
            del self._stopped_by_teacher[room.name]

    def _begin(self, room: LiveRoom) -> None:
        now = time.time()
        recording_id = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        begun = BeginEntry(VERSION, recording_id, room.name, self._node_id, now, 0)
        recording = self._catalog.begin(begun)
        active = self._active[room.name] = ActiveRecording(room, recording, begun, room.window.next_msn)
        self._open.add(active)
        active.unlisten = room.window.add_listener(lambda: self._collect_segments(active))
        log.info("recording_started", room=room.name, recording_id=recording_id)
        self._update_room(active)

    def _finish(self, active: ActiveRecording) -> None:
        self._collect_segments(active)
        active.ending = True
        self._active.pop(active.room.name, None)
        if active.unlisten is not None:
            active.unlisten()
            active.unlisten = None
        self._put(WriteJob(active, None))
        self._update_room(active)

    def _update_room(self, active: ActiveRecording) -> None:
        """Update the room's recording id, and report it to the cluster if it has changed."""
        room = active.room
        recording = not active.ending and not self._trouble
        shown = active.recording.recording_id if recording else ""
        if room.recording_id != shown:
            room.recording_id = shown
            if not room.closed:
                self._rooms.notify(room)

    # -- from the window to the queue ---------------------------------------------------------------------------------

    def _collect_segments(self, active: ActiveRecording) -> None:
        """Add the segments that have closed since the last call to the queue."""
        window = active.room.window
        for segment in window.finished_from(active.next_msn):
            if segment.msn > active.next_msn:
                self._leave_out(active, "late", segment.msn - active.next_msn)
            active.next_msn = segment.msn + 1
            if self._trouble:
                self._leave_out(active, "disk")
            elif self._queued_bytes + segment.size_bytes > self._section.queue_bytes:
                self._queue_full_s = time.monotonic()
                self._leave_out(active, "queue")
            elif active.started or segment.independent:
                self._enqueue(active, segment, window.init_section(segment.init_name))

    def _leave_out(self, active: ActiveRecording, reason: str, count: int = 1) -> None:
        self._metrics.left_out.labels(reason).inc(count)
        if not active.gap:
            log.warning("recording_segments_left_out", recording_id=active.recording.recording_id, reason=reason)
        active.gap = True

    def _enqueue(self, active: ActiveRecording, segment: Segment, init: bytes) -> None:
        if not active.started:
            target_s = active.room.window.target_duration_s or _DEFAULT_TARGET_S
            active.begun = replace(active.begun, target_duration_s=target_s)
            active.recording.index = SegmentIndex(active.begun)
        active.started, active.gap = True, False
        self._put(WriteJob(active, segment_to_write(segment, init)))

    def _put(self, job: WriteJob) -> None:
        self._queue.append(job)
        self._queued_bytes += job.segment_data.size_bytes if job.segment_data is not None else 0
        self._metrics.queue.set(self._queued_bytes)
        self._jobs_waiting.set()

    # -- from the queue to the disk -----------------------------------------------------------------------------------

    async def _write_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._jobs_waiting.wait()
            jobs = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            if not jobs:
                self._jobs_waiting.clear()
                self._idle.set()
                continue
            for job in jobs:
                await self._job_done(job, await loop.run_in_executor(self._thread, self._write, job))

    def _write(self, job: WriteJob) -> list[Entry] | EndEntry | OSError:
        """Return the new entries, the last entry, or the OSError, after writing. Runs in the thread."""
        active, segment_data = job.active, job.segment_data
        try:
            if segment_data is None:
                return complete_files(active)
            if self._trouble:
                raise OSError("recording has stopped already")
            with self._metrics.seconds.time():
                self._require_space()
                if active.file is None:
                    active.file = RecordingFile(active.recording.directory, active.begun)
                return list(active.file.write(segment_data))
        except OSError as error:
            if segment_data is not None:
                self._resume_bytes = _RESUME_SEGMENTS * segment_data.size_bytes
            return error

    def _require_space(self, more_bytes: int = 0) -> None:
        """Raise OSError if too little space is free. Runs in the thread."""
        least_bytes = self._section.min_free_bytes + more_bytes
        require_free_bytes(self._catalog.root, least_bytes, "recording.min_free_bytes")

    async def _job_done(self, job: WriteJob, outcome: list[Entry] | EndEntry | OSError) -> None:
        active, segment_data = job.active, job.segment_data
        if segment_data is not None:
            self._queued_bytes -= segment_data.size_bytes
            self._metrics.queue.set(self._queued_bytes)
        if isinstance(outcome, OSError):
            self._leave_out(active, "disk")
            self._fail(outcome)
        elif isinstance(outcome, EndEntry):
            self._open.discard(active)
            self._catalog.end(active.recording, outcome)
            log.info(
                "recording_finished",
                recording_id=active.recording.recording_id,
                duration_s=round(outcome.duration_s, 1),
                size_bytes=outcome.size_bytes,
            )
            self._idle.set()
        elif segment_data is not None:
            self._metrics.segments.inc()
            self._metrics.written.inc(segment_data.size_bytes)
            self._catalog.grow(active.recording, outcome)

    # -- the disk -----------------------------------------------------------------------------------------------------

    def _fail(self, error: OSError) -> None:
        """Stop recording until the disk works again; classes continue.

        The first reason is kept until then: later errors follow from it, or differ only in the number of free bytes.
        """
        if self._trouble:
            return
        self._metrics.failures.inc()
        self._trouble.begin(disk_failure(error, self._catalog.root), path=str(self._catalog.root))
        self._trouble_changed()

    def _trouble_changed(self) -> None:
        for active in list(self._active.values()):
            self._update_room(active)
        self._idle.set()

    async def _check_disk(self) -> None:
        """Probe the disk, and begin or end the trouble."""
        is_writable = (self.mode != "off" or self._trouble) and await self._on_disk(self._probe)
        if is_writable and self._trouble.end(path=str(self._catalog.root)):
            self._trouble_changed()
        self._measure()

    async def _on_disk(self, function: Callable[[], None]) -> bool:
        """Return whether a function succeeds in the thread; begin the trouble if the disk fails or does not answer."""
        try:
            async with asyncio.timeout(_DISK_TIMEOUT_S):
                await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except TimeoutError:
            self._fail(OSError(f"the disk did not answer within {_DISK_TIMEOUT_S:g} s"))
            return False
        except OSError as error:
            self._fail(error)
            return False
        return True

    def _sync(self) -> None:
        """Force written data to the disk. Runs in the thread."""
        for active in self._open.copy():
            if active.file is not None:
                active.file.sync()

    def _probe(self) -> None:
        """Raise OSError if nothing can be written. Runs in the thread."""
        self._metrics.free.set(free_bytes(self._catalog.root))
        self._require_space(self._resume_bytes if self._trouble else 0)
        if self._trouble:
            probe_writable(self._catalog.root)

    def _measure(self) -> None:
        self._metrics.recorded.set(0 if self._trouble else len(self._active))
        self._metrics.stalled.set(len(self._active) if self._trouble else 0)
        self._metrics.kept.set(sum(each.size_bytes for each in self._catalog.all()))

    async def _apply_retention_forever(self) -> None:
        await self._apply_retention()
        await repeat_every(_RETENTION_S, self._apply_retention, failed="retention_failed")

    async def _apply_retention(self) -> None:
        section = self._section
        for recording in self._catalog.expired(time.time(), section.max_age_s, section.max_bytes):
            try:
                await self._catalog.remove(recording)
            except AirnodeError as error:
                log.warning("recording_not_removed", recording_id=recording.recording_id, error=str(error))
                continue
            self._metrics.removed.labels("retention").inc()
            log.info("recording_expired", recording_id=recording.recording_id, room=recording.room)
