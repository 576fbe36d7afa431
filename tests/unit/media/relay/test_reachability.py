from airnode.media.relay.reachability import NodeReachability

LOST_S = 4.0


def test_a_node_that_never_failed_is_reachable():
    reachability = NodeReachability(LOST_S)
    assert not reachability.lost("a", 0)
    reachability.answered("a")
    assert not reachability.lost("a", 1000)


def test_a_node_is_lost_after_two_failures_and_the_time():
    reachability = NodeReachability(LOST_S)
    reachability.failed("a", since_s=10, now_s=14)
    assert not reachability.lost("a", 14), "one connection broke"
    reachability.failed("a", since_s=14.1, now_s=16.1)
    assert reachability.lost("a", 16.1)
    assert not reachability.lost("b", 16.1)


def test_quick_failures_do_not_count_before_the_time():
    reachability = NodeReachability(LOST_S)
    for at_s in (10.0, 10.1, 10.3, 10.7):
        reachability.failed("a", since_s=at_s, now_s=at_s)
    assert not reachability.lost("a", 13.9)
    reachability.failed("a", since_s=14, now_s=14)
    assert reachability.lost("a", 14)


def test_any_answer_resets_the_failures():
    reachability = NodeReachability(LOST_S)
    reachability.failed("a", 10, 14)
    reachability.failed("a", 14, 16)
    reachability.answered("a")
    assert not reachability.lost("a", 16)
    reachability.failed("a", 16, 18)
    assert not reachability.lost("a", 30), "the time before the answer does not count"


def test_old_failures_are_forgotten():
    reachability = NodeReachability(LOST_S)
    reachability.failed("a", 10, 14)
    reachability.failed("a", 14, 16)
    assert not reachability.lost("a", 60)
    reachability.failed("a", 60, 62)
    assert not reachability.lost("a", 64), "it begins anew"
