"""Which of the other nodes answer this one. Sans-IO: times are the caller's, monotonic.

A node that is dead answers nobody, and the cluster soon misses it. A node that reports to the cluster and yet does not
answer *here* is behind a broken way: viewers are better off on a node that still reaches it.
"""

from dataclasses import dataclass

#: One request may be lost with its connection; a second one tried a new connection.
_FAILURES = 2
#: Failures older than this say nothing any more: nobody has tried since.
_STALE_S = 20.0


@dataclass(slots=True)
class _Failing:
    since_s: float
    last_s: float
    count: int = 1


class NodeReachability:
    """What is known of the ways to other nodes.

    Args:
        lost_after_s: a node that gave no answer for this long is out of reach.
    """

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        #: {node_id: since when it does not answer}. Bounded by the nodes that rooms are pulled from.
        self._failing: dict[str, _Failing] = {}

    def answered(self, node_id: str) -> None:
        """It said something, whatever it was."""
        self._failing.pop(node_id, None)

    def failed(self, node_id: str, since_s: float, now_s: float) -> None:
        """It gave no answer since ``since_s``: connection lost, none made, or silence on it."""
        known = self._failing.get(node_id)
        if known is None or now_s - known.last_s > _STALE_S:
            self._failing[node_id] = _Failing(since_s, now_s)
        else:
            known.last_s, known.count = now_s, known.count + 1

    def lost(self, node_id: str, now_s: float) -> bool:
        """Whether it is out of reach."""
        known = self._failing.get(node_id)
        if known is None or known.count < _FAILURES or now_s - known.last_s > _STALE_S:
            return False
        return now_s - known.since_s >= self._lost_after_s
