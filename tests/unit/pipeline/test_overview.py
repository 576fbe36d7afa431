"""The status, put together from what the stores say."""

from airnode.pipeline.admin.overview import DatabaseTotals, ReportedStats, assemble, last_minutes
from airnode.pipeline.admin.stats_reporter import PipelineProcess
from airnode.pipeline.admin.status import CourseView

NOW_S = 1_000_000 * 60 + 15.5


def member(role: str = "consumer", **values) -> PipelineProcess:
    common = {"node_name": "a", "per_s": {}, "lag": {}, "troubles": []}
    return PipelineProcess(role=role, **{**common, **values})


def test_nothing_at_all_is_a_status_too():
    status = assemble(ReportedStats(), DatabaseTotals(), ["redis", "postgres"], NOW_S, 50.0)
    assert status.missing == ["redis", "postgres"]
    assert not status.running
    assert [(each.topic, each.produced, each.lag) for each in status.topics] == [
        ("users", 0, None),
        ("products", 0, None),
        ("orders", 0, None),
    ]
    assert status.cache.refreshed_at is None
    assert status.cache.interval_s == 50
    assert {
        len(values)
        for values in (
            status.series.minutes,
            status.series.produced,
            status.series.lag,
            status.series.hit_ratio,
            status.series.orders,
        )
    } == {60}
    assert status.series.lag == [None] * 60


def test_processes_add_up_and_of_one_group_the_most_lag_counts():
    members = [
        member(per_s={"landed:orders": 4.0}, lag={"g": {"orders": 7}}),
        member(per_s={"landed:orders": 1.5}, lag={"g": {"orders": 5}, "h": {"orders": 9}}, troubles=["slow"]),
        member("producer", per_s={"produced:orders": 6.0}, node_name="b"),
    ]
    totals = {"landed:orders": 10, "produced:orders": 12, "dead:strange": 1}
    status = assemble(ReportedStats(members, totals), DatabaseTotals(), [], NOW_S, 50.0)
    orders = next(each for each in status.topics if each.topic == "orders")
    assert (orders.produced, orders.produced_per_s, orders.landed, orders.landed_per_s) == (12, 6.0, 10, 5.5)
    assert orders.lag == 9
    assert [(each.group, each.topic, each.records) for each in status.groups] == [
        ("g", "orders", 7),
        ("h", "orders", 9),
    ]
    assert [(each.role, each.node_name) for each in status.members] == [
        ("consumer", "a"),
        ("consumer", "a"),
        ("producer", "b"),
    ]
    assert [each.topic for each in status.topics] == ["users", "products", "orders", "strange"]
    assert status.running


def test_the_last_hour_by_minute():
    minutes = last_minutes(NOW_S)
    assert minutes[-1] == 1_000_000
    counted = [{} for _ in minutes]
    counted[58] = {"produced:orders": 3, "produced:users": 2, "landed:orders": 4, "peak:g:orders": 8, "peak:g:users": 1}
    counted[59] = {"reads:hit": 3, "reads:miss": 1}
    landed = DatabaseTotals({minutes[59]: (5, 500), minutes[0]: (1, 100)}, [CourseView(1, "", 6, 600)])
    status = assemble(ReportedStats((), {}, counted), landed, [], NOW_S, 50.0)
    assert status.series.elapsed_s == 15.5
    assert status.series.produced[57:] == [0, 5, 0]
    assert status.series.landed[57:] == [0, 4, 0]
    assert status.series.lag[57:] == [None, 9, None]
    assert status.series.hit_ratio[57:] == [None, None, 0.75]
    assert (status.series.orders[0], status.series.orders[59]) == (1, 5)
    assert (status.orders.last_hour, status.orders.revenue_last_hour_krw) == (6, 600)
    assert status.cache.hit_ratio == 0.75


def test_the_cache_part_of_the_status():
    stats = {
        "users_hits": "8",
        "products_hits": "4",
        "users_misses": "1",
        "swaps": "3",
        "refreshed_at": "59999990.5",
        "interval_s": "20.0",
        "users_oldest_uncached_s": "40.5",
        "products_oldest_uncached_s": "70.25",
        "worker": "a",
        "strange": "x",
    }
    cache = assemble(
        ReportedStats(stats=stats, cached={"users": 1000, "products": 300}), DatabaseTotals(), [], NOW_S, 50.0
    ).cache
    assert (cache.users, cache.products, cache.swaps, cache.hits, cache.misses) == (1000, 300, 3, 12, 1)
    assert (cache.refreshed_at, cache.interval_s, cache.oldest_uncached_age_s, cache.worker) == (
        59999990.5,
        20,
        70.25,
        "a",
    )
    odd = assemble(ReportedStats(stats={"swaps": "many"}), DatabaseTotals(), [], NOW_S, 50.0).cache
    assert odd.swaps == 0
