"""Counters that both Prometheus and this process read.

A number that the heartbeat or the admin page needs is declared once, as a meter, and handed over as an object. Reading
it back from the metrics registry by its name would break silently when somebody renames the metric.

``prometheus_client.Counter`` has no public getter. So a meter keeps its counts itself, and Prometheus reads them at a
scrape through a custom collector. ``add`` is also faster than ``inc``: 0.2 us instead of 0.3 us, or 1.2 us with labels.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class Meter(Collector):
    """A counter, with or without labels. Only the thread of the event loop may use it.

    Args:
        name: name of the metric, with ``_total``.
        labels: names of its labels. Without labels it is exported as 0 from the start, as Prometheus's counters are.
    """

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str] = (), *, registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        #: {values of the labels: count since the start of the process}.
        self._counts: Counter[tuple[str, ...]] = Counter() if self._labels else Counter({(): 0})
        registry.register(self)

    def add(self, count: int, *values: str) -> None:
        """Add ``count``, at least 0, for these values of the labels.

        Raises:
            ValueError: there are more or fewer values than labels.
        """
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {self._labels}, not {len(values)} of them")
        self._counts[values] += count

    @property
    def total(self) -> int:
        """Return the sum over all labels since the start of the process."""
        return self._counts.total()

    def totals_by(self, label: str) -> Counter[str]:
        """Return the sums by one label since the start of the process, {value of the label: count}."""
        index = self._labels.index(label)
        totals: Counter[str] = Counter()
        for values, count in self._counts.items():
            totals[values[index]] += count
        return totals

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Yield the metric without counts, so that the registry can refuse a second metric of the same name."""
        yield CounterMetricFamily(self._name, self._documentation, labels=self._labels)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the metric with its counts, for a scrape."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count)
        yield family
