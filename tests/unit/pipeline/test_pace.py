"""A steady rate without drift, on a clock of the test's own."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.pipeline.produce.pace import TICK_S, Pace

ANY = 10**9


@given(rate=st.floats(0.1, 50_000), late=st.lists(st.floats(0, 0.5), min_size=1, max_size=50))
def test_however_late_each_look_is_the_count_is_that_of_the_clock(rate: float, late: list[float]):
    pace, now_s, made = Pace(rate), 1000.0, 0
    for delay_s in late:
        made += pace.take(now_s, ANY)
        assert made == int((now_s - 1000.0) * rate) + 1
        now_s += delay_s


@given(rate=st.floats(0.1, 5_000), room=st.integers(1, 50))
def test_what_there_is_no_room_for_stays_due(rate: float, room: int):
    pace = Pace(rate)
    pace.take(0.0, ANY)
    due, taken = int(0.9 * rate), []
    while count := pace.take(0.9, room):
        taken.append(count)
        assert count == room or sum(taken) == due
    assert sum(taken) == due


@given(rate=st.floats(0.1, 5_000), pause_s=st.floats(3, 10_000))
def test_after_a_pause_no_more_than_a_second_of_it_is_made_up(rate: float, pause_s: float):
    pace = Pace(rate)
    pace.take(0.0, ANY)
    assert pace.take(pause_s, ANY) <= rate + 1
    soon_s = pause_s + 1
    assert abs(pace.take(soon_s, ANY) - rate) <= 1.001


@pytest.mark.parametrize("rate", [0.5, 3, 10, 49, 50, 51, 1000, 7777.7])
def test_waking_after_wait_s_keeps_the_rate_with_few_wakeups(rate: float):
    pace, now_s, made, looks = Pace(rate), 0.0, 0, 0
    jitter = random.Random(1)
    while now_s < 60:
        made += pace.take(now_s, ANY)
        looks += 1
        now_s += pace.wait_s(now_s) + jitter.uniform(0, 0.002)
    assert abs(made - 60 * rate) <= 1 + rate * 2 * TICK_S
    assert looks <= min(60 * rate + 2, 60 / TICK_S + 1)


def test_zero_is_as_many_as_there_is_room_for():
    pace = Pace(0)
    assert [pace.take(1.0, 500), pace.take(1.0, 7)] == [500, 7]
    assert pace.wait_s(1.0) == 0


def test_a_clock_that_goes_back_stops_nothing():
    pace = Pace(10)
    pace.take(100.0, ANY)
    assert pace.take(50.0, ANY) == 1
    assert pace.take(50.5, ANY) == 5
