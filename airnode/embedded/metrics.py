"""Metrics of the embedded servers."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class EmbeddedMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.restarts = Counter(
            "airnode_embedded_restarts_total",
            "Unexpected exits of an embedded server.",
            ["server"],
            registry=registry,
        )
        self.copies_bytes = Gauge(
            "airnode_embedded_copies_bytes",
            "Copies of PostgreSQL's binaries for a user who cannot reach the installed ones.",
            registry=registry,
        )
