"""A view of leased records: which report counts, what a lost lease means, what an outage means."""

import msgspec

from airnode.bus.leased_records import LeasedRecords, RecordChange, RecordRules


class Desk(msgspec.Struct, frozen=True):
    name: str
    epoch: int = 1
    open: bool = True
    note: str = ""


def view(**rules) -> LeasedRecords[Desk]:
    return LeasedRecords(
        RecordRules(
            key=lambda desk: desk.name, order=lambda desk: desk.epoch, has_ended=lambda desk: not desk.open, **rules
        )
    )


def test_a_report_replaces_one_of_the_same_or_a_lower_order():
    desks = view()
    assert desks.receive(Desk("a", 5), 0) == RecordChange("a", None, Desk("a", 5))
    assert desks.receive(Desk("a", 5, note="new"), 1) == RecordChange("a", Desk("a", 5), Desk("a", 5, note="new"))
    assert desks.receive(Desk("a", 4), 2) is None
    assert desks.receive(Desk("a", 4, open=False), 2) is None
    assert (desks.get("a"), desks.received_s("a")) == (Desk("a", 5, note="new"), 1)


def test_a_record_that_has_ended_is_dropped_at_once():
    desks = view()
    assert desks.receive(Desk("a", open=False), 0) is None
    desks.receive(Desk("a"), 0)
    assert desks.receive(Desk("a", open=False), 1) == RecordChange("a", Desk("a"), None)
    assert desks.get("a") is None
    assert desks.received_s("a") == float("-inf")


def test_records_come_in_the_order_of_their_keys():
    desks = view()
    for name in "cab":
        desks.receive(Desk(name), 0)
    assert [desk.name for desk in desks] == ["a", "b", "c"]


def test_leases_fill_in_what_was_not_received():
    desks = view()
    assert desks.sync({"a": Desk("a", 5)}, 0, 0) == [RecordChange("a", None, Desk("a", 5))]
    assert desks.sync({"a": Desk("a", 5, note="x")}, 1, 1) == [], "the report is as new as the lease"
    assert desks.sync({"a": Desk("a", 4)}, 2, 2) == [], "an old lease, read late"
    assert desks.sync({"a": Desk("a", 6)}, 3, 3) == [RecordChange("a", Desk("a", 5), Desk("a", 6))]


def test_a_lease_may_count_as_a_report():
    desks = view(lease_is_report=True)
    desks.receive(Desk("a"), 0)
    assert desks.sync({"a": Desk("a")}, 1, 2) == [RecordChange("a", Desk("a"), Desk("a"))]
    assert desks.received_s("a") == 2


def test_a_record_without_a_lease_is_dropped_unless_it_was_received_lately():
    desks = view(keep_s=10)
    desks.receive(Desk("a"), 0)
    assert desks.sync({}, 9, 9) == []
    assert desks.sync({}, 11, 11) == [RecordChange("a", Desk("a"), None)]


def test_what_is_received_while_the_leases_are_read_is_newer_than_they_are():
    desks = view()
    desks.receive(Desk("a"), 5.5)
    assert desks.sync({}, 5, 6) == []
    assert desks.sync({}, 7, 8) == [RecordChange("a", Desk("a"), None)]


def test_nothing_is_dropped_until_redis_has_been_there_for_a_while():
    desks = view(settle_s=10)
    desks.receive(Desk("a"), 0)
    desks.mark_gap()
    assert desks.complete_since_s == float("inf")
    assert desks.sync({}, 60, 60) == []
    assert desks.complete_since_s == 60
    assert desks.sync({}, 69, 69) == []
    assert desks.sync({}, 70, 70) == [RecordChange("a", Desk("a"), None)]


def test_a_record_that_is_still_wanted_is_kept_without_a_lease():
    desks = view()
    desks.receive(Desk("a"), 0)
    desks.keep_while = lambda key: key == "a"
    assert desks.sync({}, 100, 100) == []
    desks.keep_while = lambda key: False
    assert desks.sync({}, 101, 101) == [RecordChange("a", Desk("a"), None)]
