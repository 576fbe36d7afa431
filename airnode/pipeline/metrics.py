"""Metrics of the pipeline, by topic.

A metrics class declares in ``reported`` which of its meters the admin page shows; the role hands them to the
``StatsReporter``.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from airnode.kernel.meter import Meter

_LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass(frozen=True, slots=True)
class ReportedMeter:
    """A meter that is reported to the admin page.

    Attributes:
        what: first half of the reported field, such as ``produced``; the second half is a value of the label ``by``.
        by: the counts of each value of this label are added up.
    """

    what: str
    meter: Meter
    by: str = "topic"


class ProducerMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.produced = Meter("airnode_pipeline_produced_total", "Events put on the log.", ["topic"], registry=registry)
        self.outbox_sent = Meter(
            "airnode_pipeline_outbox_sent_total",
            "Events of database changes put on the log.",
            ["topic"],
            registry=registry,
        )
        self.reported = (ReportedMeter("produced", self.produced), ReportedMeter("produced", self.outbox_sent))


class ConsumerMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"airnode_pipeline_{name}_total", what, labels, registry=registry)

        self.landed = Meter(
            "airnode_pipeline_landed_total", "Events written to the database, each once.", ["topic"], registry=registry
        )
        self.repeated = counter("repeated", "Events that came again and were in the database already.", "topic")
        self.dead = Meter(
            "airnode_pipeline_dead_letters_total",
            "Records put aside, by reason.",
            ["topic", "reason"],
            registry=registry,
        )
        self.reported = (ReportedMeter("landed", self.landed), ReportedMeter("dead", self.dead))
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
