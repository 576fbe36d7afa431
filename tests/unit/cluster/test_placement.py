import random
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from airnode.bus.messages import NodeRecord
from airnode.cluster.placement import Placement
from airnode.errors import NoHealthyNodes

LEASE_S = 6.0


def node(name: str, taken: int = 0, most: int = 100, *, beat: float = 1.0, **fields) -> NodeRecord:
    fields = {"status": "healthy", **fields}
    return NodeRecord(
        name,
        name,
        host="",
        scheme="http",
        media_port=8888,
        rtmp_port=1935,
        current_connections=taken,
        max_connections=most,
        version="0",
        beat_at=beat,
        **fields,
    )


def placement_of(*nodes: NodeRecord, seed: int = 1) -> Placement:
    made = Placement(random.Random(seed), LEASE_S)
    for each in nodes:
        made.update_node(each, 0.0)
    return made


def place(placement: Placement, now_s: float = 0.0) -> str:
    """Return the node of one more viewer, with its place reserved at once."""
    node_id = placement.place(now_s).node_id
    placement.confirm(node_id, None)
    return node_id


def test_the_node_with_the_lowest_share_of_taken_places_is_chosen():
    assert place(placement_of(node("a", 50), node("b", 60, 200), node("c", 90))) == "b"


def test_nodes_that_failed_a_viewer_are_avoided_while_there_are_others():
    placement = placement_of(node("a", 10), node("b", 80), node("c", 90))
    assert placement.place(0.0, ["a"]).node_id == "b"
    assert placement.place(0.0, ["a", "b", "nobody"]).node_id == "c"
    assert placement.place(0.0, ["a", "b", "c"]).node_id == "a", "better than none"
    assert placement.place(0.0).node_id == "a", "it is left out for that viewer alone"
    assert placement.best(0.0, avoid=["a"]).node_id == "b"
    assert placement_of(node("a", 100), node("b", 100)).best(0.0, avoid=["a"]).node_id == "b"


def test_avoiding_a_node_does_not_restore_a_node_without_heartbeats():
    placement = placement_of(node("a"), node("b"))
    placement.update_node(node("b", beat=2.0), LEASE_S)
    assert {placement.place(LEASE_S + 1, ["a"]).node_id for _ in range(5)} == {"b"}
    assert {placement.place(LEASE_S + 1, ["b"]).node_id for _ in range(5)} == {"b"}


def test_bandwidth_counts_like_connections():
    """On b, half of the places are taken, but nine tenths of the bandwidth."""
    placement = placement_of(node("a", 70), node("b", 50, sent_bps=90_000_000, bandwidth_bps=100_000_000))
    assert {place(placement) for _ in range(10)} == {"a"}


def test_a_node_without_free_bandwidth_gets_no_viewers():
    placement = placement_of(node("a", 10, sent_bps=98_000_000, bandwidth_bps=100_000_000))
    with pytest.raises(NoHealthyNodes, match="full"):
        placement.place(0.0)
    assert placement.health("a", 0.0) == "overloaded"


def test_reserved_places_count_as_bandwidth_before_it_is_measured():
    placement = placement_of(node("a", 0, bandwidth_bps=30_000_000))
    for _ in range(10):
        place(placement)
    with pytest.raises(NoHealthyNodes):
        placement.place(0.0)


def test_near_ties_are_broken_at_random():
    firsts = {place(placement_of(*(node(name) for name in "abcdef"), seed=seed)) for seed in range(60)}
    assert firsts == set("abcdef")


def test_the_same_seed_gives_the_same_places():
    def run() -> list[str]:
        placement = placement_of(*(node(f"n{index}", index % 7) for index in range(50)), seed=42)
        return [place(placement) for _ in range(500)]

    assert run() == run()


@pytest.mark.parametrize(
    "nodes",
    [[], [node("a", status="draining")], [node("a", 100)], [node("a", status="overloaded")]],
)
def test_no_node_can_take_a_viewer(nodes):
    with pytest.raises(NoHealthyNodes, match="No healthy nodes available") as error:
        placement_of(*nodes).place(0.0)
    assert error.value.retry_after_s


