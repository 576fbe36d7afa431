"""The RTMP server's metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class RtmpMetrics:
    """Counters and gauges of one RTMP server, on the registry that is passed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge("airnode_rtmp_connections", "Open RTMP connections.", registry=registry)
        self.publishers = Gauge("airnode_rtmp_publishers", "RTMP connections that publish.", registry=registry)
        # Not ..._connections_total: a counter and a gauge may not share a name (OpenMetrics).
        self.accepted = Counter(
            "airnode_rtmp_connections_accepted_total", "RTMP connections so far.", registry=registry
        )
        self.rejected = Counter(
            "airnode_rtmp_rejected_total", "Connections and publishes refused.", ["reason"], registry=registry
        )
        self.protocol_errors = Counter(
            "airnode_rtmp_protocol_errors_total",
            "Broken rules, exceeded limits and malformed media messages.",
            ["reason"],
            registry=registry,
        )
        self.received_bytes = Counter(
            "airnode_rtmp_received_bytes_total", "Bytes received from RTMP peers.", registry=registry
        )
