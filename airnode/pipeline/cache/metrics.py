"""Metrics of the cache and its readers."""

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from airnode.kernel.meter import Meter
from airnode.pipeline.metrics import ReportedMeter

_REFRESH_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ReaderMetrics(Protocol):
    """Metrics of a reader of the cache. A process may have one reader of each kind, so the metric names differ.

    Attributes:
        reads: by table and result, ``hit`` or ``miss``.
        loads: rows that were read from the database instead, by table.
    """

    reads: Meter
    loads: Counter


class CatalogueMetrics:
    """Metrics of a producer's reads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reads = Meter(
            "airnode_pipeline_cache_reads_total",
            "Users and products requested from the cache, by whether it had them.",
            ["table", "result"],
            registry=registry,
        )
        self.reported = (ReportedMeter("reads", self.reads, by="result"),)
        self.loads = Counter(
            "airnode_pipeline_cache_loads_total",
            "Users and products read from the database, as the cache did not have them.",
            ["table"],
            registry=registry,
        )


class LookupMetrics:
    """Metrics of a master's lookups."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reads = Meter(
            "airnode_pipeline_lookups_total",
            "Users and products looked up, by whether the cache had them.",
            ["table", "result"],
            registry=registry,
        )
        self.loads = Counter(
            "airnode_pipeline_lookup_loads_total",
            "Users and products that lookups read from the database, as the cache did not have them.",
            ["table"],
            registry=registry,
        )


class CacheMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.refreshes = Counter(
            "airnode_pipeline_cache_refreshes_total",
            "Refreshes of the cache: done, failed, or refused as another worker acts.",
            ["result"],
            registry=registry,
        )
        self.took = Histogram(
            "airnode_pipeline_cache_refresh_seconds", "Duration of a refresh.", buckets=_REFRESH_S, registry=registry
        )
        self.statements = Counter(
            "airnode_pipeline_cache_statements_total",
            "Statements sent to the database for refreshes.",
            registry=registry,
        )
        self.rows = Gauge(
            "airnode_pipeline_cached_rows", "Rows in the cache after the last refresh.", ["table"], registry=registry
        )
        self.oldest = Gauge(
            "airnode_pipeline_cache_oldest_uncached_seconds",
            "No row has been out of the cache for longer, as of the last refresh.",
            ["table"],
            registry=registry,
        )
