"""Counters that are exported to Prometheus and that the process itself reads too.

A number that the heartbeat or the admin page needs is declared once, as a meter, and handed over as an object. Reading
it back from the metrics registry by its name would break silently when somebody renames the metric.
"""

from collections import Counter

import prometheus_client


class Meter:
    """A counter with labels, readable in this process by one of them.

    Args:
        counter: what Prometheus scrapes; nobody else increases it.
        by: the label that :attr:`totals` is keyed by.

    Attributes:
        totals: {value of the label ``by``: count since the start of the process}.
    """

    def __init__(self, counter: prometheus_client.Counter, by: str) -> None:
        self._counter = counter
        self._index = counter._labelnames.index(by)
        self.totals: Counter[str] = Counter()

    def add(self, count: int, *labels: str) -> None:
        """Add to the counter with these label values."""
        self._counter.labels(*labels).inc(count)
        self.totals[labels[self._index]] += count
