"""The rooms of this node: which it follows, what it appends, and what it does while Redis does not answer."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from airnode.bus.client import Bus, unavailable
from airnode.bus.subscription import AnyChannelSubscription
from airnode.chat.rooms.catch_up import catch_up, load
from airnode.chat.rooms.local_room import LocalRoom
from airnode.chat.rooms.log import ANSWER_S, NO_CHECK, Appended, CheckScript, Draft, LogEntry, RoomLog, channel_of
from airnode.chat.rooms.metrics import ChatMetrics
from airnode.chat.rooms.outage import Outage
from airnode.chat.rooms.payloads import signal_packet
from airnode.chat.rooms.people import Visitor
from airnode.chat.rooms.presence import Presence, PresenceChange
from airnode.chat.rooms.tail import Step
from airnode.config.sections.chat import ChatSection
from airnode.errors import Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

_SWEEP_S = 1.0
#: A room that was opened has its first member within this time.
_OPENING_S = 3.0
#: Pings in a row that must fail before this node goes on alone; a busy pool of connections may hold one up.
_FAILED_PINGS = 2
_PING_S = 0.5
#: Pause between pings while nobody is in a room here.
_IDLE_PING_S = 2.0
_PING_TIMEOUT_S = 1.5
_IN_FLIGHT_MAX = 10_000

EntryHook = Callable[[LocalRoom, LogEntry], None]


class RoomSignal(msgspec.Struct, frozen=True):
    """An event for all members of a room that has no position in the log: somebody types, reactions, …

    Attributes:
        data: the event's argument, a JSON object.
        only: user ids and roles of those who get it; empty: everybody.
    """

    room: str
    event: str
    data: msgspec.Raw
    only: list[str] = []


class ChatRooms(Service):
    """The rooms that have members on this node.

    A room is followed from its first local member to ``chat.room_linger_s`` after the last: one subscription, and the
    tail of its log. Everything that members get comes from there, also what members of this node sent, so that the
    order is the same everywhere.

    Attributes:
        hooks: called for each entry of a followed room, after its members got it.
        appended_hooks: called for each entry that this node appended. signal_hooks: for each signal that it sent.
    """

    name = "chat-rooms"

    def __init__(
        self,
        bus: Bus,
        section: ChatSection,
        *,
        node_id: str,
        log: RoomLog,
        metrics: ChatMetrics,
        outage: Outage,
        presence: Presence,
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self.log = log
        self.outage = outage
        self.metrics = metrics
        self.hooks: list[EntryHook] = []
        self.appended_hooks: list[Callable[[LogEntry], None]] = []
        self.signal_hooks: list[Callable[[RoomSignal], None]] = []
        self._bus = bus
        self._section = section
        self._node_id = node_id
        self._presence = presence
        self._tasks = tasks
        #: {room: its members and tail}. Owned by this class.
        self._rooms: dict[str, LocalRoom] = {}
        self._subscriptions: dict[str, list[AnyChannelSubscription]] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        #: {room without members: loop time since when}.
        self._empty_since_s: dict[str, float] = {}
        #: {nonce: loop time of the append}, of entries that have not come back from Redis.
        self._in_flight: dict[str, float] = {}
        metrics.rooms.set_function(lambda: len(self._rooms))
        metrics.members.set_function(lambda: sum(len(room.members) for room in self._rooms.values()))

    async def start(self) -> None:
        """Watch Redis, and rooms that nobody is in any more."""
        self._tasks.spawn("presence", repeat_every(_SWEEP_S, self._tick_presence, failed="chat_presence_failed"))
        self._tasks.spawn("sweep", repeat_every(_SWEEP_S, self._sweep, failed="chat_sweep_failed"))
        self._tasks.spawn("watch-redis", self._watch_redis())

    async def stop(self) -> None:
        """End all work, and tell the other nodes that nobody is here; the bus ends the subscriptions."""
        await self._tasks.aclose()
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                for name in list(self._rooms) if not self.outage else ():
                    await self._presence.close(name)

    @property
    def rooms(self) -> dict[str, LocalRoom]:
        """Return the rooms with members on this node, {name: room}."""
        return self._rooms

    # -- members ------------------------------------------------------------------------------------------------------

    async def open(self, name: str) -> LocalRoom:
        """Return a room that is followed: Redis has confirmed the subscription, and the tail is loaded.

        While Redis does not answer, the room is this node's own.
        """
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = LocalRoom(name, self._node_id, self._section, self.metrics)
        if not room.members:
            self._empty_since_s[name] = asyncio.get_running_loop().time()
        if not room.is_followed and not self.outage:
            await self._followed(room)
        return room

    def add(self, visitor: Visitor, room: LocalRoom) -> None:
        """Make somebody a member. Does nothing if that person's connection is one already.

        Raises:
            Unavailable: (503) this node has left the room since it was opened.
        """
        if self._rooms.get(room.name) is not room:
            raise Unavailable("The room was just closed; try again.", retry_after_s=0.5)
        if visitor not in room.members:
            room.members.add(visitor)
            self._presence.entered(room, visitor)
        visitor.rooms[room.name] = f"{room.tail.epoch}:{room.tail.offset}"
        self._empty_since_s.pop(room.name, None)

    def remove(self, visitor: Visitor, name: str) -> bool:
        """End a membership; return False if there is none."""
        room = self._rooms.get(name)
        if room is None or visitor not in room.members:
            return False
        room.members.discard(visitor)
        self._presence.left(room, visitor)
        visitor.rooms.pop(name, None)
        if visitor.missed is not None:
            visitor.missed.pop(name, None)
        if not room.members:
            self._empty_since_s[name] = asyncio.get_running_loop().time()
        return True

    # -- sending ------------------------------------------------------------------------------------------------------

    async def append(
        self, draft: Draft, check: CheckScript = NO_CHECK, args: Sequence[str | bytes | int] = ()
    ) -> Appended:
        """Append an entry to a room's log; its members on all nodes get it.

        Raises:
            AirnodeError: the check refused.
            Unavailable: (503) Redis does not answer.
        """
        if self.outage:
            raise Unavailable("This does not work while the class is cut off from the other servers.")
        loop = asyncio.get_running_loop()
        if len(self._in_flight) < _IN_FLIGHT_MAX:
            self._in_flight[draft.nonce] = loop.time()
        try:
            appended = await self.log.append(draft, check, args)
            self._was_appended(draft, appended)
            return appended
        except Unavailable as error:
            self.outage.begin(error)
            raise
        finally:
            if draft.room not in self._rooms:
                self._in_flight.pop(draft.nonce, None)

    async def append_or_keep(
        self, draft: Draft, check: CheckScript = NO_CHECK, args: Sequence[str | bytes | int] = ()
    ) -> Appended:
        """Append a message. While Redis does not answer, members on this node get it, and the log gets it later.

        Raises:
            AirnodeError: the check refused. Without Redis there is no check.
            Unavailable: (503) too many messages wait for Redis already.
        """
        if not self.outage:
            with contextlib.suppress(Unavailable):
                return await self.append(draft, check, args)
        room = await self.open(draft.room)
        entry = room.waiting(draft.sent_by, draft.client_id)
        if entry is not None:
            return Appended(False, entry.epoch, entry.offset, entry.at, entry.id, b"", "")
        entry = room.deliver_alone(draft, self._section.offline_entries)
        if entry is None:
            self.metrics.dropped(1, "offline_buffer")
            raise Unavailable(
                "Too many messages wait for the chat's Redis (chat.offline_entries); try again later.", retry_after_s=5
            )
        return Appended(True, entry.epoch, entry.offset, entry.at, entry.id, draft.data, "")

    def _was_appended(self, draft: Draft, appended: Appended) -> None:
        if appended.dropped_facts:
            self.metrics.dropped(appended.dropped_facts, "outbox")
        if self.appended_hooks and appended.is_new:
            entry = draft.entry(appended)
            for hook in self.appended_hooks:
                hook(entry)

    async def signal(self, signal: RoomSignal) -> None:
        """Send an event that has no position in the log to the members on all nodes; without Redis, on this node."""
        for hook in self.signal_hooks:
            hook(signal)
        if not self.outage:
            try:
                async with asyncio.timeout(_PING_TIMEOUT_S):
                    await self._bus.publish(channel_of(signal.room), signal)
                return
            except (Unavailable, TimeoutError) as error:
                self._lost(error)
        await self._receive_signal(signal)

    # -- following a room ---------------------------------------------------------------------------------------------

    async def _followed(self, room: LocalRoom) -> None:
        """Follow a room, once for all who wait for it."""
        task = self._following.get(room.name)
        if task is None:
            task = self._following[room.name] = self._tasks.spawn(f"follow-{room.name}", self._follow(room))
            task.add_done_callback(lambda _: self._following.pop(room.name, None))
        await asyncio.shield(task)

    async def _follow(self, room: LocalRoom) -> None:
        try:
            if room.name not in self._subscriptions:
                async with asyncio.timeout(ANSWER_S):
                    self._subscriptions[room.name] = await self._subscribe(room)
            async with room.lock:
                await load(room, self.log, self._section.history_messages)
                if room.members and room.tail.offset:  # they came while Redis was away, and saw no history
                    room.announce_gap(room.tail.epoch, 1, room.tail.offset, room.tail.position)
                room.is_followed = True
                early, room.early = room.early, []
                for entry in early:
                    await self._take(room, entry)
            await self._presence.read(room)
        except (Unavailable, TimeoutError) as error:
            self._lost(error)

    async def _subscribe(self, room: LocalRoom) -> list[AnyChannelSubscription]:
        return await self._bus.subscribe_types(
            channel_of(room.name),
            {
                LogEntry: partial(self._receive, room),
                RoomSignal: self._receive_signal,
                PresenceChange: partial(self._presence.receive, room),
            },
            on_resubscribed=partial(self._resync, room),
        )

    async def _receive(self, room: LocalRoom, entry: LogEntry) -> None:
        if not room.is_followed:
            room.early.append(entry)
            return
        async with room.lock:
            await self._take(room, entry)

    async def _take(self, room: LocalRoom, entry: LogEntry) -> None:
        match room.tail.step(entry):
            case Step.NEXT:
                self._deliver(room, entry)
            case Step.OUT_OF_STEP:
                await self._catch_up(room)

    async def _resync(self, room: LocalRoom) -> None:
        """Read what was published while this node was not connected."""
        if room.is_followed:
            async with room.lock:
                await self._catch_up(room)

    async def _catch_up(self, room: LocalRoom) -> None:
        room.is_behind = True
        try:
            await catch_up(room, self.log, self._section.history_messages, partial(self._deliver, room))
        except Unavailable as error:
            self._lost(error)
        else:
            room.is_behind = False

    def _deliver(self, room: LocalRoom, entry: LogEntry) -> None:
        room.deliver(entry)
        sent_s = self._in_flight.pop(entry.nonce, None)
        if sent_s is not None:
            self.metrics.bus_lag.observe(asyncio.get_running_loop().time() - sent_s)
        for hook in self.hooks:
            hook(room, entry)

    async def _receive_signal(self, signal: RoomSignal) -> None:
        room = self._rooms.get(signal.room)
        if room is not None:
            room.signal(signal_packet(signal.event, bytes(signal.data)), frozenset(signal.only))

    async def _tick_presence(self) -> None:
        await self._presence.tick(self._rooms, is_cut_off=bool(self.outage))

    async def _sweep(self) -> None:
        """Leave rooms that nobody has been in for a while, and forget appends that never came back."""
        now_s, linger_s = asyncio.get_running_loop().time(), max(self._section.room_linger_s, _OPENING_S)
        for name, since_s in list(self._empty_since_s.items()):
            room = self._rooms.get(name)
            if room is None or room.members:
                self._empty_since_s.pop(name, None)
            elif now_s - since_s >= linger_s and not room.pending and name not in self._following:
                del self._rooms[name], self._empty_since_s[name]
                for subscription in self._subscriptions.pop(name, ()):
                    await self._bus.unsubscribe(subscription)
                if not self.outage and name not in self._rooms:
                    await self._presence.close(name)
        for nonce, sent_s in list(self._in_flight.items()):
            if now_s - sent_s > self._section.lease_s:
                del self._in_flight[nonce]

    # -- without Redis ------------------------------------------------------------------------------------------------

    def _lost(self, error: BaseException) -> None:
        self.outage.begin(
            error if isinstance(error, Unavailable) else Unavailable("The chat's Redis does not answer in time.")
        )

    async def _watch_redis(self) -> None:
        failed = 0
        while True:
            is_idle = not (self._rooms or self.outage or failed)
            await asyncio.sleep(_IDLE_PING_S if is_idle else _PING_S)
            try:
                with unavailable("The chat's Redis does not answer."):
                    async with asyncio.timeout(_PING_TIMEOUT_S):
                        await self._bus.client.ping()
                failed = 0
                if self.outage:
                    await self._come_back()
            except Unavailable as error:
                failed += 1
                if failed >= _FAILED_PINGS:
                    self._lost(error)

    async def _come_back(self) -> None:
        """Follow the rooms again, store what was said meanwhile, and then go on with all nodes.

        Raises:
            Unavailable: Redis went away again.
        """
        stored = 0
        while True:
            for room in list(self._rooms.values()):
                await self._restore(room)
                for draft in list(room.pending):
                    self._was_appended(draft, await self.log.append(draft))
                    room.stored(draft)
                    stored += 1
            if not any(room.pending or not room.is_followed or room.is_behind for room in self._rooms.values()):
                break
        self.outage.end(stored)

    async def _restore(self, room: LocalRoom) -> None:
        """Bring a room up to date.

        Raises:
            Unavailable: that failed.
        """
        if not room.is_followed:
            await self._followed(room)
        else:
            await self._resync(room)
        if not room.is_followed or room.is_behind:
            raise Unavailable("The chat's Redis does not answer.")
