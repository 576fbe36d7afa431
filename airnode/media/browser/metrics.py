"""The metrics of publishing browsers; the first six are those of RTMP."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class BrowserMetrics:
    """Counters and gauges of one browser ingest, on the registry that is passed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge("airnode_browser_connections", "Open connections of browsers.", registry=registry)
        self.publishers = Gauge("airnode_browser_publishers", "Browsers that publish.", registry=registry)
        self.accepted = Counter(
            "airnode_browser_connections_accepted_total", "Connections of browsers so far.", registry=registry
        )
        self.rejected = Counter(
            "airnode_browser_rejected_total", "Connections and publishes refused.", ["reason"], registry=registry
        )
        self.protocol_errors = Counter(
            "airnode_browser_protocol_errors_total", "Broken rules and exceeded limits.", ["reason"], registry=registry
        )
        self.received_bytes = Counter(
            "airnode_browser_received_bytes_total", "Bytes received from browsers.", registry=registry
        )
        self.dropped = Counter(
            "airnode_browser_frames_dropped_total", "Frames whose timestamps did not increase.", registry=registry
        )
        self.key_frames = Counter(
            "airnode_browser_key_frames_requested_total", "Key frames requested.", ["reason"], registry=registry
        )
        self.sound_cpu = Counter(
            "airnode_browser_sound_cpu_seconds_total", "CPU time of converting Opus to AAC.", registry=registry
        )
        self.sound_dropped = Counter(
            "airnode_browser_sound_dropped_total",
            "Opus packets that were not converted.",
            ["reason"],
            registry=registry,
        )