def test_a_node_without_heartbeats_gets_no_viewers_until_the_next_heartbeat():
    placement = placement_of(node("a"), node("b", 99))
    placement.update_node(node("b", 99, beat=2.0), 5.0)
    assert place(placement, LEASE_S + 1) == "b"
    assert placement.health("a", LEASE_S + 1) == "offline"
    placement.update_node(node("a", beat=3.0), LEASE_S + 2)
    assert place(placement, LEASE_S + 2) == "a"


def test_reading_an_old_heartbeat_again_does_not_keep_a_node_alive():
    placement = placement_of(node("a"))
    placement.update_node(node("a"), LEASE_S)
    assert placement.health("a", LEASE_S + 1) == "offline"


def test_heartbeats_do_not_cancel_an_order_to_drain():
    placement = placement_of(node("a"), node("b", 90))
    placement.set_drained("a", on=True)
    placement.update_node(node("a", beat=2.0), 1.0)
    assert place(placement, 1.0) == "b"
    assert placement.health("a", 1.0) == "draining"
    placement.set_drained_nodes([])
    assert place(placement, 1.0) == "a"


def test_a_publisher_returns_to_its_origin_even_if_it_is_full():
    placement = placement_of(node("a", 100, status="overloaded"), node("b"))
    assert placement.best(0.0, prefer="a").node_id == "a"
    assert placement.best(0.0, prefer="gone").node_id == "b"
    placement.set_drained("a", on=True)
    assert placement.best(0.0, prefer="a").node_id == "b"
    assert placement_of(node("a"), node("b")).best(LEASE_S, prefer="a").node_id == "a"
    full = placement_of(node("a", 100, status="overloaded"), node("b", 100), node("c", 0, status="draining"))
    assert full.best(0.0).node_id in ("a", "b"), "a publisher takes no viewer's place"


def test_a_heartbeat_updates_the_number_of_reserved_places():
    placement = placement_of(node("a", 0, 10))
    for _ in range(10):
        place(placement)
    with pytest.raises(NoHealthyNodes):
        placement.place(0.0)
    placement.update_node(node("a", 4, 10, beat=2.0, reserved=5), 1.0)
    assert placement.promised("a") == 5
    place(placement)
    with pytest.raises(NoHealthyNodes):
        placement.place(0.0)


def test_a_place_that_others_took_is_not_offered_again():
    placement = placement_of(node("a", 9, 10))
    placement.place(0.0)
    placement.confirm("a", 1)  # refused: another master has reserved the last one
    with pytest.raises(NoHealthyNodes):
        placement.place(0.0)


@pytest.mark.parametrize("capacity", [150, 1000, 20_000])
@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_students_spread_evenly_over_ten_nodes(capacity: int, seed: int):
    placement = placement_of(*(node(f"n{index}", 0, capacity) for index in range(10)), seed=seed)
    counts = Counter(place(placement) for _ in range(1000))
    assert max(counts.values()) <= 1.1 * 100


