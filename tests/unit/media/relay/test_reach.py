from airnode.media.relay.reach import Reach

LOST_S = 4.0


def test_a_node_that_never_failed_is_in_reach():
    reach = Reach(LOST_S)
    assert not reach.lost("a", 0)
    reach.answered("a")
    assert not reach.lost("a", 1000)


def test_it_is_lost_after_two_failures_and_the_time():
    reach = Reach(LOST_S)
    reach.failed("a", since_s=10, now_s=14)
    assert not reach.lost("a", 14), "one connection broke"
    reach.failed("a", since_s=14.1, now_s=16.1)
    assert reach.lost("a", 16.1)
    assert not reach.lost("b", 16.1)


def test_quick_failures_wait_for_the_time():
    reach = Reach(LOST_S)
    for at_s in (10.0, 10.1, 10.3, 10.7):
        reach.failed("a", since_s=at_s, now_s=at_s)
    assert not reach.lost("a", 13.9)
    reach.failed("a", since_s=14, now_s=14)
    assert reach.lost("a", 14)


def test_any_answer_ends_it():
    reach = Reach(LOST_S)
    reach.failed("a", 10, 14)
    reach.failed("a", 14, 16)
    reach.answered("a")
    assert not reach.lost("a", 16)
    reach.failed("a", 16, 18)
    assert not reach.lost("a", 30), "the time before the answer does not count"


def test_what_nobody_tried_lately_is_forgotten():
    reach = Reach(LOST_S)
    reach.failed("a", 10, 14)
    reach.failed("a", 14, 16)
    assert not reach.lost("a", 60)
    reach.failed("a", 60, 62)
    assert not reach.lost("a", 64), "it begins anew"
