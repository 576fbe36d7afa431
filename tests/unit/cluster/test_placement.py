import random

import pytest

from airnode.bus.messages import NodeRecord
from airnode.cluster.placement import place
from airnode.errors import NoHealthyNodes


def node(name, taken, most=100, status="healthy"):
    return NodeRecord(name, name, status, "", "http", 8888, 1935, taken, most, "0", 1.0)


def test_the_least_loaded_node_by_share_of_its_places():
    assert place([node("a", 50), node("b", 60, 200), node("c", 90)], random.Random(1)).node_id == "b"


def test_near_ties_are_broken_at_random():
    nodes = [node("a", 10), node("b", 11), node("c", 12), node("d", 20)]
    rng = random.Random(1)
    assert {place(nodes, rng).node_id for _ in range(100)} == {"a", "b", "c"}


@pytest.mark.parametrize(
    "nodes",
    [[], [node("a", 0, status="draining")], [node("a", 100)], [node("a", 0, status="overloaded")]],
)
def test_nobody_can_serve(nodes):
    with pytest.raises(NoHealthyNodes, match="No healthy nodes available"):
        place(nodes, random.Random(1))
