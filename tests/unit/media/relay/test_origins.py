"""Which node is taken for a room's origin."""

from airnode.bus.messages import RoomState
from airnode.media.room.claims import continuation
from airnode.media.room.origins import Origin, OriginTable


def state(node_id: str = "a", epoch: int = 5, **fields) -> RoomState:
    return RoomState("stream", node_id, fields.pop("phase", "live"), 0.0, epoch=epoch, media_port=8888, **fields)


class Table(OriginTable):
    def __init__(self) -> None:
        super().__init__("me", "master", 10)

    def receive(self, state: RoomState, now_s: float) -> bool:
        """Return whether the origin changed."""
        change = self.rooms.receive(state, now_s)
        return change is not None and self.is_moved(change)

    def sync(self, leased: dict[str, RoomState], now_s: float) -> list[str]:
        """Return the rooms whose origin changed."""
        return [change.key for change in self.rooms.sync(leased, now_s, now_s) if self.is_moved(change)]


def test_a_higher_epoch_takes_the_room_and_a_lower_one_never_does():
    table = Table()
    assert table.receive(state("a", 5), 0)
    assert not table.receive(state("a", 5), 1)
    assert table.receive(state("b", 6, host="b.example", scheme="https"), 1)
    assert not table.receive(state("a", 5), 2)
    assert not table.receive(state("a", 5, phase="waiting"), 2)
    assert table.origin("stream") == Origin("b", 6, "https://b.example:8888")
    assert table.receive(state("b", 6, phase="waiting"), 3)
    assert table.origin("stream") is None


def test_an_origin_without_a_host_has_the_host_of_the_master():
    table = Table()
    table.receive(state(), 0)
    assert table.origin("stream") == Origin("a", 5, "http://master:8888")


def test_this_node_is_not_an_origin_for_itself():
    table = Table()
    table.receive(state("me"), 0)
    assert table.origin("stream") is None
    assert table.receive(state("a", 6), 1)
    assert table.receive(state("me", 7), 1), "it changed, from another node to this"


def test_leases_replace_lost_reports_and_a_room_without_one_is_kept_for_a_while():
    table = Table()
    assert table.sync({"stream": state("a", 5)}, 0) == ["stream"]
    assert table.sync({"stream": state("a", 5, viewers=3)}, 5) == []
    assert table.sync({"stream": state("b", 6)}, 6) == ["stream"]
    assert table.sync({"stream": state("a", 5)}, 7) == [], "an old lease, read late"
    assert table.sync({}, 15) == []
    assert table.sync({}, 17) == ["stream"]
    assert table.state("stream") is None


def test_rooms_survive_an_outage_in_which_their_leases_expired():
    table = Table()
    table.receive(state("a", 5), 0)
    table.rooms.mark_gap()
    assert table.origin("stream") == Origin("a", 5, "http://master:8888")
    assert table.sync({}, 60) == [], "Redis is back without its memory; origins have to write their leases again"
    assert table.sync({}, 69) == []
    table.receive(state("a", 5), 69.5)
    assert table.sync({}, 71) == []
    assert table.sync({}, 80) == ["stream"], "this one did not"


def test_a_new_window_begins_after_the_highest_known_segment():
    assert continuation(None, None).first_msn == 0
    after = continuation(
        state("a", next_msn=40, target_duration_s=2, discontinuities=1),
        state("a", next_msn=41, target_duration_s=2, discontinuities=2),
    )
    assert (after.first_msn, after.target_duration_s, after.discontinuities) == (43, 2, 2)


def test_a_room_whose_media_still_arrive_is_kept_without_a_lease():
    table = Table()
    table.receive(state("a", 5), 0)
    table.rooms.keep_while = lambda room: room == "stream"
    assert table.sync({}, 100) == []
    assert table.origin("stream") is not None
    table.rooms.keep_while = lambda room: False
    assert table.sync({}, 101) == ["stream"]
