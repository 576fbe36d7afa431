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

Health = Literal["healthy", "draining", "overloaded", "offline"]

#: Nodes whose loads differ by less than this share of their capacity count as equals.
_BUCKETS = 128
#: What a viewer is taken to need before any was measured, and at the very least.
_VIEWER_BPS = 3_000_000
_LEAST_VIEWER_BPS = 250_000
_RETRY_S = 3.0


class _Seat:
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
        #: {node_id: its seat}.
        self._seats: dict[str, _Seat] = {}
        #: {node_id: its seat}, of nodes that some origin does not get through to.
        self._severed: dict[str, _Seat] = {}
        #: Open seats by load; each list in no order.
        self._buckets: list[list[_Seat]] = [[] for _ in range(_BUCKETS)]
        #: Bit n: bucket n is not empty.
        self._filled = 0

    # -- what is heard ------------------------------------------------------------------------------------------------

    def heard(self, record: NodeRecord, now_s: float) -> None:
        """A node's heartbeat, which says how many places are reserved, too; one that was heard already counts for
        nothing.
        """
        seat = self._seats.get(record.node_id)
        if seat is None:
            seat = self._seats[record.node_id] = _Seat(record)
        elif seat.record.beat_at == record.beat_at:
            return
        seat.record, seat.heard_s, seat.reserved = record, now_s, record.reserved
        if record.cut_from:
            self._severed[record.node_id] = seat
        else:
            self._severed.pop(record.node_id, None)
        self._settle(seat)

    def drained(self, node_ids: Iterable[str]) -> None:
        """Exactly these nodes take nobody, by an admin's order."""
        wanted = set(node_ids)
        for node_id, seat in self._seats.items():
            if seat.drained != (node_id in wanted):
                seat.drained = not seat.drained
                self._settle(seat)

    def drain(self, node_id: str, *, on: bool) -> None:
        """An admin's order for one node."""
        if (seat := self._seats.get(node_id)) is not None:
            seat.drained = on
            self._settle(seat)

    def remove(self, node_id: str) -> None:
        """Forget a node."""
        self._severed.pop(node_id, None)
        if (seat := self._seats.pop(node_id, None)) is not None:
            self._lift(seat)

    def reserved(self, counts: Mapping[str, int]) -> None:
        """Places reserved now, all of them: nodes that are not named have none."""
        for node_id, seat in self._seats.items():
            if seat.reserved != (count := counts.get(node_id, 0)):
                seat.reserved = count
                self._settle(seat)

    def taken(self, counts: Mapping[str, int]) -> None:
        """Other masters gave places away; counts that are lower than known are old news."""
        for node_id, count in counts.items():
            seat = self._seats.get(node_id)
            if seat is not None and count > seat.reserved:
                seat.reserved = count
                self._settle(seat)

    # -- what is asked ------------------------------------------------------------------------------------------------

    def place(self, now_s: float, avoid: Collection[str] = ()) -> NodeRecord:
        """A node for one more viewer, with a place held there until :meth:`confirm`.

        Args:
            avoid: nodes that failed this viewer a moment ago; taken only when there is no other.

        Raises:
            NoHealthyNodes: (503) none is there, or all are full or shutting down.
        """
        seat = self._best_but(now_s, avoid)
        seat.pending += 1
        self._settle(seat)
        return seat.record

    def confirm(self, node_id: str, count: int | None) -> None:
        """What :meth:`place` held is reserved (or refused) by now.

        Args:
            count: places reserved on the node now; None: nobody knows, so one more than before.
        """
        seat = self._seats.get(node_id)
        if seat is None:
            return
        seat.pending = max(seat.pending - 1, 0)
        seat.reserved = max(seat.reserved, seat.reserved + 1 if count is None else count)
        self._settle(seat)

    def best(self, now_s: float, prefer: str | None = None, avoid: Collection[str] = ()) -> NodeRecord:
        """A node for a publisher: the preferred one while it lives, else the least loaded; full ones take one, too.

        Raises:
            NoHealthyNodes: (503) none is there, or all are shutting down.
        """
        seat = self._seats.get(prefer) if prefer is not None else None
        if seat is not None and seat.serves() and self._is_fresh(seat, now_s):
            return seat.record
        try:
            return self._best_but(now_s, avoid).record
        except NoHealthyNodes:
            serving = [each for each in self._seats.values() if each.serves() and self._is_fresh(each, now_s)]
            if not serving:
                raise
            return min(serving, key=lambda seat: (seat.record.node_id in avoid, seat.load())).record

    def severed(self, origin: str | None) -> list[str]:
        """Nodes to which rooms of that origin do not get through."""
        return [node_id for node_id, seat in self._severed.items() if origin in seat.record.cut_from]

    def free_places(self, node_id: str) -> int:
        """How many reservations a node can have at most."""
        seat = self._seats.get(node_id)
        return seat.places() if seat is not None else 0

    def promised(self, node_id: str) -> int:
        """How many places of a node are given away to viewers who are not there yet."""
        seat = self._seats.get(node_id)
        return seat.promised if seat is not None else 0

    def fresh(self, now_s: float) -> dict[str, NodeRecord]:
        """Nodes heard of within the lease."""
        return {node_id: seat.record for node_id, seat in self._seats.items() if self._is_fresh(seat, now_s)}

    def health(self, node_id: str, now_s: float) -> Health:
        """How a node is."""
        seat = self._seats.get(node_id)
        if seat is None or not self._is_fresh(seat, now_s):
            return "offline"
        if not seat.serves():
            return "draining"
        return "overloaded" if seat.record.status == "overloaded" or not seat.places() else "healthy"

    # -- buckets ------------------------------------------------------------------------------------------------------

    def _is_fresh(self, seat: _Seat, now_s: float) -> bool:
        return now_s - seat.heard_s <= self._lease_s

    def _best_but(self, now_s: float, avoid: Collection[str]) -> _Seat:
        """The best of the others, as long as there are any."""
        avoided = [seat for node_id in avoid if (seat := self._seats.get(node_id)) is not None and seat.bucket >= 0]
        for seat in avoided:
            self._lift(seat)
        try:
            return self._best(now_s)
        except NoHealthyNodes:
            if not avoided:
                raise
        finally:
            for seat in avoided:
                self._settle(seat)
        return self._best(now_s)

    def _best(self, now_s: float) -> _Seat:
        while self._filled:
            bucket = self._buckets[(self._filled & -self._filled).bit_length() - 1]
            first, second = self._drawn(bucket), self._drawn(bucket)
            for seat in (first, second):
                if not self._is_fresh(seat, now_s):
                    self._lift(seat)  # until it is heard again
            if first.bucket < 0 or second.bucket < 0:
                continue
            return first if first.load() <= second.load() else second
        raise NoHealthyNodes(
            "No healthy nodes available: all are full or shutting down"
            if any(self._is_fresh(seat, now_s) for seat in self._seats.values())
            else "No healthy nodes available",
            retry_after_s=_RETRY_S,
        )

    def _drawn(self, bucket: list[_Seat]) -> _Seat:
        return bucket[int(self._rng.random() * len(bucket))]

    def _settle(self, seat: _Seat) -> None:
        """Put a seat where its load belongs."""
        wanted = min(int(seat.load() * _BUCKETS), _BUCKETS - 1) if seat.open() else -1
        if wanted == seat.bucket:
            return
        self._lift(seat)
        if wanted >= 0:
            bucket = self._buckets[wanted]
            seat.bucket, seat.position = wanted, len(bucket)
            bucket.append(seat)
            self._filled |= 1 << wanted

    def _lift(self, seat: _Seat) -> None:
        """Take a seat out of its bucket; the bucket's last one moves into the gap."""
        if seat.bucket < 0:
            return
        bucket = self._buckets[seat.bucket]
        last = bucket.pop()
        if last is not seat:
            bucket[seat.position] = last
            last.position = seat.position
        if not bucket:
            self._filled &= ~(1 << seat.bucket)
        seat.bucket = -1
