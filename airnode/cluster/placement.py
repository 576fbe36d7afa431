"""Choosing the node for a viewer or a publisher. Sans-IO."""

import random
from collections.abc import Sequence

from airnode.bus.messages import NodeRecord
from airnode.errors import NoHealthyNodes

#: Nodes whose load is within this of the least loaded one count as equals.
_NEAR = 0.02


def load(node: NodeRecord) -> float:
    """Share of its places that are taken, 0 to 1 and above."""
    return node.current_connections / node.max_connections


def place(nodes: Sequence[NodeRecord], rng: random.Random) -> NodeRecord:
    """The least loaded node that takes viewers; one of the near-best at random.

    Raises:
        NoHealthyNodes: (503) none is there, or all are draining or full.
    """
    serving = [node for node in nodes if node.status == "healthy" and node.current_connections < node.max_connections]
    if not serving:
        raise NoHealthyNodes(
            "No healthy nodes available" if not nodes else "No healthy nodes available: all are full or shutting down",
            retry_after_s=3,
        )
    least = min(load(node) for node in serving)
    return rng.choice([node for node in serving if load(node) <= least + _NEAR])
