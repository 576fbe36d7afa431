import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.web.rate_limit import RateLimit, network_of


def test_a_burst_passes_and_then_the_rate_limits():
    limit = RateLimit(rate_per_s=2.0, burst=3)
    assert [limit.take("a", 0.0) for _ in range(3)] == [0, 0, 0]
    assert limit.take("a", 0.0) == 0.5
    assert limit.take("b", 0.0) == 0
    assert limit.take("a", 0.5) == 0
    assert limit.take("a", 0.5) == 0.5


def test_reading_the_wait_takes_nothing():
    limit = RateLimit(rate_per_s=1.0, burst=1)
    assert [limit.wait_s("a", 0.0) for _ in range(5)] == [0.0] * 5


@given(st.lists(st.floats(0, 10), max_size=200))
def test_never_more_than_burst_plus_rate(steps_s):
    limit, now_s, taken = RateLimit(rate_per_s=5.0, burst=7), 0.0, 0
    for step_s in steps_s:
        now_s += step_s
        taken += limit.take("a", now_s) == 0
    assert taken <= 7 + 5.0 * now_s + 1e-6


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2::5", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_one_client_is_one_network(address, network):
    assert network_of(address) == network
