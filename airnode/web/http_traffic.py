"""The connections and requests of all ports of a node, under the names that existing dashboards know."""

from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(slots=True)
class _Port:
    name: str
    runner: web.BaseRunner
    earlier_requests: int = 0


class HttpTraffic(Collector):
    """``http_active_connections`` and ``http_requests_total`` by port, read from aiohttp's servers at a scrape.

    A WebSocket of chat is not among the connections: ``airnode_chat_connections`` counts those.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        #: {port: its server}. Owned by this class.
        self._ports: dict[str, _Port] = {}
        registry.register(self)

    def watch(self, name: str, runner: web.BaseRunner) -> None:
        """Count a port's connections and requests. A second server of the port goes on where the first ended."""
        earlier = self._ports.get(name)
        before = earlier.earlier_requests + _requests(earlier.runner) if earlier is not None else 0
        self._ports[name] = _Port(name, runner, before)

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without values."""
        yield self._active()
        yield self._total()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with their values."""
        active, total = self._active(), self._total()
        for port in self._ports.values():
            server = port.runner.server
            active.add_metric([port.name], len(server.connections) if server is not None else 0)
            total.add_metric([port.name], port.earlier_requests + _requests(port.runner))
        yield active
        yield total

    def _active(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("http_active_connections", "Open HTTP connections", labels=["port"])

    def _total(self) -> CounterMetricFamily:
        return CounterMetricFamily("http_requests_total", "HTTP requests since the start", labels=["port"])


def _requests(runner: web.BaseRunner) -> int:
    return runner.server.requests_count if runner.server is not None else 0
