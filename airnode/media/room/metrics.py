"""Metrics of the rooms of a node."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class RoomMetrics:
    """Metrics of all rooms together: the name of a room is no label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.live = Gauge("airnode_media_rooms_live", "Rooms with a publisher", registry=registry)
        self.viewers = Gauge("airnode_media_viewers", "Viewers (token sessions)", registry=registry)
        self.window_bytes = Gauge("airnode_media_window_bytes", "Media held in memory", registry=registry)
        self.retained_bytes = Gauge(
            "airnode_media_retained_bytes",
            "... of which media that left the playlist and can still be fetched",
            registry=registry,
        )
        self.drops = Counter("airnode_media_publisher_drops_total", "Publishers that went away", registry=registry)
        self.takeovers = Counter("airnode_media_takeovers_total", "Silent publishers replaced", registry=registry)
        self.refused = Counter("airnode_media_publishers_refused_total", "Publishers refused", registry=registry)
        self.lost = Counter("airnode_media_rooms_lost_total", "Rooms that went to another node", registry=registry)
        self.unplayable = Gauge(
            "airnode_media_rooms_unplayable",
            "Rooms with a publisher, and without anything to play for 5 s",
            registry=registry,
        )
        self.faults = Counter(
            "airnode_media_stream_faults_total", "What was wrong with publishers' streams", ["kind"], registry=registry
        )
        #: Label values: ``audio`` and ``video``; the keys of ``samples.findings.KINDS``.
        self.odd_samples = Counter(
            "airnode_media_odd_samples_total",
            "Samples of publishers that were repaired or dropped",
            ["track", "reason"],
            registry=registry,
        )
