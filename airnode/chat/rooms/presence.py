"""Who is in the rooms: each node reports its own people, and hears of the others'.

A node keeps a hash per room in Redis that expires with its lease, and publishes changes at most once per second, and a
sign of life three times per lease. So the people of a node that fails vanish within its lease.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from airnode.bus import keys
from airnode.bus.classroom import AttendanceLog, ClassUser
from airnode.bus.client import Bus, unavailable
from airnode.chat.rooms.local_room import LocalRoom
from airnode.chat.rooms.log import channel_of
from airnode.chat.rooms.payloads import signal_packet
from airnode.chat.rooms.people import User, Visitor
from airnode.config.sections.chat import ChatSection
from airnode.errors import Unavailable

_TIMEOUT_S = 2.0
#: People in one message between nodes; it may have 256 KiB.
_BATCH = 500


class PresenceChange(msgspec.Struct, frozen=True):
    """What changed among a node's people in a room, or a sign of life.

    Attributes:
        count: how many of the room are on that node now.
        gone: nobody is any more, and the node no longer follows the room.
    """

    room: str
    node: str
    count: int
    joined: list[User] = []
    left: list[str] = []
    gone: bool = False


@dataclass(slots=True)
class _Unreported:
    """What this node has not reported of a room yet."""

    joined: dict[str, User] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    reported_s: float = -1e9
    everything: bool = True


class Presence:
    """Reports the people on this node, and tells members who comes and goes. :class:`ChatRooms` calls it."""

    def __init__(self, bus: Bus, section: ChatSection, node_id: str, attendance: AttendanceLog | None = None) -> None:
        self._attendance = attendance
        self._bus = bus
        self._section = section
        self._node_id = node_id
        #: {room: what is to be reported}. Owned by this class.
        self._unreported: dict[str, _Unreported] = {}

    def entered(self, room: LocalRoom, visitor: Visitor) -> None:
        if self._attendance is not None:
            user = visitor.user
            self._attendance.joined(room.name, _session(visitor), ClassUser(user.id, user.name, user.role))
        if room.roster.enter(visitor.user):
            unreported = self._unreported.setdefault(room.name, _Unreported())
            unreported.left.discard(visitor.user.id)
            unreported.joined[visitor.user.id] = visitor.user

    def left(self, room: LocalRoom, visitor: Visitor) -> None:
        if self._attendance is not None:
            self._attendance.left(room.name, _session(visitor))
        if room.roster.leave(visitor.user):
            unreported = self._unreported.setdefault(room.name, _Unreported())
            unreported.joined.pop(visitor.user.id, None)
            unreported.left.add(visitor.user.id)

    async def receive(self, room: LocalRoom, change: PresenceChange) -> None:
        """Apply a report of another node."""
        now_s = asyncio.get_running_loop().time()
        if change.gone:
            if change.node != self._node_id:
                room.roster.forget(change.node)
        elif not room.roster.change(change.node, change.joined, change.left, change.count, now_s):
            await self._read_node(room, change.node)

    async def read(self, room: LocalRoom) -> None:
        """Read who is in a room on other nodes.

        Raises:
            Unavailable: Redis does not answer.
        """
        now_ms = time.time_ns() // 1_000_000
        with unavailable():
            async with asyncio.timeout(_TIMEOUT_S):
                nodes: Any = await self._bus.client.zrangebyscore(keys.chat("nodes", room.name), now_ms, "+inf")
        for node in nodes:
            if (name := node.decode()) != self._node_id:
                await self._read_node(room, name)

    async def tick(self, rooms: dict[str, LocalRoom], *, is_cut_off: bool) -> None:
        """Report what changed here, and tell members what changed anywhere. Called once per second.

        Raises:
            Unavailable: Redis does not answer.
        """
        now_s = asyncio.get_running_loop().time()
        for room in list(rooms.values()):
            room.roster.forget_silent(now_s - self._section.lease_s)
            self._tell(room)
        if is_cut_off:
            for unreported in self._unreported.values():
                unreported.everything = True
            return
        for name, room in list(rooms.items()):
            unreported = self._unreported.setdefault(name, _Unreported())
            due = now_s - unreported.reported_s >= self._section.lease_s / 3
            if room.is_followed and (due or unreported.joined or unreported.left):
                await self._report(room, unreported)
                unreported.reported_s = now_s

    async def close(self, name: str) -> None:
        """This node no longer follows a room.

        Raises:
            Unavailable: Redis does not answer; the lease ends by itself.
        """
        self._unreported.pop(name, None)
        with unavailable():
            async with asyncio.timeout(_TIMEOUT_S):
                await self._bus.client.delete(keys.chat("here", name, self._node_id))
                await self._bus.client.zrem(keys.chat("nodes", name), self._node_id)
                await self._bus.publish(channel_of(name), PresenceChange(name, self._node_id, 0, gone=True))

    def _tell(self, room: LocalRoom) -> None:
        joined, left = room.roster.take_changes()
        if not joined and not left:
            return
        count = room.roster.count
        body: dict[str, object] = {"room": room.name, "count": count}
        if count <= self._section.presence_users:
            body |= {"joined": joined, "left": left}
        room.signal(signal_packet("presence", body))

    async def _report(self, room: LocalRoom, unreported: _Unreported) -> None:
        everything = unreported.everything
        joined = dict(room.roster.own) if everything else dict(unreported.joined)
        left = [] if everything else list(unreported.left)
        unreported.everything, unreported.joined, unreported.left = False, {}, set()
        try:
            with unavailable():
                async with asyncio.timeout(_TIMEOUT_S):
                    await self._write(room.name, joined, left, anew=everything)
            people, count = list(joined.values()), len(room.roster.own)
            for start in range(0, max(1, len(people)), _BATCH):
                part, is_last = people[start : start + _BATCH], start + _BATCH >= len(people)
                change = PresenceChange(room.name, self._node_id, count, part, left if is_last else [])
                await self._bus.publish(channel_of(room.name), change)
        except Unavailable:
            unreported.everything = True
            raise

    async def _write(self, name: str, joined: dict[str, User], left: list[str], *, anew: bool) -> None:
        here, nodes = keys.chat("here", name, self._node_id), keys.chat("nodes", name)
        lease_ms = round(self._section.lease_s * 1000)
        now_ms = time.time_ns() // 1_000_000
        async with self._bus.client.pipeline(transaction=True) as pipe:
            if anew:
                pipe.delete(here)
            if joined:
                pipe.hset(here, mapping={user_id: msgspec.json.encode(user) for user_id, user in joined.items()})
            if left:
                pipe.hdel(here, *left)
            pipe.pexpire(here, lease_ms)
            pipe.zremrangebyscore(nodes, "-inf", now_ms)
            pipe.zadd(nodes, {self._node_id: now_ms + lease_ms})
            pipe.pexpire(nodes, lease_ms)
            await pipe.execute()

    async def _read_node(self, room: LocalRoom, node: str) -> None:
        with unavailable():
            async with asyncio.timeout(_TIMEOUT_S):
                found: Any = await self._bus.client.hgetall(keys.chat("here", room.name, node))
        people = {}
        for user_id, data in found.items():
            user = self._bus.decode_value(data, User, "chat presence")
            if user is not None:
                people[user_id.decode()] = user
        room.roster.replace(node, people, asyncio.get_running_loop().time())


def _session(visitor: Visitor) -> str:
    """Return a name of this connection that no other living one on this node has: a client may come back earlier than
    its former connection ends.
    """
    return f"{id(visitor):x}"
