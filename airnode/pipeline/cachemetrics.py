"""What readers of the cache count."""

from prometheus_client import CollectorRegistry, Counter


class CatalogueMetrics:
    """Metrics of a reader of the cache."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reads = Counter(
            "airnode_pipeline_cache_reads_total", "Users and products asked of the cache, by whether it had them.",
            ["table", "result"], registry=registry,
        )  # fmt: skip
