"""The metrics of recording, and the notices about a disk that fails or is slow."""

import errno
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from airnode.bus.messages import Notice
from airnode.errors import Unavailable
from airnode.kernel.trouble import Trouble
from airnode.store.files.disk import is_full


class RecordingMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.recorded = Gauge("airnode_recording_rooms_recorded", "Rooms being recorded", registry=registry)
        self.stalled = Gauge(
            "airnode_recording_rooms_stalled",
            "Rooms that should be recorded, and the disk does not allow it",
            registry=registry,
        )
        self.queue = Gauge("airnode_recording_queue_bytes", "Media that waits for the disk", registry=registry)
        self.kept = Gauge("airnode_recording_kept_bytes", "Recordings of this node on its disk", registry=registry)
        self.free = Gauge("airnode_recording_free_bytes", "Free on the disk of the recordings", registry=registry)
        self.written = Counter("airnode_recording_written_bytes_total", "Media written", registry=registry)
        self.segments = Counter("airnode_recording_segments_total", "Segments written", registry=registry)
        self.left_out = Counter(
            "airnode_recording_segments_left_out_total", "Segments missing in recordings", ["reason"], registry=registry
        )
        self.failures = Counter("airnode_recording_failures_total", "Times the disk failed", registry=registry)
        self.removed = Counter("airnode_recording_removed_total", "Recordings removed", ["reason"], registry=registry)
        self.seconds = Histogram(
            "airnode_recording_write_seconds",
            "Time to write a segment",
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0),
            registry=registry,
        )


class RecordingDiskFailed(Unavailable):
    """The disk accepts no more writes."""

    code, title = "recording_disk_failed", "Recording has stopped"


class RecordingDiskFull(RecordingDiskFailed):
    """The disk or the quota is full, or less than ``recording.min_free_bytes`` is free."""

    code = "recording_disk_full"


class RecordingDiskReadOnly(RecordingDiskFailed):
    """The disk is mounted read-only."""

    code = "recording_disk_read_only"


def disk_failure(error: OSError, root: Path) -> RecordingDiskFailed:
    """Return the error with the reason why recording has stopped."""
    reason = error.strerror or str(error)
    text = f"Recording has stopped: {reason} ({root}). Make room or repair the disk; it goes on by itself."
    if is_full(error):
        return RecordingDiskFull(text, fields={"path": str(root)}, debug=repr(error))
    if error.errno == errno.EROFS:
        return RecordingDiskReadOnly(text, fields={"path": str(root)}, debug=repr(error))
    return RecordingDiskFailed(text, fields={"path": str(root), "error": reason}, debug=repr(error))


def notices_of(trouble: Trouble) -> list[Notice]:
    """Return one notice for each reason of a trouble."""
    return [
        Notice(reason.code, reason.text, {name: str(value) for name, value in reason.fields.items()})
        for reason in trouble.reasons
    ]


def slow_notice(root: Path) -> Notice:
    """Return the notice that the disk is too slow."""
    text = f"The disk of {root} is too slow: segments are missing in recordings."
    return Notice("recording_disk_slow", text, {"path": str(root)}, level="warning")
