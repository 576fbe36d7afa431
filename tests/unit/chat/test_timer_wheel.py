"""Deadlines of many clients in one list for each tick."""

from hypothesis import given
from hypothesis import strategies as st

from airnode.chat.engineio.timer_wheel import TimerWheel


class Thing:
    def __init__(self, times: list[float]) -> None:
        self.times = times
        self.called: list[float] = []

    def due(self, now_s: float) -> float | None:
        self.called.append(now_s)
        return self.times.pop(0) if self.times else None


@given(st.lists(st.floats(0.001, 50), min_size=1, max_size=30), st.floats(0.01, 20))
def test_everything_is_called_once_and_at_most_a_tick_late(times: list[float], step_s: float):
    wheel, now_s = TimerWheel(0.1, 0.0), 0.0
    things = [Thing([]) for _ in times]
    for thing, at_s in zip(things, times, strict=True):
        wheel.add(thing, at_s)
    while now_s < 60:
        now_s += step_s
        wheel.advance(now_s)
    for thing, at_s in zip(things, times, strict=True):
        assert len(thing.called) == 1
        assert at_s < thing.called[0] < at_s + step_s + 0.1001


def test_a_deadline_in_the_past_is_due_at_the_next_tick():
    wheel, thing = TimerWheel(0.1, 100.0), Thing([3.0])
    wheel.add(thing, 5.0)
    wheel.advance(100.0)
    assert thing.called == []
    wheel.advance(100.11)
    wheel.advance(100.15)
    assert thing.called == [100.11]
    wheel.advance(100.3)
    assert thing.called == [100.11, 100.3]
