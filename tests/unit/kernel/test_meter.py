"""A meter: one count, read by Prometheus and by the process."""

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from airnode.kernel.meter import Meter


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_a_meter_without_labels_is_exported_as_zero_from_the_start(registry: CollectorRegistry):
    meter = Meter("airnode_sent_bytes_total", "Bytes sent", registry=registry)
    assert registry.get_sample_value("airnode_sent_bytes_total") == 0
    meter.add(3)
    meter.add(4)
    assert registry.get_sample_value("airnode_sent_bytes_total") == 7
    assert meter.total == 7


def test_a_meter_with_labels_is_exported_by_all_of_them_and_read_by_one(registry: CollectorRegistry):
    meter = Meter("airnode_dead_total", "Records put aside", ["topic", "reason"], registry=registry)
    meter.add(2, "orders", "not_json")
    meter.add(1, "orders", "refused")
    meter.add(5, "users", "refused")
    assert registry.get_sample_value("airnode_dead_total", {"topic": "orders", "reason": "not_json"}) == 2
    assert registry.get_sample_value("airnode_dead_total", {"topic": "users", "reason": "refused"}) == 5
    assert meter.totals_by("topic") == {"orders": 3, "users": 5}
    assert meter.totals_by("reason") == {"not_json": 2, "refused": 6}
    assert meter.total == 8


@pytest.mark.parametrize("labels", [(), ("topic", "reason")])
def test_prometheus_gets_the_same_text_as_from_its_own_counter(registry: CollectorRegistry, labels: tuple[str, ...]):
    meter = Meter("airnode_read_total", "Rows read", labels, registry=registry)
    other = CollectorRegistry()
    counter = Counter("airnode_read_total", "Rows read", labels, registry=other)
    assert generate_latest(registry) == _without_times_of_creation(generate_latest(other))

    meter.add(12, *labels)
    (counter.labels(*labels) if labels else counter).inc(12)
    assert generate_latest(registry) == _without_times_of_creation(generate_latest(other))


def test_a_wrong_number_of_label_values_is_refused(registry: CollectorRegistry):
    with pytest.raises(ValueError, match="airnode_sent_total"):
        Meter("airnode_sent_total", "Events sent", ["topic"], registry=registry).add(1)
    with pytest.raises(ValueError, match="airnode_bytes_total"):
        Meter("airnode_bytes_total", "Bytes sent", registry=registry).add(1, "orders")


def test_a_registry_refuses_a_second_metric_of_the_same_name(registry: CollectorRegistry):
    Meter("airnode_sent_total", "Events sent", registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Counter("airnode_sent_total", "Events sent", registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Meter("airnode_sent_total", "Events sent", ["topic"], registry=registry)


def _without_times_of_creation(text: bytes) -> bytes:
    # A node exports no times of creation (``disable_created_metrics``, for the whole process).
    return b"".join(line for line in text.splitlines(keepends=True) if b"_created" not in line)
