"""Choosing the node for a viewer or a publisher. Sans-IO: time comes in, nothing goes out.

Nodes that can take one more viewer are sorted into buckets by load; the lowest bucket that is not empty has the least
loaded ones. Two nodes of it are drawn at random, and the less loaded one is chosen. So two masters do not always choose
the same node, and the load is even: the fullest of n nodes is about log log n viewers above the mean. Finding the
bucket is one bit operation, and moving a node between buckets is a swap, so a placement costs the same with 10 nodes
and with 10,000.
"""

import math
import random
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from airnode.bus.messages import NodeRecord
from airnode.errors import NoHealthyNodes

NodeHealth = Literal["healthy", "draining", "overloaded", "offline"]

#: Number of buckets: nodes with loads in one bucket count as equally loaded.
_BUCKETS = 128
#: The assumed bandwidth of a viewer before any was measured, and the lowest assumption.
_VIEWER_BPS = 3_000_000
_LEAST_VIEWER_BPS = 250_000
_RETRY_S = 3.0


class _Slot:
    """One node as the placement sees it.

    Attributes:
        reserved: places reserved by any master, from the last count. pending: held by this master, not yet confirmed.
        bucket, position: its place in the buckets; bucket -1: it takes no viewers.
    """

    __slots__ = ("bucket", "drained", "pending", "position", "record", "reserved", "updated_s")

    def __init__(self, record: NodeRecord) -> None:
        self.record = record
        self.updated_s = -math.inf
        self.reserved = 0
        self.pending = 0
        self.drained = False
        self.bucket = -1
        self.position = 0

    @property
    def promised(self) -> int:
        """Return the number of places for viewers who have not connected yet."""
        return self.reserved + self.pending

    def viewer_bps(self) -> float:
        """Return the bandwidth that one more viewer is expected to need."""
        if self.record.current_connections == 0:
            return _VIEWER_BPS
        return max(self.record.sent_bps / self.record.current_connections, _LEAST_VIEWER_BPS)

    def places(self) -> int:
        """Return how many more viewers fit, by connections and by bandwidth."""
        free = self.record.max_connections - self.record.current_connections
        if (limit := self.record.bandwidth_bps) is not None:
            free = min(free, int((limit - self.record.sent_bps) / self.viewer_bps()))
        return max(free, 0)

    def load(self) -> float:
        """Return the share that is taken, of connections or bandwidth, whichever is higher; promised places count."""
        share = (self.record.current_connections + self.promised) / self.record.max_connections
        if (limit := self.record.bandwidth_bps) is not None:
            share = max(share, (self.record.sent_bps + self.promised * self.viewer_bps()) / limit)
        return share

    def serves(self) -> bool:
        """Return whether the node may get viewers and publishers at all."""
        return self.record.status != "draining" and not self.drained

    def open(self) -> bool:
        """Return whether the node can take one more viewer."""
        return self.serves() and self.record.status == "healthy" and self.promised < self.places()


