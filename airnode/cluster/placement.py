"""Choosing the node for a viewer or a publisher. Sans-IO: time comes in, nothing goes out.

Nodes that can take one more viewer lie in buckets by load; the lowest bucket that is not empty holds the near-best.
Two of them are drawn, and the less loaded one is taken: random enough that two masters do not run after the same node,
and even (the fullest of n nodes is about log log n viewers above the mean). Finding the bucket is one bit operation,
and moving a node between buckets is a swap, so a placement costs the same with ten nodes and with ten thousand.
"""

import math
import random
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from airnode.bus.messages import NodeRecord
from airnode.errors import NoHealthyNodes

NodeHealth = Literal["healthy", "draining", "overloaded", "offline"]

#: Nodes whose loads differ by less than this share of their capacity count as equals.
_BUCKETS = 128
#: What a viewer is taken to need before any was measured, and at the very least.
_VIEWER_BPS = 3_000_000
_LEAST_VIEWER_BPS = 250_000
_RETRY_S = 3.0


class _Slot:
    """One node as the placement sees it.

    Attributes:
        reserved: places given away by any master, as last heard. pending: given away here, not yet confirmed.
        bucket, position: where it lies; bucket -1: it takes nobody.
    """

    __slots__ = ("bucket", "drained", "heard_s", "pending", "position", "record", "reserved")

    def __init__(self, record: NodeRecord) -> None:
        self.record = record
        self.heard_s = -math.inf
        self.reserved = 0
        self.pending = 0
        self.drained = False
        self.bucket = -1
        self.position = 0

    @property
    def promised(self) -> int:
        """Places given away whose viewers are not there yet."""
        return self.reserved + self.pending

    def viewer_bps(self) -> float:
        """What one more viewer is expected to cost."""
        if self.record.current_connections == 0:
            return _VIEWER_BPS
        return max(self.record.sent_bps / self.record.current_connections, _LEAST_VIEWER_BPS)

    def places(self) -> int:
        """How many viewers may come besides those who are there, by connections and by bandwidth."""
        free = self.record.max_connections - self.record.current_connections
        if (limit := self.record.bandwidth_bps) is not None:
            free = min(free, int((limit - self.record.sent_bps) / self.viewer_bps()))
        return max(free, 0)

    def load(self) -> float:
        """Share that is taken of what is scarcer, connections or bandwidth; promised places count."""
        share = (self.record.current_connections + self.promised) / self.record.max_connections
        if (limit := self.record.bandwidth_bps) is not None:
            share = max(share, (self.record.sent_bps + self.promised * self.viewer_bps()) / limit)
        return share

    def serves(self) -> bool:
        """Whether it may get anybody at all."""
        return self.record.status != "draining" and not self.drained

    def open(self) -> bool:
        """Whether it can take one more viewer."""
        return self.serves() and self.record.status == "healthy" and self.promised < self.places()


