"""Metrics of the MediaMTX engine."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.processes.supervisor import EmbeddedMetrics


class MediaMtxMetrics:
    """What is counted about MediaMTX and its publishers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.publishers = Gauge(
            "airnode_media_mediamtx_publishers", "Publishers that come through MediaMTX", registry=registry
        )
        self.refused = Counter(
            "airnode_media_mediamtx_refused_total", "What MediaMTX's hook was refused", ["reason"], registry=registry
        )
        self.intruders = Counter(
            "airnode_media_mediamtx_intruders_total", "Requests to the hook without its secret", registry=registry
        )
        self.failures = Counter(
            "airnode_media_mediamtx_failures_total", "Requests to MediaMTX that failed", ["kind"], registry=registry
        )
        self.kicked = Counter(
            "airnode_media_mediamtx_kicked_total", "Publishers that MediaMTX was told to end", registry=registry
        )
        self.lost = Counter(
            "airnode_media_mediamtx_lost_segments_total",
            "Segments that were gone before they were read",
            registry=registry,
        )
        self.received = Counter(
            "airnode_media_mediamtx_received_bytes_total", "Media bytes from MediaMTX", registry=registry
        )


class MediaMtxRestarts(EmbeddedMetrics):
    """The supervisor's metric, under this engine's name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.restarts = Counter(
            "airnode_media_mediamtx_restarts_total", "Unexpected exits of MediaMTX", ["server"], registry=registry
        )
