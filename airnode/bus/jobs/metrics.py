"""Metrics of durable jobs."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)


class JobMetrics:
    """What this process enqueues and works, and what it sees of the queues."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.enqueued = Counter("airnode_jobs_enqueued_total", "Jobs enqueued here.", ["queue"], registry=registry)
        self.refused = Counter(
            "airnode_jobs_refused_total",
            "Jobs that were not enqueued: queue_full (jobs.max_waiting), data_too_large (jobs.data_max_bytes).",
            ["queue", "reason"],
            registry=registry,
        )
        self.attempts = Counter(
            "airnode_jobs_attempts_total",
            "Attempts that ended here: completed, retried, failed, cancelled, returned (the worker stopped), "
            "lost (another worker took the job).",
            ["queue", "end"],
            registry=registry,
        )
        self.stopped = Counter(
            "airnode_jobs_stopped_total",
            "Handlers that did not end by themselves: timed_out, cancelled, hung (they ignored that, and were left).",
            ["queue", "reason"],
            registry=registry,
        )
        self.stalled = Counter(
            "airnode_jobs_stalled_total", "Jobs whose worker was gone, found here.", ["queue"], registry=registry
        )
        self.attempt_s = Histogram(
            "airnode_jobs_attempt_seconds",
            "Time from taking a job to the end of the attempt.",
            ["queue"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.wait_s = Histogram(
            "airnode_jobs_wait_seconds",
            "Time from enqueuing a job to the begin of its first attempt.",
            ["queue"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_queue = Gauge(
            "airnode_jobs_queue_jobs",
            "Jobs in a queue by state; ended ones are those that are kept. Masters only.",
            ["queue", "state"],
            registry=registry,
        )
        self.workers = Gauge(
            "airnode_jobs_queue_workers", "Live workers of a queue. Masters only.", ["queue"], registry=registry
        )
