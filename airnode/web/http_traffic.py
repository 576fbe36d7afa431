"""The connections and requests of all ports of a node, under the names that existing dashboards know."""

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class HttpTraffic(Collector):
    """``http_active_connections`` and ``http_requests_total`` by port, read from aiohttp's servers at a scrape.

    A WebSocket of chat is not among the connections: ``airnode_chat_connections`` counts those.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        #: {port: its server, requests of the servers before it}. Owned by this class.
        self._ports: dict[str, tuple[web.Server, int]] = {}
        registry.register(self)

    def watch(self, name: str, server: web.Server) -> None:
        """Count a port's connections and requests. A second server of the port goes on where the first ended."""
        earlier, requests = self._ports.get(name, (None, 0))
        self._ports[name] = (server, requests + (earlier.requests_count if earlier is not None else 0))

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without values."""
        yield self._active()
        yield self._total()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with their values."""
        active, total = self._active(), self._total()
        for name, (server, earlier_requests) in self._ports.items():
            active.add_metric([name], len(server.connections))
            total.add_metric([name], earlier_requests + server.requests_count)
        yield active
        yield total

    def _active(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("http_active_connections", "Open HTTP connections", labels=["port"])

    def _total(self) -> CounterMetricFamily:
        return CounterMetricFamily("http_requests_total", "HTTP requests since the start", labels=["port"])
