"""Who is believed to be whose origin."""

from airnode.bus.messages import RoomState
from airnode.media.room.claims import continuation
from airnode.media.room.origins import Origin, OriginTable


def state(node_id: str = "a", epoch: int = 5, **fields) -> RoomState:
    return RoomState("stream", node_id, fields.pop("phase", "live"), 0.0, epoch=epoch, media_port=8888, **fields)


def table() -> OriginTable:
    return OriginTable("me", "master", 10)


def test_a_higher_epoch_takes_the_room_and_a_lower_one_never_does():
    known = table()
    assert known.hear(state("a", 5), 0)
    assert not known.hear(state("a", 5), 1)
    assert known.hear(state("b", 6, host="b.example", scheme="https"), 1)
    assert not known.hear(state("a", 5), 2)
    assert not known.hear(state("a", 5, phase="waiting"), 2)
    assert known.origin("stream") == Origin("b", 6, "https://b.example:8888")
    assert known.hear(state("b", 6, phase="waiting"), 3)
    assert known.origin("stream") is None


def test_an_origin_without_a_host_is_where_the_master_is():
    known = table()
    known.hear(state(), 0)
    assert known.origin("stream") == Origin("a", 5, "http://master:8888")


def test_this_node_is_no_origin_to_itself():
    known = table()
    known.hear(state("me"), 0)
    assert known.origin("stream") is None
    assert known.hear(state("a", 6), 1)
    assert known.hear(state("me", 7), 1), "it changed, from another node to this"


def test_leases_fill_in_what_was_not_heard_and_a_lost_one_is_kept_a_while():
    known = table()
    assert known.sync({"stream": state("a", 5)}, 0) == ["stream"]
    assert known.sync({"stream": state("a", 5, viewers=3)}, 5) == []
    assert known.sync({"stream": state("b", 6)}, 6) == ["stream"]
    assert known.sync({"stream": state("a", 5)}, 7) == [], "an old lease, read late"
    assert known.sync({}, 15) == []
    assert known.sync({}, 17) == ["stream"]
    assert known.state("stream") is None


def test_nothing_is_forgotten_over_an_outage_that_leases_did_not_survive():
    known = table()
    known.hear(state("a", 5), 0)
    known.deafen()
    assert known.origin("stream") == Origin("a", 5, "http://master:8888")
    assert known.sync({}, 60) == [], "Redis is back without its memory; origins have to tell again"
    assert known.sync({}, 69) == []
    known.hear(state("a", 5), 69.5)
    assert known.sync({}, 71) == []
    assert known.sync({}, 80) == ["stream"], "this one did not"


def test_a_new_window_begins_behind_the_most_that_is_known():
    assert continuation(None, None).first_msn == 0
    after = continuation(
        state("a", next_msn=40, target_duration_s=2, discontinuities=1),
        state("a", next_msn=41, target_duration_s=2, discontinuities=2),
    )
    assert (after.first_msn, after.target_duration_s, after.discontinuities) == (43, 2, 2)


def test_a_room_that_still_comes_stays_without_a_lease():
    known = table()
    known.hear(state("a", 5), 0)
    assert known.sync({}, 100, comes=lambda room: room == "stream") == []
    assert known.origin("stream") is not None
    assert known.sync({}, 101) == ["stream"]
