"""What a process reports: only what grew, in the minute it grew in, and never without a bound."""

from prometheus_client import CollectorRegistry

from airnode.kernel.meter import Meter
from airnode.pipeline.admin.stats_reporter import GrowthByMinute, totals_of
from airnode.pipeline.metrics import ReportedMeter


def test_only_growth_is_reported_with_its_minute():
    growth = GrowthByMinute()
    growth.update({"landed:orders": 0}, {}, 100, 0.0)
    growth.update({"landed:orders": 5, "landed:users": 2}, {}, 100, 1.0)
    growth.update({"landed:orders": 5, "landed:users": 3}, {}, 101, 2.0)
    assert growth.take() == (100, {"landed:orders": 5, "landed:users": 2}, {})
    assert growth.take() == (101, {"landed:users": 1}, {})
    assert growth.take() is None
    growth.update({"landed:orders": 5, "landed:users": 3}, {}, 102, 3.0)
    assert growth.take() is None


def test_the_highest_lag_of_a_minute_is_reported():
    growth = GrowthByMinute()
    for records in (3, 40, 0):
        growth.update({}, {"g": {"orders": records}}, 100, 0.0)
    growth.update({}, {"g": {"orders": 0}}, 101, 1.0)
    assert growth.take() == (100, {}, {"peak:g:orders": 40})
    assert growth.take() == (101, {}, {"peak:g:orders": 0})


def test_a_peak_is_reported_once_and_again_when_it_rises():
    growth = GrowthByMinute()
    reports = []
    for minute, records in ((100, 0), (100, 0), (100, 7), (100, 5), (101, 5), (101, 5), (100, 5)):
        growth.update({}, {"g": {"orders": records}}, minute, 0.0)
        reports.append(growth.take())
    peaks = [None if report is None else (report[0], report[2]["peak:g:orders"]) for report in reports]
    assert peaks == [(100, 0), None, (100, 7), None, (101, 5), None, (100, 5)]


def test_rates_are_those_of_the_last_seconds():
    growth = GrowthByMinute()
    growth.update({}, {}, 100, 0.0)
    assert growth.per_s() == {}
    for second in range(1, 20):
        growth.update({"landed:orders": 10 * second}, {}, 100, float(second))
    assert growth.per_s() == {"landed:orders": 10.0}
    for second in range(20, 26):
        growth.update({"landed:orders": 190}, {}, 100, float(second))
    assert growth.per_s() == {}


def test_unreported_minutes_are_bounded_and_no_count_is_lost():
    growth = GrowthByMinute()
    for minute in range(1000):
        growth.update({"landed:orders": minute}, {"g": {"orders": 1}}, minute, float(minute))
    told = []
    while (report := growth.take()) is not None:
        told.append(report)
    assert len(told) == 120
    assert sum(counts["landed:orders"] for _, counts, _ in told) == 999
    assert [minute for minute, _, _ in told] == list(range(880, 1000))


def test_meters_are_added_up_by_a_label():
    registry = CollectorRegistry()
    dead = Meter("airnode_dead_total", "d", ["topic", "reason"], registry=registry)
    sent = Meter("airnode_sent_total", "s", ["topic"], registry=registry)
    dead.add(2, "orders", "not_json")
    dead.add(1, "orders", "refused")
    sent.add(7, "orders")
    meters = (ReportedMeter("dead", dead), ReportedMeter("produced", sent), ReportedMeter("produced", sent))
    assert totals_of(meters) == {"dead:orders": 3, "produced:orders": 14}
    assert registry.get_sample_value("airnode_dead_total", {"topic": "orders", "reason": "not_json"}) == 2
