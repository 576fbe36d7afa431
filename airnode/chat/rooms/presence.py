"""Who is in the rooms: each node reports its own people, and hears of the others'.

A node keeps a hash per room in Redis that expires with its lease, and publishes changes at most once per second, and a
sign of life three times per lease. So the people of a node that fails vanish within its lease.

Who watches and has no chat open is in the room too, without a name: a person counts once, by the id in the token,
whatever that person has open.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Set
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
#: Most people, and bytes of them, in one message between nodes, which may have 256 KiB.
_BATCH = 500
_BATCH_BYTES = 192 << 10


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

    changed: set[str] = field(default_factory=set)
    reported_s: float = -1e9
    everything: bool = True


#: Returns {room: ids of the students who watch it on this node}.
WatchingNow = Callable[[], Mapping[str, Set[str]]]


class Presence:
    """Reports the people on this node, and to members who comes and goes. :class:`ChatRooms` calls it.

    Args:
        attendance: takes notes of who comes and goes. watching: see :data:`WatchingNow`.
    """

    def __init__(
        self,
        bus: Bus,
        section: ChatSection,
        node_id: str,
        attendance: AttendanceLog | None = None,
        watching: WatchingNow = lambda: {},
    ) -> None:
        self._attendance = attendance
        self._bus = bus
        self._section = section
        self._node_id = node_id
        self._watching = watching
        #: {room that nobody here has the chat of open: (its viewers as reported, loop time of that)}.
        self._watched: dict[str, tuple[Set[str], float]] = {}
        #: {room: what is to be reported}. Owned by this class.
        self._unreported: dict[str, _Unreported] = {}

    def entered(self, room: LocalRoom, visitor: Visitor) -> None:
        if self._attendance is not None:
            user = visitor.user
            self._attendance.joined(room.name, _session(visitor), ClassUser(user.id, user.name, user.role))
        if room.roster.enter(visitor.user):
            self._unreported.setdefault(room.name, _Unreported()).changed.add(visitor.user.id)

    def left(self, room: LocalRoom, visitor: Visitor) -> None:
        if self._attendance is not None:
            self._attendance.left(room.name, _session(visitor))
        if room.roster.leave(visitor.user):
            self._unreported.setdefault(room.name, _Unreported()).changed.add(visitor.user.id)

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
        watching = self._watching()
        for room in list(rooms.values()):
            changed = room.roster.watch(watching.get(room.name, frozenset()))
            if changed:
                self._unreported.setdefault(room.name, _Unreported()).changed.update(changed)
            room.roster.forget_silent(now_s - self._section.lease_s)
            self._tell(room)
        if is_cut_off:
            for unreported in self._unreported.values():
                unreported.everything = True
            return
        for name, room in list(rooms.items()):
            unreported = self._unreported.setdefault(name, _Unreported())
            if room.is_followed and (unreported.changed or self._is_due(unreported.reported_s, now_s)):
                await self._report(name, room.roster.own, unreported)
                unreported.reported_s = now_s
        await self._report_watched(rooms, watching, now_s)

    def _is_due(self, reported_s: float, now_s: float) -> bool:
        return now_s - reported_s >= self._section.lease_s / 3

    async def _report_watched(
        self, rooms: Mapping[str, LocalRoom], watching: Mapping[str, Set[str]], now_s: float
    ) -> None:
        """Report the rooms that are watched on this node, and in which nobody here has the chat open."""
        for name in [each for each in self._watched if each not in watching or each in rooms]:
            del self._watched[name]
            if name not in rooms:
                await self.close(name)
        for name, user_ids in watching.items():
            if name in rooms:
                continue
            before, reported_s = self._watched.get(name, (frozenset(), -1e9))
            if before != user_ids or self._is_due(reported_s, now_s):
                people = {each: User(each, "", "student") for each in user_ids}
                await self._report(name, people, _Unreported(changed=set(before - user_ids)))
                self._watched[name] = (frozenset(user_ids), now_s)

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
        changes = room.roster.take_changes()
        if changes is None:
            return
        joined, left = changes
        count = room.roster.count
        body: dict[str, object] = {"room": room.name, "count": count}
        was_listed, room.is_listed = room.is_listed, count <= self._section.presence_users
        if room.is_listed:
            body |= {"joined": joined if was_listed else room.roster.users(), "left": left}
        room.signal(signal_packet("presence", body))

    async def _report(self, name: str, own: Mapping[str, User], unreported: _Unreported) -> None:
        everything = unreported.everything
        changed, unreported.changed, unreported.everything = unreported.changed, set(), False
        joined = dict(own) if everything else {each: own[each] for each in changed if each in own}
        left = [each for each in changed if each not in own]
        try:
            with unavailable():
                async with asyncio.timeout(_TIMEOUT_S):
                    await self._write(name, joined, [] if everything else left, anew=everything)
            for came, went in batches(joined.values(), left):
                await self._bus.publish(channel_of(name), PresenceChange(name, self._node_id, len(own), came, went))
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


def batches(joined: Iterable[User], left: Iterable[str]) -> list[tuple[list[User], list[str]]]:
    """Return who came and who left in parts that fit into a message each, at least one: ids may be long."""
    parts: list[tuple[list[User], list[str]]] = [([], [])]
    size_bytes = 0
    everybody: list[User | str] = [*joined, *left]
    for each in everybody:
        added_bytes = len(msgspec.json.encode(each)) + 1
        if size_bytes + added_bytes > _BATCH_BYTES or len(parts[-1][0]) + isinstance(each, User) > _BATCH:
            parts.append(([], []))
            size_bytes = 0
        size_bytes += added_bytes
        if isinstance(each, User):
            parts[-1][0].append(each)
        else:
            parts[-1][1].append(each)
    return parts


def _session(visitor: Visitor) -> str:
    """Return a name of this connection that no other living one on this node has: a client may come back earlier than
    its former connection ends.
    """
    return f"{id(visitor):x}"