class Placement:
    """The nodes of the cluster, and who gets the next viewer.

    Args:
        lease_s: a node counts for this long after it was heard.
    """

    def __init__(self, rng: random.Random, lease_s: float) -> None:
        self._rng = rng
        self._lease_s = lease_s
        #: {node_id: its slot}.
        self._slots: dict[str, _Slot] = {}
        #: {node_id: its slot}, of nodes that some origin does not get through to.
        self._severed: dict[str, _Slot] = {}
        #: Open slots by load; each list in no order.
        self._buckets: list[list[_Slot]] = [[] for _ in range(_BUCKETS)]
        #: Bit n: bucket n is not empty.
        self._filled = 0

    # -- what is heard ------------------------------------------------------------------------------------------------

    def heard(self, record: NodeRecord, now_s: float) -> None:
        """A node's heartbeat, which says how many places are reserved, too; one that was heard already counts for
        nothing.
        """
        slot = self._slots.get(record.node_id)
        if slot is None:
            slot = self._slots[record.node_id] = _Slot(record)
        elif slot.record.beat_at == record.beat_at:
            return
        slot.record, slot.heard_s, slot.reserved = record, now_s, record.reserved
        if record.cut_from:
            self._severed[record.node_id] = slot
        else:
            self._severed.pop(record.node_id, None)
        self._settle(slot)

    def drained(self, node_ids: Iterable[str]) -> None:
        """Exactly these nodes take nobody, by an admin's order."""
        wanted = set(node_ids)
        for node_id, slot in self._slots.items():
            if slot.drained != (node_id in wanted):
                slot.drained = not slot.drained
                self._settle(slot)

    def drain(self, node_id: str, *, on: bool) -> None:
        """An admin's order for one node."""
        if (slot := self._slots.get(node_id)) is not None:
            slot.drained = on
            self._settle(slot)

    def remove(self, node_id: str) -> None:
        """Forget a node."""
        self._severed.pop(node_id, None)
        if (slot := self._slots.pop(node_id, None)) is not None:
            self._lift(slot)

    def reserved(self, counts: Mapping[str, int]) -> None:
        """Places reserved now, all of them: nodes that are not named have none."""
        for node_id, slot in self._slots.items():
            if slot.reserved != (count := counts.get(node_id, 0)):
                slot.reserved = count
                self._settle(slot)

    def taken(self, counts: Mapping[str, int]) -> None:
        """Other masters gave places away; counts that are lower than known are old news."""
        for node_id, count in counts.items():
            slot = self._slots.get(node_id)
            if slot is not None and count > slot.reserved:
                slot.reserved = count
                self._settle(slot)

    # -- what is asked ------------------------------------------------------------------------------------------------

    def place(self, now_s: float, avoid: Collection[str] = ()) -> NodeRecord:
        """A node for one more viewer, with a place held there until :meth:`confirm`.

        Args:
            avoid: nodes that failed this viewer a moment ago; taken only when there is no other.

        Raises:
            NoHealthyNodes: (503) none is there, or all are full or shutting down.
        """
        slot = self._best_but(now_s, avoid)
        slot.pending += 1
        self._settle(slot)
        return slot.record

    def confirm(self, node_id: str, count: int | None) -> None:
        """What :meth:`place` held is reserved (or refused) by now.

        Args:
            count: places reserved on the node now; None: nobody knows, so one more than before.
        """
        slot = self._slots.get(node_id)
        if slot is None:
            return
        slot.pending = max(slot.pending - 1, 0)
        slot.reserved = max(slot.reserved, slot.reserved + 1 if count is None else count)
        self._settle(slot)

    def best(self, now_s: float, prefer: str | None = None, avoid: Collection[str] = ()) -> NodeRecord:
        """A node for a publisher: the preferred one while it lives, else the least loaded; full ones take one, too.

        Raises:
            NoHealthyNodes: (503) none is there, or all are shutting down.
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

    def severed(self, origin: str | None) -> list[str]:
        """Nodes to which rooms of that origin do not get through."""
        return [node_id for node_id, slot in self._severed.items() if origin in slot.record.cut_from]

    def free_places(self, node_id: str) -> int:
        """How many reservations a node can have at most."""
        slot = self._slots.get(node_id)
        return slot.places() if slot is not None else 0

    def promised(self, node_id: str) -> int:
        """How many places of a node are given away to viewers who are not there yet."""
        slot = self._slots.get(node_id)
        return slot.promised if slot is not None else 0

    def fresh(self, now_s: float) -> dict[str, NodeRecord]:
        """Nodes heard of within the lease."""
        return {node_id: slot.record for node_id, slot in self._slots.items() if self._is_fresh(slot, now_s)}

    def health(self, node_id: str, now_s: float) -> NodeHealth:
        """How a node is."""
        slot = self._slots.get(node_id)
        if slot is None or not self._is_fresh(slot, now_s):
            return "offline"
        if not slot.serves():
            return "draining"
        return "overloaded" if slot.record.status == "overloaded" or not slot.places() else "healthy"

    # -- buckets ------------------------------------------------------------------------------------------------------

    def _is_fresh(self, slot: _Slot, now_s: float) -> bool:
        return now_s - slot.heard_s <= self._lease_s

    def _best_but(self, now_s: float, avoid: Collection[str]) -> _Slot:
        """The best of the others, as long as there are any."""
        avoided = [slot for node_id in avoid if (slot := self._slots.get(node_id)) is not None and slot.bucket >= 0]
        for slot in avoided:
            self._lift(slot)
        try:
            return self._best(now_s)
        except NoHealthyNodes:
            if not avoided:
                raise
        finally:
            for slot in avoided:
                self._settle(slot)
        return self._best(now_s)

    def _best(self, now_s: float) -> _Slot:
        while self._filled:
            bucket = self._buckets[(self._filled & -self._filled).bit_length() - 1]
            first, second = self._drawn(bucket), self._drawn(bucket)
            for slot in (first, second):
                if not self._is_fresh(slot, now_s):
                    self._lift(slot)  # until it is heard again
            if first.bucket < 0 or second.bucket < 0:
                continue
            return first if first.load() <= second.load() else second
        raise NoHealthyNodes(
            "No healthy nodes available: all are full or shutting down"
            if any(self._is_fresh(slot, now_s) for slot in self._slots.values())
            else "No healthy nodes available",
            retry_after_s=_RETRY_S,
        )

    def _drawn(self, bucket: list[_Slot]) -> _Slot:
        return bucket[int(self._rng.random() * len(bucket))]

    def _settle(self, slot: _Slot) -> None:
        """Put a slot where its load belongs."""
        wanted = min(int(slot.load() * _BUCKETS), _BUCKETS - 1) if slot.open() else -1
        if wanted == slot.bucket:
            return
        self._lift(slot)
        if wanted >= 0:
            bucket = self._buckets[wanted]
            slot.bucket, slot.position = wanted, len(bucket)
            bucket.append(slot)
            self._filled |= 1 << wanted

    def _lift(self, slot: _Slot) -> None:
        """Take a slot out of its bucket; the bucket's last one moves into the gap."""
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
