"""Claims a room for this node, by epoch: if two nodes receive the same class, the later one owns it.

The claim is written before the first byte of media is accepted from the publisher. Each report renews it. If an origin
returns after another node has taken over, it has the lower epoch: its next report is refused, and it loses the room.
"""

import asyncio
import time
from dataclasses import dataclass

import structlog

from airnode.bus.client import Bus
from airnode.bus.leases import Leases
from airnode.bus.messages import RoomState
from airnode.errors import Conflict, Unavailable
from airnode.media.hls.window import Continuation
from airnode.media.room.live_room import Ownership
from airnode.media.room.origins import OriginTable
from airnode.media.room.rooms import Rooms

log = structlog.get_logger(__name__)

#: An origin reports each second. If it misses two reports, it loses the room to a new publisher.
_ALIVE_S = 2.5
#: Most segments that an origin makes between its last report and its end.
_UNREPORTED_SEGMENTS = 2
#: Longest time that an encoder waits for a silent publisher on another node.
_LONGEST_TURN_WAIT_S = 4.0
_TURN_POLL_S = 0.05
#: Longest time that an encoder waits for Redis.
_CLAIM_TIMEOUT_S = 3.0


def room_claim(room: str) -> str:
    """Return the key of the claim on the bus."""
    return f"room:{room}"


@dataclass(frozen=True, slots=True)
class _Heard:
    """When the publisher of another node was last heard.

    Attributes:
        at_s: by the loop's clock of this node; later by as much as the report was under way.
        by_origin_s: by the clock of the other node; it grows only when something was heard.
    """

    at_s: float
    by_origin_s: float


class RoomClaims:
    """Claims rooms for publishers that this node accepts.

    Args:
        takeover_after_s: a publisher on another node is replaced after it has been silent for this long.
    """

    def __init__(self, bus: Bus, node_id: str, rooms: Rooms, table: OriginTable, *, takeover_after_s: float) -> None:
        self._leases = Leases(bus)
        self._node_id = node_id
        self._rooms = rooms
        self._table = table
        self._takeover_after_s = takeover_after_s

    async def claim(self, name: str) -> None:
        """Claim the room for this node, unless this node already owns it.

        An encoder that lost its network may come back to this node before the other node notices that its connection is
        dead. So it waits while the publisher on the other node is silent, as in :meth:`Rooms.wait_for_turn`.

        Raises:
            Conflict: (409) another node has the room, and its publisher is alive.
            Unavailable: (503) this node accepts no more rooms, or Redis does not answer.
        """
        self._rooms.require_space(name)
        room = self._rooms.get(name)
        if room is not None and room.phase != "ended":
            return
        await self._wait_for_turn(name)
        try:
            async with asyncio.timeout(_CLAIM_TIMEOUT_S):
                await self._write_claim(name)
        except TimeoutError:
            raise Unavailable("Redis does not answer: this node cannot take the class.", retry_after_s=2) from None

    async def _write_claim(self, name: str) -> None:
        held = await self._leases.read_claim(room_claim(name), RoomState)
        epoch = max(time.time_ns() // 1_000_000, held.epoch + 1 if held is not None else 0)
        last = held.value if held is not None else None
        after = continuation(last, self._table.state(name))
        state = RoomState(
            name,
            self._node_id,
            "live",
            time.time(),
            epoch=epoch,
            next_msn=after.first_msn,
            target_duration_s=after.target_duration_s,
            discontinuities=after.discontinuities,
            part_target_s=after.part_target_s,
        )
        granted, holder = await self._leases.claim(room_claim(name), self._node_id, epoch, state)
        if not granted:
            raise Conflict("This class has just gone live on another node.")
        log.info("room_claimed", room=name, epoch=holder.epoch, before=held.owner if held is not None else "")
        self._rooms.own(name, Ownership(epoch, after))

    async def _wait_for_turn(self, name: str) -> None:
        """Wait until the publisher on another node has been silent for long enough.

        Raises:
            Conflict: (409) it is heard again, or the time of silence that replaces it is too long to wait for.
        """
        first = self._heard(name)
        if first is None:
            return
        silent_enough_s = first.at_s + self._takeover_after_s
        until_s = min(silent_enough_s, self._now_s() + _LONGEST_TURN_WAIT_S)
        # This loop polls, as it waits for time to pass and for reports.
        while self._now_s() < until_s:
            await asyncio.sleep(_TURN_POLL_S)
            latest = self._heard(name)
            if latest is None:
                return
            if latest.by_origin_s > first.by_origin_s:
                break
        else:
            if until_s >= silent_enough_s:
                return
        raise Conflict("This class is live already; end the other stream first.")

    def _heard(self, name: str) -> "_Heard | None":
        """Return when another node last heard its publisher; None: no publisher is alive there."""
        state = self._table.state(name)
        if state is None or state.node_id == self._node_id or state.phase != "live":
            return None
        reported_s = self._table.last_report_s(name)
        heard_s = reported_s - state.silent_s
        if self._now_s() - reported_s >= _ALIVE_S or self._now_s() - heard_s >= self._takeover_after_s:
            return None
        return _Heard(heard_s, state.heard_s or heard_s)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()


def continuation(*known: RoomState | None) -> Continuation:
    """Return where a new window begins: after the highest known segment, so that players can continue."""
    states = [state for state in known if state is not None and state.next_msn]
    if not states:
        return Continuation()
    return Continuation(
        first_msn=max(state.next_msn for state in states) + _UNREPORTED_SEGMENTS,
        target_duration_s=max(state.target_duration_s for state in states),
        discontinuities=max(state.discontinuities for state in states),
        part_target_s=max(state.part_target_s for state in states),
    )
