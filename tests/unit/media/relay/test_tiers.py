"""Who pulls from whom: at most so many from one node, never more than two hops, and nobody left behind."""

import random
from collections import Counter

import pytest

from airnode.media.relay.tiers import FIRST, SECOND, SHUN_S, EdgeNode, NoRelayPlace, RelayPlaces, Route, UpstreamNode
from airnode.media.room.origins import Origin

ORIGIN = Origin("origin", 7, "http://origin:8888")


def edge(name: str) -> EdgeNode:
    return EdgeNode(name, "http", f"{name}.example", 8888)


def upstream_node(name: str) -> UpstreamNode:
    return UpstreamNode(name, f"http://{name}.example:8888", SECOND)


def route(name: str = "me", room: str = "stream") -> Route:
    return Route(room, name, ORIGIN)


def test_places_are_limited():
    places = RelayPlaces(2, 2.0)
    assert places.enter(edge("a"), 0)
    assert places.enter(edge("b"), 0)
    assert places.enter(edge("a"), 0), "more requests of one edge take no more places"
    assert not places.enter(edge("c"), 0)
    assert [each.node_id for each in places.children(0)] == ["a", "b"]


def test_an_open_request_keeps_a_place_and_an_idle_place_is_freed():
    places = RelayPlaces(1, 2.0)
    places.enter(edge("a"), 0)
    assert not places.enter(edge("b"), 100)
    places.leave("a", 100)
    assert not places.enter(edge("b"), 101.9)
    assert places.enter(edge("b"), 102.1)
    places.leave("a", 103)
    assert [each.node_id for each in places.children(103)] == ["b"]


def test_a_route_begins_at_the_origin_and_has_no_tier_before_an_answer():
    current = route()
    assert current.upstream_node == UpstreamNode("origin", "http://origin:8888", FIRST)
    assert current.tier == 0
    current.worked(current.upstream_node)
    assert current.tier == FIRST
    current.failed(current.upstream_node, 0)
    assert current.tier == FIRST, "an origin that does not answer for a moment takes no place away"


def test_an_edge_is_the_upstream_node_when_the_origin_is_full():
    current = route()
    first = current.upstream_node
    assert current.refused(first, [upstream_node("a")], 0)
    assert (current.upstream_node, current.tier) == (upstream_node("a"), 0)
    assert current.refused(first, [upstream_node("b")], 0), "a refusal by a former upstream node changes nothing"
    assert current.upstream_node == upstream_node("a")
    current.worked(current.upstream_node)
    assert current.tier == SECOND


def test_a_failed_parent_is_replaced_by_the_origin_and_avoided_for_a_while():
    current = route()
    first = current.upstream_node
    current.refused(first, [upstream_node("a")], 0)
    current.failed(upstream_node("a"), 10)
    assert (current.upstream_node, current.tier) == (first, 0)
    assert not current.refused(first, [upstream_node("a")], 11), "nobody else: pause, and ask the origin again"
    assert current.upstream_node == first
    assert current.refused(first, [upstream_node("a"), upstream_node("b")], 11)
    assert current.upstream_node == upstream_node("b")
    assert not current.refused(upstream_node("b"), [], 12), "it is full"
    assert current.refused(first, [upstream_node("a")], 10 + SHUN_S + 0.1)
    assert current.upstream_node == upstream_node("a")


def test_a_late_failure_of_another_node_changes_nothing():
    current = route()
    current.refused(current.upstream_node, [upstream_node("a")], 0)
    current.failed(upstream_node("z"), 1)
    assert current.upstream_node == upstream_node("a")


@pytest.mark.parametrize(
    "parents", [[], [upstream_node("me")], [upstream_node("origin")], [UpstreamNode("a", "http://a:1", FIRST)]]
)
def test_no_edge_pulls_from_itself_or_from_its_own_tier(parents: list[UpstreamNode]):
    current = route()
    first = current.upstream_node
    assert not current.refused(first, parents, 0)
    assert current.upstream_node == first


def test_edges_spread_evenly_over_parents_and_keep_theirs_when_another_leaves():
    parents = [upstream_node(f"first-{index}") for index in range(20)]
    chosen = {}
    for index in range(2000):
        current = route(f"edge-{index}")
        current.refused(current.upstream_node, parents, 0)
        chosen[index] = current.upstream_node
    counts = Counter(each.node_id for each in chosen.values())
    assert len(counts) == 20
    assert max(counts.values()) < 1.4 * 100
    for index, before in chosen.items():
        current = route(f"edge-{index}")
        current.refused(current.upstream_node, parents[1:], 0)
        assert current.upstream_node == before or before == parents[0]


def test_a_refusal_lists_the_edges_to_pull_from():
    refusal = NoRelayPlace("full", [edge("a")])
    assert refusal.status == 409
    assert refusal.fields == {"parents": [{"node_id": "a", "scheme": "http", "host": "a.example", "port": 8888}]}
    assert refusal.parents == (edge("a"),)


@pytest.mark.parametrize("seed", range(5))
def test_many_edges_settle_in_two_tiers_while_edges_join_fail_and_leave(seed: int):
    """A model of the whole: nodes that answer as relayapi does, requests in random order, nodes that die."""
    chance, fanout, kept_s = random.Random(seed), 4, 2.0
    names = [f"edge-{index}" for index in range(fanout + fanout * fanout // 2)]
    routes = {name: route(name) for name in names}
    at = {name: RelayPlaces(fanout, kept_s) for name in ("origin", *names)}
    alive, now_s = set(names), 0.0

    def ask(name: str) -> None:
        current = routes[name]
        target = current.upstream_node
        if target.node_id != "origin" and target.node_id not in alive:
            current.failed(target, now_s)
            return
        stands = target.node_id == "origin" or routes[target.node_id].tier == FIRST
        if stands and at[target.node_id].enter(edge(name), now_s):
            at[target.node_id].leave(name, now_s)
            current.worked(target)
            return
        parents = [upstream_node(each.node_id) for each in at["origin"].children(now_s)] if target.tier == FIRST else []
        if current.refused(target, parents, now_s):
            ask(name)

    for step in range(120):
        now_s += 0.5
        for name in chance.sample(sorted(alive), len(alive)):
            ask(name)
            assert len(at["origin"].children(now_s)) <= fanout
        if step in (30, 60):
            alive.discard(chance.choice([name for name in sorted(alive) if routes[name].tier == FIRST]))
    tiers = Counter(routes[name].tier for name in alive)
    assert fanout - 2 <= tiers[FIRST] <= fanout, "the place of one that died stays free until somebody asks"
    assert tiers[FIRST] + tiers[SECOND] == len(alive)
    for name in alive:
        if routes[name].tier == SECOND:
            assert routes[routes[name].upstream_node.node_id].tier == FIRST
            assert routes[name].upstream_node.node_id in alive
