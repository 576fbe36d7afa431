"""Connection state recovery: a client that comes back gets what it missed, on whichever node.

The answer to CONNECT has a ``pid``. The client sends it when it comes back, with the position of the last entry that it
got. What a client was in is kept in Redis under its pid.
"""

import asyncio
import contextlib
import time

import msgspec

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.chat.rooms.local_room import LocalRoom
from airnode.chat.rooms.log import LogEntry, RoomLog
from airnode.chat.rooms.people import Visitor
from airnode.errors import Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

#: How long a session is kept while its client is connected; a node's beat says whether it still may be.
_CONNECTED_S = 86_400
_BATCH = 500
#: What is sent again at most; a client that missed more joins anew.
_REPLAY_MAX_BYTES = 512 << 10
_TIMEOUT_S = 2.0


class Session(msgspec.Struct, frozen=True):
    """What a client was in.

    Attributes:
        rooms: {room: its position when the client joined}.
        left_at: unix ms at which it left; 0: its node has not seen it leave.
    """

    user_id: str
    node: str
    rooms: dict[str, str]
    left_at: int = 0


class Sessions(Service):
    """The sessions of clients, in Redis.

    Writes are collected while others are under way. A lost write costs nothing but the recovery of that client.

    Args:
        recovery_s: how long a session outlives its connection; 0: there is no recovery.
    """

    name = "chat-sessions"

    def __init__(self, bus: Bus, node_id: str, *, recovery_s: float, lease_s: float, tasks: TaskScope) -> None:
        super().__init__()
        self._bus = bus
        self._node_id = node_id
        self._recovery_s = recovery_s
        self._lease_s = lease_s
        self._tasks = tasks
        #: {pid: (session; None: it ends, seconds to keep it)}, to be written.
        self._unwritten: dict[str, tuple[Session | None, float]] = {}
        self._wake = asyncio.Event()

    async def start(self) -> None:
        """Write sessions, and report that this node lives."""
        if self._recovery_s:
            self._tasks.spawn("write", self._write())
            self._tasks.spawn("beat", self._beat_on())

    async def stop(self) -> None:
        """Write what is left."""
        await self._tasks.aclose()
        if self._unwritten:
            with contextlib.suppress(Unavailable):
                await self._flush()

    def keep(self, visitor: Visitor) -> None:
        """Write what a connected client is in."""
        self._put(visitor.pid, Session(visitor.user.id, self._node_id, dict(visitor.rooms)), _CONNECTED_S)

    def left(self, visitor: Visitor) -> None:
        """Write that a client's connection ended: from now on it has ``chat.recovery_s`` to come back."""
        if visitor.rooms:
            now_ms = time.time_ns() // 1_000_000
            session = Session(visitor.user.id, self._node_id, dict(visitor.rooms), now_ms)
            self._put(visitor.pid, session, self._recovery_s)

    def end(self, visitor: Visitor) -> None:
        """Forget a client that may not come back."""
        self._put(visitor.pid, None, 0)

    async def find(self, pid: str, user_id: str) -> Session | None:
        """Return the session of a client that comes back in time; None if there is none.

        Raises:
            Unavailable: Redis does not answer.
        """
        if not self._recovery_s:
            return None
        waiting = self._unwritten.get(pid)
        if waiting is not None:
            session = waiting[0]
            return session if session is not None and session.user_id == user_id else None
        with unavailable():
            async with asyncio.timeout(_TIMEOUT_S):
                data = await self._bus.client.get(keys.chat("session", pid))
                session = None if data is None else self._bus.decode_value(data, Session, "chat session")
                if session is None or session.user_id != user_id:
                    return None
                if session.left_at:
                    return session
                lives = await self._bus.client.exists(keys.chat("beat", session.node))
        return session if lives else None

    def _put(self, pid: str, session: Session | None, keep_s: float) -> None:
        if self._recovery_s:
            self._unwritten[pid] = (session, keep_s)
            self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            with contextlib.suppress(Unavailable):  # nobody can come back by them while Redis is away
                await self._flush()

    async def _flush(self) -> None:
        writes, self._unwritten = self._unwritten, {}
        with unavailable():
            async with asyncio.timeout(_TIMEOUT_S), self._bus.client.pipeline(transaction=False) as pipe:
                for pid, (session, keep_s) in writes.items():
                    if session is None:
                        pipe.delete(keys.chat("session", pid))
                    else:
                        pipe.set(keys.chat("session", pid), msgspec.json.encode(session), px=round(keep_s * 1000))
                await pipe.execute()

    async def _beat_on(self) -> None:
        with contextlib.suppress(Unavailable):  # the next one may succeed
            await self._beat()
        await repeat_every(self._lease_s / 3, self._beat, failed="chat_beat_failed")

    async def _beat(self) -> None:
        with unavailable():
            async with asyncio.timeout(_TIMEOUT_S):
                keep_ms = round((self._recovery_s + self._lease_s) * 1000)
                await self._bus.client.set(keys.chat("beat", self._node_id), "1", px=keep_ms)


def later_position(sent: str, joined_at: str) -> str:
    """Return where a client goes on: after the last entry that it got, or after its join.

    Official clients keep the position of the last entry over a failed recovery and the join that follows.
    """
    epoch, _, offset = sent.rpartition(":")
    joined_epoch, _, joined_offset = joined_at.rpartition(":")
    is_earlier = _is_offset(offset) and epoch == joined_epoch and int(offset) < int(joined_offset)
    return joined_at if not sent or is_earlier else sent


def _is_offset(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15


async def missed_entries(room: LocalRoom, log: RoomLog, position: str) -> list[LogEntry] | None:
    """Return the entries after a position, up to the end of the tail; None: they are not all there, or too many.

    The caller must make the client a member before it awaits anything.

    Raises:
        Unavailable: Redis does not answer.
    """
    epoch, _, text = position.rpartition(":")
    if not _is_offset(text) or not room.is_followed:
        return None
    found: list[LogEntry] = []
    offset, size, looked = int(text), 0, False
    while epoch == room.tail.epoch and size <= _REPLAY_MAX_BYTES:
        held = room.tail.after(offset)
        if held is not None:
            size += sum(len(bytes(entry.data)) for entry in held)
            return found + held if size <= _REPLAY_MAX_BYTES else None
        if not looked:
            looked = True
            where = await log.position(room.name)
            if not where.oldest or where.oldest > offset + 1 or offset > where.offset:
                return None
        batch = await log.after(room.name, offset, _BATCH)
        if not batch:
            return None
        found += batch
        size += sum(len(bytes(entry.data)) for entry in batch)
        offset = batch[-1].offset
    return None
