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


def placement(*nodes: NodeRecord, seed: int = 1) -> Placement:
    made = Placement(random.Random(seed), LEASE_S)
    for each in nodes:
        made.heard(each, 0.0)
    return made


def place(board: Placement, now_s: float = 0.0) -> str:
    """Place one viewer, reserved at once."""
    node_id = board.place(now_s).node_id
    board.confirm(node_id, None)
    return node_id


def test_the_least_loaded_node_by_share_of_its_places():
    assert place(placement(node("a", 50), node("b", 60, 200), node("c", 90))) == "b"


def test_nodes_that_failed_a_viewer_are_left_out_while_there_are_others():
    board = placement(node("a", 10), node("b", 80), node("c", 90))
    assert board.place(0.0, ["a"]).node_id == "b"
    assert board.place(0.0, ["a", "b", "nobody"]).node_id == "c"
    assert board.place(0.0, ["a", "b", "c"]).node_id == "a", "better than none"
    assert board.place(0.0).node_id == "a", "it is left out for that viewer alone"
    assert board.best(0.0, avoid=["a"]).node_id == "b"
    assert placement(node("a", 100), node("b", 100)).best(0.0, avoid=["a"]).node_id == "b"


def test_who_avoids_a_node_does_not_bring_back_one_that_fell_silent():
    board = placement(node("a"), node("b"))
    board.heard(node("b", beat=2.0), LEASE_S)
    assert {board.place(LEASE_S + 1, ["a"]).node_id for _ in range(5)} == {"b"}
    assert {board.place(LEASE_S + 1, ["b"]).node_id for _ in range(5)} == {"b"}


def test_bandwidth_counts_like_connections():
    """b has half of its places taken, but nine tenths of its bandwidth."""
    board = placement(node("a", 70), node("b", 50, sent_bps=90_000_000, bandwidth_bps=100_000_000))
    assert {place(board) for _ in range(10)} == {"a"}


def test_a_node_whose_bandwidth_is_used_up_takes_nobody():
    board = placement(node("a", 10, sent_bps=98_000_000, bandwidth_bps=100_000_000))
    with pytest.raises(NoHealthyNodes, match="full"):
        board.place(0.0)
    assert board.health("a", 0.0) == "overloaded"


def test_promised_places_use_up_bandwidth_before_anything_is_measured():
    board = placement(node("a", 0, bandwidth_bps=30_000_000))
    for _ in range(10):
        place(board)
    with pytest.raises(NoHealthyNodes):
        board.place(0.0)


def test_near_ties_are_broken_at_random():
    firsts = {place(placement(*(node(name) for name in "abcdef"), seed=seed)) for seed in range(60)}
    assert firsts == set("abcdef")


def test_the_same_seed_gives_the_same_places():
    def run() -> list[str]:
        board = placement(*(node(f"n{index}", index % 7) for index in range(50)), seed=42)
        return [place(board) for _ in range(500)]

    assert run() == run()


@pytest.mark.parametrize(
    "nodes",
    [[], [node("a", status="draining")], [node("a", 100)], [node("a", status="overloaded")]],
)
def test_nobody_can_serve(nodes):
    with pytest.raises(NoHealthyNodes, match="No healthy nodes available") as error:
        placement(*nodes).place(0.0)
    assert error.value.retry_after_s


def test_a_node_that_is_not_heard_of_gets_nobody_until_it_is_heard_again():
    board = placement(node("a"), node("b", 99))
    board.heard(node("b", 99, beat=2.0), 5.0)
    assert place(board, LEASE_S + 1) == "b"
    assert board.health("a", LEASE_S + 1) == "offline"
    board.heard(node("a", beat=3.0), LEASE_S + 2)
    assert place(board, LEASE_S + 2) == "a"


def test_a_beat_that_is_only_read_again_keeps_no_dead_node_alive():
    board = placement(node("a"))
    board.heard(node("a"), LEASE_S)
    assert board.health("a", LEASE_S + 1) == "offline"


def test_an_order_to_drain_holds_against_heartbeats():
    board = placement(node("a"), node("b", 90))
    board.drain("a", on=True)
    board.heard(node("a", beat=2.0), 1.0)
    assert place(board, 1.0) == "b"
    assert board.health("a", 1.0) == "draining"
    board.drained([])
    assert place(board, 1.0) == "a"


