"""Recording this node's rooms: segments go from the window to the disk as they close, through one thread.

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
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from airnode.bus.messages import Notice
from airnode.bus.recordings import RecordingMode
from airnode.config.sections.recording import RecordingSection
from airnode.errors import AirnodeError, Conflict, NotFound, Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.media.hls.playlist import Segment
from airnode.media.recording import disk
from airnode.media.recording.catalog import Recording, RecordingCatalog
from airnode.media.recording.disk import RecordingFile, SegmentToWrite
from airnode.media.recording.index import VERSION, BeginEntry, EndEntry, Entry, SegmentIndex
from airnode.media.recording.metrics import RecordingMetrics
from airnode.media.recording.retention import StoredItem, expired
from airnode.media.recording.trouble import DiskTooFull, slow_notice, stopped_notice
from airnode.media.room.live_room import LiveRoom
from airnode.media.room.rooms import Rooms

log = structlog.get_logger(__name__)

#: How often the disk is looked at, and retention applied.
_LOOK_S, _RETENTION_S = 5.0, 30.0
#: Room for so many segments of the size that failed ends the alarm, so that a disk that is all but full does not flap.
_RESUME_SEGMENTS = 4
#: A disk that takes longer than this for anything hangs.
_HANGS_S = 20.0
#: What is in the queue has so long to get to the disk when the node stops.
_FAREWELL_S = 5.0
#: Written in one go; then the loop hears of it.
_BATCH = 64
#: An alarm about a slow disk stays for so long after the last segment that was left out.
_SLOW_FOR_S = 60.0
#: Seconds, where a class's target duration is not known even when its first segment has closed.
_UNKNOWN_TARGET_S = 10


@dataclass(slots=True, eq=False)
class _Tape:
    """A recording that is being made: the loop's side; ``file`` is the thread's.

    Attributes:
        next_msn: of the window's next segment. started: one was taken; the first has to begin with a key frame.
        gap: the last one was left out. ending: nothing will be added.
    """

    room: LiveRoom
    recording: Recording
    begun: BeginEntry
    next_msn: int
    gap: bool = False
    started: bool = False
    ending: bool = False
    unlisten: Callable[[], None] | None = None
    file: RecordingFile | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """What the thread does: write a segment, or, without one, end the recording."""

    tape: _Tape
    take: SegmentToWrite | None


class Recorder(Service):
    """Makes recordings of rooms that are published here.

    Args:
        node_id: this node's.
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
        #: {room: its recording that is being made}.
        self._tapes: dict[str, _Tape] = {}
        #: Tapes of which the thread may still have files open.
        self._open: set[_Tape] = set()
        #: Bounded by ``recording.queue_bytes``.
        self._queue: deque[_Job] = deque()
        self._queued_bytes = 0
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        #: {room: it, while its teacher wants no recording}, with ``recording.mode = all``.
        self._unwanted: dict[str, LiveRoom] = {}
        #: What is wrong with the disk; empty: nothing.
        self._trouble: Notice | None = None
        self._slow_s = float("-inf")
        #: Bytes that must be free beyond the limit before recording goes on. The thread's.
        self._wanted_bytes = 0
        rooms.on_change(self._room_changed)

    @property
    def mode(self) -> RecordingMode:
        """Which classes are recorded."""
        return self._section.mode

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to record, and to look after the disk."""
        await self._look_at_disk()
        self._tasks.spawn("write", self._write_for_ever())
        self._tasks.spawn("look", self._look_for_ever())

    async def stop(self) -> None:
        """End all recordings and wait a moment for the disk."""
        for tape in list(self._tapes.values()):
            self._finish(tape)
        try:
            async with asyncio.timeout(_FAREWELL_S):
                while self._open:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            log.warning("recordings_not_finished", count=len(self._open))
        await self._tasks.aclose()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def notices(self) -> list[Notice]:
        """What somebody should look at."""
        found = [self._trouble] if self._trouble else []
        if time.monotonic() - self._slow_s < _SLOW_FOR_S:
            found.append(slow_notice(self._catalog.root))
        return found

    async def check(self) -> str | None:
        """The health check."""
        if notices := self.notices():
            raise LookupError(" ".join(each.text for each in notices))
        return f"{len(self._tapes)} running" if self._tapes else None

    # -- starting and stopping ----------------------------------------------------------------------------------------

    def record(self, name: str) -> str:
        """Record a room from now on. Returns the recording's id, which may be there already.

        Raises:
            Conflict: (409) nothing is recorded here, or the room is not live here.
            Unavailable: (503) the disk does not allow it.
        """
        if self.mode == "off":
            raise Conflict("Recording is switched off on this node: set recording.mode and start it again.")
        room = self._rooms.get(name)
        if room is None or room.phase not in ("live", "reconnecting"):
            raise Conflict("This class is not live on this node.")
        self._unwanted.pop(name, None)
        if name not in self._tapes:
            if self._trouble:
                raise Unavailable(self._trouble.text, retry_after_s=_LOOK_S)
            self._begin(room)
        return self._tapes[name].recording.recording_id

    def end(self, name: str) -> None:
        """Record a room no longer; nothing happens where it is not recorded."""
        room = self._rooms.get(name)
        if room is not None:
            self._unwanted[name] = room
        if (tape := self._tapes.get(name)) is not None:
            self._finish(tape)

    async def remove(self, name: str, recording_id: str) -> None:
        """Remove a recording for good; NotFound (404), Conflict (409) while it is made, Unavailable (503)."""
        found = self._catalog.get(name, recording_id)
        if found is None:
            raise NotFound("There is no such recording on this node.")
        await self._catalog.remove(found)
        self._metrics.removed.labels("asked").inc()

    def _room_changed(self, room: LiveRoom) -> None:
        room.recording_mode = self.mode
        tape = self._tapes.get(room.name)
        if tape is not None and (tape.room is not room or room.closed or room.phase == "ended"):
            self._finish(tape)
            tape = None
        over = room.closed or room.phase != "live"
        if not over and tape is None and self.mode == "all" and self._unwanted.get(room.name) is not room:
            self._begin(room)
        if room.closed and self._unwanted.get(room.name) is room:
            del self._unwanted[room.name]

    def _begin(self, room: LiveRoom) -> None:
        now = time.time()
        recording_id = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        begun = BeginEntry(VERSION, recording_id, room.name, self._node_id, now, 0)
        recording = self._catalog.begin(begun)
        tape = self._tapes[room.name] = _Tape(room, recording, begun, room.window.next_msn)
        self._open.add(tape)
        tape.unlisten = room.window.add_listener(lambda: self._look(tape))
        log.info("recording_started", room=room.name, recording_id=recording_id)
        self._show(tape)

    def _finish(self, tape: _Tape) -> None:
        self._look(tape)
        tape.ending = True
        self._tapes.pop(tape.room.name, None)
        if tape.unlisten is not None:
            tape.unlisten()
            tape.unlisten = None
        self._put(_Job(tape, None))
        self._show(tape)

    def _show(self, tape: _Tape) -> None:
        """Let the cluster know whether the room is being recorded."""
        room = tape.room
        recording = not tape.ending and not self._trouble
        shown = tape.recording.recording_id if recording else ""
        if room.recording_id != shown:
            room.recording_id = shown
            if not room.closed:
                self._rooms.notify(room)

    # -- from the window to the queue ---------------------------------------------------------------------------------

    def _look(self, tape: _Tape) -> None:
        """Put the segments that closed since the last call into the queue."""
        window = tape.room.window
        for segment in window.finished_from(tape.next_msn):
            if segment.msn > tape.next_msn:
                self._leave_out(tape, "late", segment.msn - tape.next_msn)
            tape.next_msn = segment.msn + 1
            if self._trouble:
                self._leave_out(tape, "disk")
            elif self._queued_bytes + segment.size > self._section.queue_bytes:
                self._slow_s = time.monotonic()
                self._leave_out(tape, "queue")
            elif tape.started or segment.independent:
                self._offer(tape, segment, window.init_section(segment.init_name))

    def _leave_out(self, tape: _Tape, reason: str, count: int = 1) -> None:
        self._metrics.left_out.labels(reason).inc(count)
        if not tape.gap:
            log.warning("recording_segments_left_out", recording_id=tape.recording.recording_id, reason=reason)
        tape.gap = True

    def _offer(self, tape: _Tape, segment: Segment, init: bytes) -> None:
        if not tape.started:
            target_s = tape.room.window.target_duration_s or _UNKNOWN_TARGET_S
            tape.begun = replace(tape.begun, target_duration_s=target_s)
            tape.recording.index = SegmentIndex(tape.begun)
        take = SegmentToWrite(
            msn=segment.msn,
            init=init,
            parts=[part.data for part in segment.parts],
            size=segment.size,
            duration_s=segment.duration_s,
            start_unix_s=segment.start_unix_s,
            discontinuity=segment.discontinuity,
        )
        tape.started, tape.gap = True, False
        self._put(_Job(tape, take))

    def _put(self, job: _Job) -> None:
        self._queue.append(job)
        self._queued_bytes += job.take.size if job.take is not None else 0
        self._metrics.queue.set(self._queued_bytes)
        self._some.set()

    # -- from the queue to the disk -----------------------------------------------------------------------------------

    async def _write_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            jobs = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            if not jobs:
                self._some.clear()
                self._idle.set()
                continue
            for job in jobs:
                await self._done(job, await loop.run_in_executor(self._thread, self._write, job))

    def _write(self, job: _Job) -> list[Entry] | EndEntry | OSError:
        """In the thread: one segment, or the end. An error is an answer."""
        tape, take = job.tape, job.take
        try:
            if take is None:
                return _ended(tape)
            if (trouble := self._trouble) is not None:
                raise OSError(trouble.text)
            with self._metrics.seconds.time():
                self._require_room()
                if tape.file is None:
                    tape.file = RecordingFile(tape.recording.directory, tape.begun)
                return list(tape.file.write(take))
        except OSError as error:
            if take is not None:
                self._wanted_bytes = _RESUME_SEGMENTS * take.size
            return error

    def _require_room(self, more: int = 0) -> None:
        """In the thread: raise OSError when too little is free."""
        free, least = disk.free_bytes(self._catalog.root), self._section.min_free_bytes + more
        if free < least:
            raise DiskTooFull(free, least)

    async def _done(self, job: _Job, outcome: list[Entry] | EndEntry | OSError) -> None:
        tape, take = job.tape, job.take
        if take is not None:
            self._queued_bytes -= take.size
            self._metrics.queue.set(self._queued_bytes)
        if isinstance(outcome, OSError):
            self._leave_out(tape, "disk")
            self._fail(outcome)
        elif isinstance(outcome, EndEntry):
            self._open.discard(tape)
            self._catalog.end(tape.recording, outcome)
            log.info(
                "recording_finished",
                recording_id=tape.recording.recording_id,
                duration_s=round(outcome.duration_s, 1),
                size_bytes=outcome.size_bytes,
            )
            self._idle.set()
        elif take is not None:
            self._metrics.segments.inc()
            self._metrics.written.inc(take.size)
            self._catalog.grow(tape.recording, outcome)

    # -- the disk -----------------------------------------------------------------------------------------------------

    def _fail(self, error: OSError) -> None:
        """Stop recording until the disk is well again; classes go on."""
        if self._trouble:
            return
        self._metrics.failures.inc()
        self._trouble = stopped_notice(error, self._catalog.root)
        log.error("recording_stopped", path=str(self._catalog.root), error=str(error))
        self._trouble_changed()

    def _trouble_changed(self) -> None:
        for tape in list(self._tapes.values()):
            self._show(tape)
        self._idle.set()

    async def _look_for_ever(self) -> None:
        retained_s = synced_s = time.monotonic()
        await self._apply_retention()
        while True:
            await asyncio.sleep(min(_LOOK_S, self._section.sync_s))
            now_s = time.monotonic()
            if now_s - synced_s >= self._section.sync_s:
                synced_s = now_s
                await self._on_disk(self._sync)
            await self._look_at_disk()
            if now_s - retained_s >= _RETENTION_S:
                retained_s = now_s
                await self._apply_retention()

    async def _look_at_disk(self) -> None:
        """Raise or end the alarm."""
        if (self.mode != "off" or self._trouble) and await self._on_disk(self._probe) and self._trouble:
            self._trouble = None
            log.info("recording_possible_again", path=str(self._catalog.root))
            self._trouble_changed()
        self._measure()

    async def _on_disk(self, function: Callable[[], None]) -> bool:
        """Call it in the thread; False, with an alarm, where the disk fails or does not answer."""
        try:
            async with asyncio.timeout(_HANGS_S):
                await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except TimeoutError:
            self._fail(OSError(f"the disk did not answer within {_HANGS_S:g} s"))
            return False
        except OSError as error:
            self._fail(error)
            return False
        return True

    def _sync(self) -> None:
        """In the thread: force what was written onto the disk."""
        for tape in self._open.copy():
            if tape.file is not None:
                tape.file.sync()

    def _probe(self) -> None:
        """In the thread: raise OSError where nothing can be written."""
        self._metrics.free.set(disk.free_bytes(self._catalog.root))
        self._require_room(self._wanted_bytes if self._trouble else 0)
        if self._trouble:
            disk.probe(self._catalog.root)

    def _measure(self) -> None:
        self._metrics.recorded.set(0 if self._trouble else len(self._tapes))
        self._metrics.stalled.set(len(self._tapes) if self._trouble else 0)
        self._metrics.kept.set(sum(each.size_bytes for each in self._catalog.all()))

    async def _apply_retention(self) -> None:
        section, kept = self._section, self._catalog.all()
        aged = [
            StoredItem(each.recording_id, each.started_at, each.ended_at, each.size_bytes)
            for each in self._catalog.all()
        ]
        gone = set(expired(aged, time.time(), max_age_s=section.max_age_s, max_bytes=section.max_bytes))
        for recording in [each for each in kept if each.recording_id in gone]:
            try:
                await self._catalog.remove(recording)
            except AirnodeError as error:
                log.warning("recording_not_removed", recording_id=recording.recording_id, error=str(error))
                continue
            self._metrics.removed.labels("retention").inc()
            log.info("recording_expired", recording_id=recording.recording_id, room=recording.room)


def _ended(tape: _Tape) -> EndEntry:
    """In the thread: complete the files; of a recording that never got any, there is nothing to complete."""
    if tape.file is None:
        return EndEntry("finished", time.time(), 0, 0.0, 0)
    return tape.file.finish(time.time())