@pytest.mark.parametrize("capacity", [150, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_two_masters_with_delayed_messages_spread_viewers_evenly(capacity: int, seed: int):
    """Each receives the other's reservations after 20 of its own, as if they were published each 20 ms."""
    nodes = [node(f"n{index}", 0, capacity) for index in range(10)]
    boards = [placement_of(*nodes, seed=100 * seed + index) for index in range(2)]
    truth: Counter[str] = Counter()
    for _ in range(25):
        for placement in boards:
            told = {}
            for _ in range(20):
                node_id = placement.place(0.0).node_id
                truth[node_id] += 1
                told[node_id] = truth[node_id]
                placement.confirm(node_id, truth[node_id])
        for placement in boards:
            placement.raise_reserved(truth)
    assert sum(truth.values()) == 1000
    assert max(truth.values()) <= 1.1 * 100


class Cluster(RuleBasedStateMachine):
    """After any events in any order, no viewer is sent to a node that cannot serve it."""

    def __init__(self) -> None:
        super().__init__()
        self.placement = Placement(random.Random(7), LEASE_S)
        self.now_s = 0.0
        self.beats = 0.0
        self.nodes: dict[str, NodeRecord] = {}
        self.heard_s: dict[str, float] = {}
        self.drained: set[str] = set()
        self.unconfirmed: list[str] = []

    @rule(
        name=st.sampled_from("abcde"),
        taken=st.integers(0, 12),
        most=st.integers(1, 10),
        status=st.sampled_from(["healthy", "healthy", "healthy", "draining", "overloaded"]),
        reserved=st.integers(0, 4),
        limit=st.sampled_from([None, None, 10_000_000]),
        sent=st.integers(0, 12_000_000),
    )
    def beat(self, name, taken, most, status, reserved, limit, sent):
        self.beats += 1
        self.nodes[name] = node(
            name, taken, most, beat=self.beats, status=status, reserved=reserved, bandwidth_bps=limit, sent_bps=sent
        )
        self.heard_s[name] = self.now_s
        self.placement.update_node(self.nodes[name], self.now_s)

    @rule(name=st.sampled_from("abcde"))
    def read_again(self, name):
        if name in self.nodes:
            self.placement.update_node(replace(self.nodes[name]), self.now_s)

    @rule(seconds=st.floats(0, 4))
    def time_passes(self, seconds):
        self.now_s += seconds

    @rule(name=st.sampled_from("abcde"), on=st.booleans())
    def order(self, name, on):
        if name in self.nodes:
            (self.drained.add if on else self.drained.discard)(name)
            self.placement.set_drained(name, on=on)

    @rule(name=st.sampled_from("abcde"))
    def remove(self, name):
        self.placement.remove(name)
        self.nodes.pop(name, None)
        self.drained.discard(name)

    @rule(counts=st.dictionaries(st.sampled_from("abcde"), st.integers(0, 12)))
    def counts_are_read(self, counts):
        self.placement.set_reserved(counts)

    @rule(counts=st.dictionaries(st.sampled_from("abcde"), st.integers(0, 12)))
    def others_place(self, counts):
        self.placement.raise_reserved(counts)

    @precondition(lambda self: self.unconfirmed)
    @rule(count=st.one_of(st.none(), st.integers(0, 12)))
    def confirm(self, count):
        self.placement.confirm(self.unconfirmed.pop(), count)

    @rule()
    def place(self):
        before = {name: self.placement.promised(name) for name in self.nodes}
        serving = [
            name for name in self.nodes if self._serves(name) and before[name] < self.placement.free_places(name)
        ]
        try:
            chosen = self.placement.place(self.now_s).node_id
        except NoHealthyNodes:
            assert not serving
            return
        assert chosen in serving
        record = self.nodes[chosen]
        assert record.current_connections + before[chosen] < record.max_connections
        if record.bandwidth_bps is not None:
            assert record.sent_bps < record.bandwidth_bps
        self.unconfirmed.append(chosen)

    def _serves(self, name: str) -> bool:
        fresh = self.now_s - self.heard_s[name] <= LEASE_S
        return fresh and self.nodes[name].status == "healthy" and name not in self.drained

    @invariant()
    def counts_are_never_negative(self):
        assert all(self.placement.promised(name) >= 0 for name in "abcde")


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_nodes_that_cannot_reach_an_origin():
    placement = placement_of(node("a", cut_from=["o", "p"]), node("b"), node("c", cut_from=["p"]))
    assert placement.cut_off_from("o") == ["a"]
    assert sorted(placement.cut_off_from("p")) == ["a", "c"]
    assert placement.cut_off_from("b") == placement.cut_off_from(None) == []
    assert {placement.place(0.0, placement.cut_off_from("p")).node_id for _ in range(20)} == {"b"}
    placement.update_node(node("a", beat=2.0), 1.0)
    assert placement.cut_off_from("o") == []
    placement.remove("c")
    assert placement.cut_off_from("p") == []
