"""What a process reports: only what grew, in the minute it grew in, and never without a bound."""

from prometheus_client import CollectorRegistry, Counter

from airnode.pipeline.admin.stats_reporter import Meter, Source, counted


def test_only_what_grew_is_told_and_the_minute_it_grew_in():
    meter = Meter()
    meter.look({"landed:orders": 0}, {}, 100, 0.0)
    meter.look({"landed:orders": 5, "landed:users": 2}, {}, 100, 1.0)
    meter.look({"landed:orders": 5, "landed:users": 3}, {}, 101, 2.0)
    assert meter.take() == (100, {"landed:orders": 5, "landed:users": 2}, {})
    assert meter.take() == (101, {"landed:users": 1}, {})
    assert meter.take() is None
    meter.look({"landed:orders": 5, "landed:users": 3}, {}, 102, 3.0)
    assert meter.take() is None


def test_of_a_minute_the_highest_lag_is_told():
    meter = Meter()
    for records in (3, 40, 0):
        meter.look({}, {"g": {"orders": records}}, 100, 0.0)
    meter.look({}, {"g": {"orders": 0}}, 101, 1.0)
    assert meter.take() == (100, {}, {"peak:g:orders": 40})
    assert meter.take() == (101, {}, {"peak:g:orders": 0})


def test_rates_are_those_of_the_last_seconds():
    meter = Meter()
    meter.look({}, {}, 100, 0.0)
    assert meter.per_s() == {}
    for second in range(1, 20):
        meter.look({"landed:orders": 10 * second}, {}, 100, float(second))
    assert meter.per_s() == {"landed:orders": 10.0}
    for second in range(20, 26):
        meter.look({"landed:orders": 190}, {}, 100, float(second))
    assert meter.per_s() == {}


def test_what_cannot_be_told_for_hours_is_bounded_and_none_of_it_is_lost():
    meter = Meter()
    for minute in range(1000):
        meter.look({"landed:orders": minute}, {"g": {"orders": 1}}, minute, float(minute))
    told = []
    while (report := meter.take()) is not None:
        told.append(report)
    assert len(told) == 120
    assert sum(counts["landed:orders"] for _, counts, _ in told) == 999
    assert [minute for minute, _, _ in told] == list(range(880, 1000))


def test_counters_are_added_up_by_a_label():
    registry = CollectorRegistry()
    dead = Counter("airnode_dead_total", "d", ["topic", "reason"], registry=registry)
    sent = Counter("airnode_sent_total", "s", ["topic"], registry=registry)
    dead.labels("orders", "not_json").inc(2)
    dead.labels("orders", "refused").inc()
    sent.labels("orders").inc(7)
    sources = (Source("dead", dead, "topic"), Source("produced", sent, "topic"), Source("produced", sent, "topic"))
    assert counted(sources) == {"dead:orders": 3, "produced:orders": 14}
