"""The line of cache-monitor, as it was promised."""

import json
from datetime import datetime

import pytest

from airnode.commands.cache_line import CacheState

_CLOCK = datetime(2026, 11, 22, 11, 45, 35)
_TOLD = {
    "worker": "one",
    "interval_s": "50.0",
    "batch_size": "1000",
    "refreshed_at": "984.6",
    "swaps": "1",
    "users_hits": "600",
    "products_hits": "400",
    "statements": "2",
    "users_oldest_uncached_s": "950.5",
}


def look(at: float = 1000.0, **told: str) -> CacheState:
    return CacheState(at, 2_359_296, "2.25M", 1, 1000, 1000, told)


def test_the_line_is_as_promised():
    assert look(**_TOLD).line(_CLOCK) == (
        "[11:45:35] [15/50s ######--------------] | MEM: 2.25M | OPS/s: 1 | HIT: 100.0% "
        "| CACHE: users=1000, products=1000 | SWAPS: 1"
    )


def test_status_without_writers_and_readers():
    assert look().line(_CLOCK) == (
        "[11:45:35] [-/-s --------------------] | MEM: 2.25M | OPS/s: 1 | HIT: - "
        "| CACHE: users=1000, products=1000 | SWAPS: 0"
    )


@pytest.mark.parametrize(
    ("at", "interval", "shown"),
    [
        (984.6, "50", "[0/50s --------------------]"),
        (1034.5, "50", "[49/50s ###################-]"),
        (1100.0, "50", "[115/50s ####################]"),
        (900.0, "50", "[0/50s --------------------]"),
        (984.86, "0.5", "[0/0.5s ##########----------]"),
        (1000.0, "nan", "[-/-s --------------------]"),
        (1000.0, "soon", "[-/-s --------------------]"),
        (1000.0, "0", "[15/0s ####################]"),
    ],
)
def test_the_bar_follows_the_worker(at: float, interval: str, shown: str):
    assert shown in look(at, **{**_TOLD, "interval_s": interval}).line(_CLOCK)


@pytest.mark.parametrize(
    ("hits", "misses", "shown"),
    [("1", "0", "100.0%"), ("0", "3", "0.0%"), ("9999", "1", "99.9%"), ("1", "2", "33.3%"), ("0", "0", "-")],
)
def test_hits_are_the_readers_and_100_is_all(hits: str, misses: str, shown: str):
    assert f"| HIT: {shown} |" in look(users_hits=hits, products_misses=misses).line(_CLOCK)


def test_the_document_has_all_fields():
    document = json.loads(json.dumps(look(1100, **_TOLD).document()))
    assert document["late"] is True
    assert document["position_s"] == 115.4
    assert (document["hits"], document["misses"], document["hit_ratio"]) == (1000, 0, 1.0)
    assert document["oldest_uncached_s"] == {"users": 950.5, "products": None}
    assert document["statements_per_refresh"] == 2
    assert look().document()["late"] is False
