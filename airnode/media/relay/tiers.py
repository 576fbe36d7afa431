"""Chooses the node that a room is pulled from: two tiers of edges, so that an origin serves ``relay.fanout`` edges.

No I/O and no clock (docs/adr/0009). The bandwidth of an origin limits how many edges can pull from it. So an origin
gives places to the first edges. It refuses later edges with a list of the edges that have a place, and they pull from
one of those. An edge gives places only while it pulls directly from the origin, and only to edges of the second tier.
So no route is longer than two hops: this bounds the latency and excludes loops without any coordination.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from airnode.errors import Conflict
from airnode.media.room.origins import Origin

FIRST, SECOND = 1, 2
#: A parent that failed is not chosen again for this long.
SHUN_S = 3.0


class EdgeNode(msgspec.Struct, frozen=True):
    """An edge and the address of its media port; see :class:`airnode.web.tokens.RelayClaims`."""

    node_id: str
    scheme: str
    host: str
    port: int


class NoRelayPlace(Conflict):
    """All ``relay.fanout`` places are taken, or this node is not in the first tier.

    Args:
        parents: the edges to pull from instead.
    """

    code, title = "no_relay_place", "No place for another edge"

    def __init__(self, detail: str = "", parents: Sequence[EdgeNode] = ()) -> None:
        super().__init__(detail, fields={"parents": msgspec.to_builtins(list(parents))})
        self.parents = tuple(parents)


@dataclass(frozen=True, slots=True)
class UpstreamNode:
    """The node to pull from. ``tier``: this node's tier while it pulls from that node."""

    node_id: str
    base_url: str
    tier: int


class Route:
    """The choice of the node that a room is pulled from: the origin, or an edge that the origin named.

    Args:
        node_id: of this node.

    Attributes:
        tier: of this node; 0: no node has answered yet.
    """

    def __init__(self, room: str, node_id: str, origin: Origin) -> None:
        self._room = room
        self._node_id = node_id
        self._first = UpstreamNode(origin.node_id, origin.base_url, FIRST)
        self.upstream_node = self._first
        self.tier = 0
        #: {node_id of a parent that failed: time until which it is not chosen}.
        self._shunned: dict[str, float] = {}

    @property
    def origin_id(self) -> str:
        """Return the node that publishes the room."""
        return self._first.node_id

    def worked(self, upstream_node: UpstreamNode) -> None:
        """Note an answer of the upstream node."""
        if upstream_node == self.upstream_node:
            self.tier = upstream_node.tier

    def refused(self, upstream_node: UpstreamNode, parents: Sequence[UpstreamNode], now_s: float) -> bool:
        """Return whether another node should be tried at once, after noting that the upstream node has no place."""
        if upstream_node != self.upstream_node:
            return True
        if upstream_node.tier == SECOND:
            self.failed(upstream_node, now_s)
            return False
        self.tier = 0
        self._shunned = {name: until_s for name, until_s in self._shunned.items() if until_s > now_s}
        others = [
            each
            for each in parents
            if each.tier == SECOND and each.node_id not in (self._node_id, upstream_node.node_id, *self._shunned)
        ]
        if not others:
            return False
        self.upstream_node = max(others, key=lambda each: _weight(self._room, self._node_id, each.node_id))
        return True

    def failed(self, upstream_node: UpstreamNode, now_s: float) -> None:
        """Note a missing or wrong answer: return from a parent to the origin, which knows other edges."""
        if upstream_node == self.upstream_node and upstream_node.tier == SECOND:
            self._shunned[upstream_node.node_id] = now_s + SHUN_S
            self.upstream_node, self.tier = self._first, 0


def _weight(room: str, node_id: str, parent: str) -> bytes:
    """Return the weight of a parent for this node (rendezvous hashing).

    Edges spread evenly over the parents, and keep their parent when another one is added or removed.
    """
    return blake2b(f"{room}\0{node_id}\0{parent}".encode(), digest_size=8).digest()


@dataclass(slots=True)
class _EdgePlace:
    node: EdgeNode
    open: int = 0
    seen_s: float = 0.0


class RelayPlaces:
    """The edges that pull one room from this node.

    Args:
        most: number of places.
        kept_s: a place without a request for this long is free again.
    """

    def __init__(self, most: int, kept_s: float) -> None:
        self._most = most
        self._kept_s = kept_s
        #: {node_id: its place}; never more than ``most``.
        self._children: dict[str, _EdgePlace] = {}

    def enter(self, node: EdgeNode, now_s: float) -> bool:
        """Return whether the edge has a place, after noting the start of its request."""
        child = self._children.get(node.node_id)
        if child is None:
            self._free(now_s)
            if len(self._children) >= self._most:
                return False
            child = self._children[node.node_id] = _EdgePlace(node)
        child.node, child.seen_s = node, now_s
        child.open += 1
        return True

    def leave(self, node_id: str, now_s: float) -> None:
        """Note the end of a request that had a place."""
        child = self._children.get(node_id)
        if child is not None:
            child.open -= 1
            child.seen_s = now_s

    def children(self, now_s: float) -> list[EdgeNode]:
        """Return the edges that have a place."""
        self._free(now_s)
        return [child.node for child in self._children.values()]

    def _free(self, now_s: float) -> None:
        for node_id, child in list(self._children.items()):
            if not child.open and now_s - child.seen_s > self._kept_s:
                del self._children[node_id]
