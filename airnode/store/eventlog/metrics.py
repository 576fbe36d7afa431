"""What the event log counts; one set for both kinds of log."""

from prometheus_client import CollectorRegistry, Counter


class EventLogMetrics:
    """Metrics of the event log, by topic."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter(
            "airnode_eventlog_published_total", "Records stored by this process.", ["topic"], registry=registry
        )
        self.received = Counter(
            "airnode_eventlog_received_total", "Records handed out, repeats included.", ["topic"], registry=registry
        )
        self.reclaimed = Counter(
            "airnode_eventlog_reclaimed_total",
            "Records taken over from a member that is gone.",
            ["topic"],
            registry=registry,
        )
        self.rebalanced = Counter(
            "airnode_eventlog_partitions_moved_total",
            "Partitions assigned, revoked, lost.",
            ["how"],
            registry=registry,
        )
        self.full = Counter(
            "airnode_eventlog_full_total",
            "Times that publishing waited for readers (eventlog.stream_max_records).",
            ["topic"],
            registry=registry,
        )
        self.trimmed = Counter(
            "airnode_eventlog_trimmed_total",
            "Records let go of, as every group has read them.",
            ["topic"],
            registry=registry,
        )
        self.commit_failed = Counter(
            "airnode_eventlog_commits_skipped_total",
            "Commits of partitions that another member owns by now.",
            registry=registry,
        )
