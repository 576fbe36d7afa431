"""Metrics of the pipeline, by topic."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from airnode.kernel.meter import Meter

_LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class ProducerMetrics:
    """Metrics of a producer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.produced = Meter(
            Counter("airnode_pipeline_produced_total", "Events put on the log.", ["topic"], registry=registry),
            by="topic",
        )
        self.outbox_sent = Meter(
            Counter(
                "airnode_pipeline_outbox_sent_total",
                "Events of database changes put on the log.",
                ["topic"],
                registry=registry,
            ),
            by="topic",
        )


class ConsumerMetrics:
    """Metrics of a consumer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"airnode_pipeline_{name}_total", what, labels, registry=registry)

        self.landed = Meter(counter("landed", "Events written to the database, each once.", "topic"), by="topic")
        self.repeated = counter("repeated", "Events that came again and were in the database already.", "topic")
        self.dead = Meter(counter("dead_letters", "Records put aside, by reason.", "topic", "reason"), by="topic")
        self.retried = counter("retries", "Writes that the database did not take at once.")
        self.paused = counter("pauses", "Times that a consumer stopped fetching, as its buffer was full.")
        self.stuck = counter("stuck", "Times that a partition had lag and did not move (pipeline.stuck_s).", "topic")
        self.lag = Gauge(
            "airnode_pipeline_lag_records",
            "Records that a group has not landed.",
            ["topic", "group"],
            registry=registry,
        )
        self.latency = Histogram(
            "airnode_pipeline_latency_seconds",
            "From the making of an event to its commit in the database: of the oldest event of each batch.",
            ["topic"],
            buckets=_LATENCY_S,
            registry=registry,
        )
