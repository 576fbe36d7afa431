"""Detects other nodes that do not answer this node. Sans-IO: the caller passes monotonic times.

A dead node answers nobody, and the cluster soon notices. A node that reports to the cluster but does not answer *this*
node is behind a broken connection: viewers should move to a node that still reaches it.
"""

from dataclasses import dataclass

#: Least number of failures: the first request may fail because its connection is old, the second opens a new one.
_FAILURES = 2
#: Failures older than this do not count, because nothing has been requested since.
_STALE_S = 20.0


@dataclass(slots=True)
class _Failing:
    since_s: float
    last_s: float
    count: int = 1


class NodeReachability:
    """The failures of requests to other nodes.

    Args:
        lost_after_s: a node that has not answered for this long is unreachable.
    """

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        #: {node_id: failures since the node's last answer}. Bounded by the nodes that rooms are pulled from.
        self._failing: dict[str, _Failing] = {}

    def answered(self, node_id: str) -> None:
        """Note an answer with any status."""
        self._failing.pop(node_id, None)

    def failed(self, node_id: str, since_s: float, now_s: float) -> None:
        """Note a failed request: no connection, a lost connection, or no data on it since ``since_s``."""
        known = self._failing.get(node_id)
        if known is None or now_s - known.last_s > _STALE_S:
            self._failing[node_id] = _Failing(since_s, now_s)
        else:
            known.last_s, known.count = now_s, known.count + 1

    def lost(self, node_id: str, now_s: float) -> bool:
        """Return whether the node is unreachable."""
        known = self._failing.get(node_id)
        if known is None or known.count < _FAILURES or now_s - known.last_s > _STALE_S:
            return False
        return now_s - known.since_s >= self._lost_after_s
