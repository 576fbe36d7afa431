"""A running recording, and the jobs that the writing thread does for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from airnode.media.hls.playlist import Segment
from airnode.media.recording.catalog import Recording
from airnode.media.recording.disk import RecordingFile, SegmentToWrite
from airnode.media.recording.index import BeginEntry, EndEntry
from airnode.media.room.live_room import LiveRoom


@dataclass(slots=True, eq=False)
class ActiveRecording:
    """A running recording. The event loop owns it, except ``file``, which the writing thread owns.

    Attributes:
        next_msn: media sequence number of the next segment to take from the window.
        started: a segment has been taken; the first one must begin with a key frame.
        gap: the last segment was left out.
        ending: no segment will be added.
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
class WriteJob:
    """A job for the writing thread: write a segment; None: end the recording."""

    active: ActiveRecording
    segment_data: SegmentToWrite | None


def complete_files(active: ActiveRecording) -> EndEntry:
    """Return the last entry of the index, after completing the files. Runs in the writing thread."""
    if active.file is None:
        return EndEntry("finished", time.time(), 0, 0.0, 0)
    return active.file.finish(time.time())


def segment_to_write(segment: Segment, init: bytes) -> SegmentToWrite:
    """Return the data of a closed segment for the writing thread."""
    return SegmentToWrite(
        msn=segment.msn,
        init=init,
        parts=[part.data for part in segment.parts],
        size_bytes=segment.size_bytes,
        duration_s=segment.duration_s,
        start_unix_s=segment.start_unix_s,
        discontinuity=segment.discontinuity,
    )