class Placement:
    """Chooses the node for the next viewer or publisher, from the heartbeats of all nodes.

    Args:
        lease_s: a node counts for this long after its heartbeat.
    """

    def __init__(self, rng: random.Random, lease_s: float) -> None:
        self._rng = rng
        self._lease_s = lease_s
        #: {node_id: its slot}.
        self._slots: dict[str, _Slot] = {}
        #: {node_id: its slot}, of nodes that cannot reach some origin.
        self._cut_off: dict[str, _Slot] = {}
        #: Open slots by load; each list in no order.
        self._buckets: list[list[_Slot]] = [[] for _ in range(_BUCKETS)]
        #: Bit n: bucket n is not empty.
        self._filled = 0

    # -- input --------------------------------------------------------------------------------------------------------

    def update_node(self, record: NodeRecord, now_s: float) -> None:
        """Apply a node's heartbeat, which also has its reserved places. A repeated heartbeat changes nothing."""
        slot = self._slots.get(record.node_id)
        if slot is None:
            slot = self._slots[record.node_id] = _Slot(record)
        elif slot.record.beat_at == record.beat_at:
            return
        slot.record, slot.updated_s, slot.reserved = record, now_s, record.reserved
        if record.cut_from:
            self._cut_off[record.node_id] = slot
        else:
            self._cut_off.pop(record.node_id, None)
        self._file_by_load(slot)

    def set_drained_nodes(self, node_ids: Iterable[str]) -> None:
        """Apply the orders of administrators: exactly these nodes get no new viewers."""
        wanted = set(node_ids)
        for node_id, slot in self._slots.items():
            if slot.drained != (node_id in wanted):
                slot.drained = not slot.drained
                self._file_by_load(slot)

    def set_drained(self, node_id: str, *, on: bool) -> None:
        """Apply an administrator's order for one node."""
        if (slot := self._slots.get(node_id)) is not None:
            slot.drained = on
            self._file_by_load(slot)

    def remove(self, node_id: str) -> None:
        self._cut_off.pop(node_id, None)
        if (slot := self._slots.pop(node_id, None)) is not None:
            self._take_out(slot)

    def set_reserved(self, counts: Mapping[str, int]) -> None:
        """Set the reserved places of all nodes; a node that is not in ``counts`` has none."""
        for node_id, slot in self._slots.items():
            if slot.reserved != (count := counts.get(node_id, 0)):
                slot.reserved = count
                self._file_by_load(slot)

    def raise_reserved(self, counts: Mapping[str, int]) -> None:
        """Apply reserved places that other masters counted; a count that is lower than the known one is outdated."""
        for node_id, count in counts.items():
            slot = self._slots.get(node_id)
            if slot is not None and count > slot.reserved:
                slot.reserved = count
                self._file_by_load(slot)

    # -- choosing -----------------------------------------------------------------------------------------------------

    def place(self, now_s: float, avoid: Collection[str] = ()) -> NodeRecord:
        """Return a node for one more viewer, and hold a place there until :meth:`confirm`.

        Args:
            avoid: ids of nodes that just failed this viewer; they are taken only if there is no other.

        Raises:
            NoHealthyNodes: (503) there is no node, or all are full or shutting down.
        """
        slot = self._best_but(now_s, avoid)
        slot.pending += 1
        self._file_by_load(slot)
        return slot.record

    def confirm(self, node_id: str, count: int | None) -> None:
        """End the hold of :meth:`place`: its reservation was granted or refused.

        Args:
            count: places reserved on the node now; None: not known, so one more than before.
        """
        slot = self._slots.get(node_id)
        if slot is None:
            return
        slot.pending = max(slot.pending - 1, 0)
        slot.reserved = max(slot.reserved, slot.reserved + 1 if count is None else count)
        self._file_by_load(slot)

    def best(self, now_s: float, prefer: str | None = None, avoid: Collection[str] = ()) -> NodeRecord:
        """Return a node for a publisher: the preferred one while it reports, else the least loaded, even a full one.

        Raises:
            NoHealthyNodes: (503) there is no node, or all are shutting down.
        """
        slot = self._slots.get(prefer) if prefer is not None else None
        if slot is not None and slot.serves() and self._is_fresh(slot, now_s):
            return slot.record
        try:
            return self._best_but(now_s, avoid).record
        except NoHealthyNodes:
            serving = [each for each in self._slots.values() if each.serves() and self._is_fresh(each, now_s)]
            if not serving:
                raise
            return min(serving, key=lambda slot: (slot.record.node_id in avoid, slot.load())).record

    def cut_off_from(self, origin: str | None) -> list[str]:
        """Return the nodes that cannot reach this origin: they must not get viewers of its rooms."""
        return [node_id for node_id, slot in self._cut_off.items() if origin in slot.record.cut_from]

    def free_places(self, node_id: str) -> int:
        """Return how many reservations a node can have at most."""
        slot = self._slots.get(node_id)
        return slot.places() if slot is not None else 0

    def promised(self, node_id: str) -> int:
        """Return how many places of a node wait for viewers who have not connected yet."""
        slot = self._slots.get(node_id)
        return slot.promised if slot is not None else 0

    def fresh(self, now_s: float) -> dict[str, NodeRecord]:
        """Return the nodes whose heartbeat is not older than the lease."""
        return {node_id: slot.record for node_id, slot in self._slots.items() if self._is_fresh(slot, now_s)}

    def health(self, node_id: str, now_s: float) -> NodeHealth:
        """Return whether a node is healthy, draining, overloaded or offline."""
        slot = self._slots.get(node_id)
        if slot is None or not self._is_fresh(slot, now_s):
            return "offline"
        if not slot.serves():
            return "draining"
        return "overloaded" if slot.record.status == "overloaded" or not slot.places() else "healthy"

    # -- buckets ------------------------------------------------------------------------------------------------------

    def _is_fresh(self, slot: _Slot, now_s: float) -> bool:
        return now_s - slot.updated_s <= self._lease_s

    def _best_but(self, now_s: float, avoid: Collection[str]) -> _Slot:
        """Return the best node that is not in ``avoid``, or the best of all if no other has a place."""
        avoided = [slot for node_id in avoid if (slot := self._slots.get(node_id)) is not None and slot.bucket >= 0]
        for slot in avoided:
            self._take_out(slot)
        try:
            return self._best(now_s)
        except NoHealthyNodes:
            if not avoided:
                raise
        finally:
            for slot in avoided:
                self._file_by_load(slot)
        return self._best(now_s)

    def _best(self, now_s: float) -> _Slot:
        while self._filled:
            bucket = self._buckets[(self._filled & -self._filled).bit_length() - 1]
            first, second = self._draw(bucket), self._draw(bucket)
            for slot in (first, second):
                if not self._is_fresh(slot, now_s):
                    self._take_out(slot)  # until its next heartbeat
            if first.bucket < 0 or second.bucket < 0:
                continue
            return first if first.load() <= second.load() else second
        raise NoHealthyNodes(
            "No healthy nodes available: all are full or shutting down"
            if any(self._is_fresh(slot, now_s) for slot in self._slots.values())
            else "No healthy nodes available",
            retry_after_s=_RETRY_S,
        )

    def _draw(self, bucket: list[_Slot]) -> _Slot:
        return bucket[int(self._rng.random() * len(bucket))]

    def _file_by_load(self, slot: _Slot) -> None:
        """Move a slot to the bucket of its load."""
        wanted = min(int(slot.load() * _BUCKETS), _BUCKETS - 1) if slot.open() else -1
        if wanted == slot.bucket:
            return
        self._take_out(slot)
        if wanted >= 0:
            bucket = self._buckets[wanted]
            slot.bucket, slot.position = wanted, len(bucket)
            bucket.append(slot)
            self._filled |= 1 << wanted

    def _take_out(self, slot: _Slot) -> None:
        """Remove a slot from its bucket; the last one of the bucket moves to its position."""
        if slot.bucket < 0:
            return
        bucket = self._buckets[slot.bucket]
        last = bucket.pop()
        if last is not slot:
            bucket[slot.position] = last
            last.position = slot.position
        if not bucket:
            self._filled &= ~(1 << slot.bucket)
        slot.bucket = -1
