"""Metrics of recording."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class RecordingMetrics:
    """Metrics of recording."""

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