def test_a_publisher_goes_back_to_its_origin_however_full():
    board = placement(node("a", 100, status="overloaded"), node("b"))
    assert board.best(0.0, prefer="a").node_id == "a"
    assert board.best(0.0, prefer="gone").node_id == "b"
    board.drain("a", on=True)
    assert board.best(0.0, prefer="a").node_id == "b"
    assert placement(node("a"), node("b")).best(LEASE_S, prefer="a").node_id == "a"
    full = placement(node("a", 100, status="overloaded"), node("b", 100), node("c", 0, status="draining"))
    assert full.best(0.0).node_id in ("a", "b"), "a publisher takes no viewer's place"


def test_a_heartbeat_says_how_many_of_the_promised_have_come():
    board = placement(node("a", 0, 10))
    for _ in range(10):
        place(board)
    with pytest.raises(NoHealthyNodes):
        board.place(0.0)
    board.heard(node("a", 4, 10, beat=2.0, reserved=5), 1.0)
    assert board.promised("a") == 5
    place(board)
    with pytest.raises(NoHealthyNodes):
        board.place(0.0)


def test_a_place_that_others_took_is_not_offered_again():
    board = placement(node("a", 9, 10))
    board.place(0.0)
    board.confirm("a", 1)  # refused: another master has reserved the last one
    with pytest.raises(NoHealthyNodes):
        board.place(0.0)


@pytest.mark.parametrize("capacity", [150, 1000, 20_000])
@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_students_spread_evenly_over_ten_nodes(capacity: int, seed: int):
    board = placement(*(node(f"n{index}", 0, capacity) for index in range(10)), seed=seed)
    counts = Counter(place(board) for _ in range(1000))
    assert max(counts.values()) <= 1.1 * 100


@pytest.mark.parametrize("capacity", [150, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_two_masters_that_hear_late_of_each_other_spread_evenly(capacity: int, seed: int):
    """Each hears of the other's places after 20 of its own, as when they tell each other each 20 ms."""
    nodes = [node(f"n{index}", 0, capacity) for index in range(10)]
    boards = [placement(*nodes, seed=100 * seed + index) for index in range(2)]
    truth: Counter[str] = Counter()
    for _ in range(25):
        for board in boards:
            told = {}
            for _ in range(20):
                node_id = board.place(0.0).node_id
                truth[node_id] += 1
                told[node_id] = truth[node_id]
                board.confirm(node_id, truth[node_id])
        for board in boards:
            board.taken(truth)
    assert sum(truth.values()) == 1000
    assert max(truth.values()) <= 1.1 * 100


class Cluster(RuleBasedStateMachine):
    """Whatever happens in whatever order, nobody is sent where they cannot be served."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Placement(random.Random(7), LEASE_S)
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
        self.board.heard(self.nodes[name], self.now_s)

    @rule(name=st.sampled_from("abcde"))
    def read_again(self, name):
        if name in self.nodes:
            self.board.heard(replace(self.nodes[name]), self.now_s)

    @rule(seconds=st.floats(0, 4))
    def time_passes(self, seconds):
        self.now_s += seconds

    @rule(name=st.sampled_from("abcde"), on=st.booleans())
    def order(self, name, on):
        if name in self.nodes:
            (self.drained.add if on else self.drained.discard)(name)
            self.board.drain(name, on=on)

    @rule(name=st.sampled_from("abcde"))
    def remove(self, name):
        self.board.remove(name)
        self.nodes.pop(name, None)
        self.drained.discard(name)

    @rule(counts=st.dictionaries(st.sampled_from("abcde"), st.integers(0, 12)))
    def counts_are_read(self, counts):
        self.board.reserved(counts)

    @rule(counts=st.dictionaries(st.sampled_from("abcde"), st.integers(0, 12)))
    def others_place(self, counts):
        self.board.taken(counts)

    @precondition(lambda self: self.unconfirmed)
    @rule(count=st.one_of(st.none(), st.integers(0, 12)))
    def confirm(self, count):
        self.board.confirm(self.unconfirmed.pop(), count)

    @rule()
    def place(self):
        before = {name: self.board.promised(name) for name in self.nodes}
        serving = [name for name in self.nodes if self._serves(name) and before[name] < self.board.free_places(name)]
        try:
            chosen = self.board.place(self.now_s).node_id
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
        assert all(self.board.promised(name) >= 0 for name in "abcde")


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_nodes_that_an_origin_does_not_get_through_to():
    board = placement(node("a", cut_from=["o", "p"]), node("b"), node("c", cut_from=["p"]))
    assert board.severed("o") == ["a"]
    assert sorted(board.severed("p")) == ["a", "c"]
    assert board.severed("b") == board.severed(None) == []
    assert {board.place(0.0, board.severed("p")).node_id for _ in range(20)} == {"b"}
    board.heard(node("a", beat=2.0), 1.0)
    assert board.severed("o") == []
    board.remove("c")
    assert board.severed("p") == []
