"""The bridge's side that has sockets: events both ways, and answers to the requests of Node.js servers."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter
from redis.exceptions import RedisError

from airnode.bus.client import Bus
from airnode.chat.bridge.wire import (
    BROADCASTS,
    OWN_UIDS,
    REQUEST,
    RESPONSE,
    NodeRequest,
    NotNodeFormat,
    RequestType,
    SocketTarget,
    ack_response,
    broadcast,
    read_broadcast,
    read_request,
    response,
)
from airnode.chat.rooms.application import ChatApplication
from airnode.chat.rooms.log import LogEntry
from airnode.chat.rooms.payloads import NAMESPACE, payload
from airnode.chat.rooms.people import Visitor
from airnode.chat.rooms.rooms import RoomSignal
from airnode.chat.socketio.packets import encode_event
from airnode.chat.socketio.socket import Socket
from airnode.errors import AirnodeError
from airnode.kernel.backoff import Backoff
from airnode.kernel.logging import LogLimiter
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

log = structlog.get_logger(__name__)

#: Events that wait to be sent to Node.js; more than these are dropped and counted.
_UNSENT_MAX = 1000
_ACKS_MAX = 10_000


class NodeBridge(Service):
    """Shares rooms with Node.js servers on the same Redis.

    An event of a room that this node's clients cause is published to Node.js by this node; an event of a Node.js server
    reaches the sockets of every node through that node itself. So each socket gets each event once.
    """

    name = "chat-bridge"

    def __init__(
        self, bus: Bus, application: ChatApplication, node_id: str, registry: CollectorRegistry, tasks: TaskScope
    ) -> None:
        super().__init__()
        self._bus = bus
        self._application = application
        self._uid = f"{OWN_UIDS}{node_id}"
        self._tasks = tasks
        #: (channel, message) for Node.js. Owned by this class.
        self._unsent: deque[tuple[str, bytes]] = deque()
        self._wake = asyncio.Event()
        self._ready = asyncio.Event()
        self._waiting_acks = 0
        self._limiter = LogLimiter(1.0)
        self._count = Counter(
            "airnode_chat_bridge_total",
            "Bridge to Node.js: sent, received, requests, malformed, dropped (too many wait).",
            ["what"],
            registry=registry,
        )
        application.rooms.appended_hooks.append(self._appended)
        application.rooms.signal_hooks.append(self._signalled)

    async def start(self) -> None:
        """Listen; return once Redis has confirmed it, or does not answer."""
        listening = self._tasks.spawn("listen", self._listen())
        self._tasks.spawn("send", self._send())
        waiting = self._tasks.spawn("ready", self._ready.wait())
        await asyncio.wait({listening, waiting}, timeout=5, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """End the bridge."""
        await self._tasks.aclose()

    # -- to Node.js ---------------------------------------------------------------------------------------------------

    def _appended(self, entry: LogEntry) -> None:
        if not entry.audience:
            self._put(entry.room, entry.event, msgspec.json.decode(payload(entry)))

    def _signalled(self, signal: RoomSignal) -> None:
        if not signal.only:
            self._put(signal.room, signal.event, msgspec.json.decode(signal.data))

    def _put(self, room: str, event: str, body: object) -> None:
        if len(self._unsent) >= _UNSENT_MAX:
            self._count.labels("dropped").inc()
            self._application.rooms.metrics.dropped(1, "bridge")
            return
        self._unsent.append(broadcast(self._uid, room, event, [body]))
        self._wake.set()

    async def _send(self) -> None:
        backoff = Backoff()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._unsent:
                try:
                    await self._bus.client.publish(*self._unsent[0])
                except (RedisError, OSError, TimeoutError, AirnodeError):
                    await backoff.pause()
                    continue
                backoff.reset()
                self._unsent.popleft()
                self._count.labels("sent").inc()

    # -- from Node.js -------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        backoff = Backoff()
        while True:
            try:
                async with self._bus.client.pubsub() as pubsub:
                    await pubsub.psubscribe(BROADCASTS)
                    await pubsub.subscribe(REQUEST)
                    async for message in pubsub.listen():
                        backoff.reset()
                        await self._received(message)
            except (RedisError, OSError, TimeoutError, AirnodeError) as error:
                log.warning("chat_bridge_lost", error=str(error), detail="events of Node.js servers are missed")
            await backoff.pause()

    async def _received(self, message: dict[str, Any]) -> None:
        kind, data = message["type"], message["data"]
        try:
            if kind == "pmessage":
                self._deliver(data)
            elif kind == "message":
                await self._answer(data)
            elif kind == "subscribe":
                self._ready.set()
        except NotNodeFormat as error:
            self._count.labels("malformed").inc()
            if self._limiter.held_back("malformed") is not None:
                log.warning("chat_bridge_malformed", what=str(error), channel=str(message["channel"])[:100])

    def _deliver(self, data: bytes) -> None:
        event = read_broadcast(data)
        if event is None:
            return
        self._count.labels("received").inc()
        try:
            packet = encode_event(NAMESPACE, event.name, event.args)
        except (TypeError, RecursionError):  # nested too deeply, or keys that are no texts
            raise NotNodeFormat("an event that JSON cannot have") from None
        for visitor in self._meant(event.target):
            visitor.wire.deliver(packet)

    def _meant(self, target: SocketTarget) -> list[Visitor]:
        """Return the visitors of this node that are meant."""
        found: Iterable[Visitor] = self._application.visitors
        if target.rooms:
            chosen: dict[Visitor, None] = {}
            for name in target.rooms:
                room = self._application.rooms.rooms.get(name)
                chosen |= dict.fromkeys(room.members if room is not None else ())
                alone = self._application.by_sid.get(name)
                if alone is not None:
                    chosen[alone] = None
            found = chosen
        return [each for each in found if target.but.isdisjoint(_rooms_of(each))] if target.but else list(found)

    # -- requests -----------------------------------------------------------------------------------------------------

    async def _answer(self, data: bytes) -> None:
        request = read_request(data)
        if request is None:
            return
        self._count.labels("requests").inc()
        members = await self._done(request)
        if members is not None and request.request_id:
            await self._bus.client.publish(RESPONSE, response(request, **members))

    async def _done(self, request: NodeRequest) -> dict[str, object] | None:
        """Do what is asked; return the members of the answer, or None without one."""
        meant = self._meant(request.target)
        if request.sid:
            alone = self._application.by_sid.get(request.sid)
            if alone is None:
                return None
            meant = [alone]
        match request.type:
            case RequestType.SOCKETS:
                return {"sockets": [_sid(each) for each in meant]}
            case RequestType.ALL_ROOMS:
                return {"rooms": [*self._application.rooms.rooms, *self._application.by_sid]}
            case RequestType.REMOTE_FETCH:
                return {"sockets": [_description(each) for each in meant]}
            case RequestType.REMOTE_JOIN:
                await self._join(meant, request.rooms)
            case RequestType.REMOTE_LEAVE:
                for visitor in meant:
                    for room in request.rooms:
                        self._application.rooms.remove(visitor, room)
            case RequestType.REMOTE_DISCONNECT:
                for visitor in meant:
                    visitor.wire.disconnect()
            case RequestType.SERVER_SIDE_EMIT:
                return {"type": int(RequestType.SERVER_SIDE_EMIT), "data": None}
            case RequestType.BROADCAST:
                return self._ask_clients(request, meant)
        return {}

    async def _join(self, visitors: list[Visitor], rooms: tuple[str, ...]) -> None:
        for name in rooms:
            room = await self._application.rooms.open(name)
            for visitor in visitors:
                self._application.rooms.add(visitor, room)

    def _ask_clients(self, request: NodeRequest, visitors: list[Visitor]) -> dict[str, object]:
        """Emit an event with acknowledgement to clients; return the answer that says how many they are."""
        asked = visitors[: max(0, _ACKS_MAX - self._waiting_acks)]
        for visitor in asked:
            self._tasks.spawn("ack", self._ask_client(request, visitor))
        return {"type": int(RequestType.BROADCAST_CLIENT_COUNT), "clientCount": len(asked)}

    async def _ask_client(self, request: NodeRequest, visitor: Visitor) -> None:
        event, socket = request.event, visitor.wire
        if event is None or not isinstance(socket, Socket):
            return
        self._waiting_acks += 1
        try:
            answer = await socket.emit_with_ack(event.name, *event.args, timeout_s=request.timeout_s)
            await self._bus.client.publish(RESPONSE, ack_response(request, answer[0] if answer else None))
        except (AirnodeError, RedisError, OSError, TimeoutError, TypeError, RecursionError):
            # The last two: an event, or a client's answer, that is nested too deeply to be encoded again.
            return  # Node.js reports the missing answer to whoever asked
        finally:
            self._waiting_acks -= 1


def _sid(visitor: Visitor) -> str:
    return str(getattr(visitor.wire, "sid", ""))


def _rooms_of(visitor: Visitor) -> set[str]:
    return {_sid(visitor), *visitor.rooms}


def _description(visitor: Visitor) -> dict[str, object]:
    """Return a socket as ``fetchSockets`` shows it."""
    now_ms = time.time_ns() // 1_000_000
    handshake = {
        "headers": {},
        "time": "",
        "address": str(getattr(visitor.wire, "address", "")),
        "xdomain": False,
        "secure": False,
        "issued": now_ms,
        "url": "/socket.io/",
        "query": {},
        "auth": {},
    }
    data = {"user": msgspec.to_builtins(visitor.user)}
    return {"id": _sid(visitor), "handshake": handshake, "rooms": [_sid(visitor), *visitor.rooms], "data": data}
