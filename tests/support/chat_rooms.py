"""The chat of a node in this process, and a small Socket.IO client that remembers what it got."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.removals import Removals
from airnode.bus.subscription import BusMetrics
from airnode.chat.assembly import ChatParts, make_chat
from airnode.config.sections.chat import ChatSection
from airnode.config.sections.http import HttpSection
from airnode.config.sections.redis import RedisSection
from airnode.kernel.tasks import TaskScope
from airnode.web.addresses import Addresses, PortName
from airnode.web.apps import build_app
from airnode.web.http_listener import HttpListener, HttpLog
from airnode.web.tokens import Tokens
from tests.support.chat_contract import ChatContract
from tests.support.waiting import eventually

CONTRACT = ChatContract()
SECRET = "0123456789abcdef0123456789abcdef-chat"


class ChatRig:
    """One node: a bus, the chat, and its port."""

    def __init__(self, redis_url: str, node_id: str = "node-a", **section: object) -> None:
        self.registry = CollectorRegistry()
        self.tokens = Tokens(SECRET, 3600)
        self.node_id = node_id
        self._bus = Bus(RedisSection(url=redis_url), BusMetrics(self.registry))
        self._section = ChatSection(**section)
        self._listener: HttpListener | None = None
        self._scopes: list[TaskScope] = []
        #: {room: ids of students whose players this node serves}.
        self.watched: dict[str, set[str]] = {}
        self.chat: ChatParts
        self.removals: Removals
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def rooms(self):
        return self.chat.application.rooms

    def _scope(self, name: str) -> TaskScope:
        self._scopes.append(TaskScope(name))
        return self._scopes[-1]

    async def start(self) -> "ChatRig":
        sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = sock.getsockname()[1]
        http = HttpSection(host="127.0.0.1")
        self.removals = Removals(self._bus, self._scope("removals"), max_per_room=self._section.max_removed)
        self.tokens.refuse_removed(self.removals.is_removed)
        self.chat = make_chat(
            self._bus,
            self._section,
            http,
            node_id=self.node_id,
            tokens=self.tokens,
            removals=self.removals,
            addresses=Addresses("127.0.0.1", "127.0.0.1", False, {PortName.MEDIA: self.port}),
            port=PortName.MEDIA,
            local_host="127.0.0.1",
            registry=self.registry,
            tasks=self._scope,
            watching=lambda: self.watched,
        )
        app = build_app(http, [self.chat.add_routes], lambda: None, lambda: ())
        self._listener = HttpListener(app, [sock], None, 2.0, HttpLog(self.registry))
        await self._bus.start()
        await self.removals.start()
        for service in self.chat.services:
            await service.start()
        await self._listener.start()
        return self

    async def stop(self) -> None:
        for service in reversed(self.chat.services):
            await service.drain()
        for service in reversed(self.chat.services):
            await service.stop()
        if self._listener is not None:
            await self._listener.stop()
        await self.removals.stop()
        await self._bus.stop()

    async def die(self) -> None:
        """Stop at once, like a process that is killed: nothing is said to Redis, connections are cut."""
        for scope in self._scopes:
            await scope.aclose()
        if self._listener is not None:
            await self._listener.stop()
        await self.chat.gateway._forwarder.stop()
        await self._bus.stop()

    def token(self, user: str, role: str = "student", room: str = "math") -> str:
        return self.tokens.issue(user, role, room)[0]

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the metric's samples that have these labels."""
        samples = (sample for family in self.registry.collect() for sample in family.samples if sample.name == name)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


class Refused(Exception):
    """CONNECT_ERROR, or an ack with an error."""

    def __init__(self, body: Any) -> None:
        super().__init__(str(body))
        self.body = body


class RoomClient:
    """A client over WebSocket. ``events`` is everything it got, in order: (name, arguments)."""

    def __init__(self, http: aiohttp.ClientSession, url: str, **auth: object) -> None:
        self._http = http
        self._url = url
        self.auth = auth
        self.events: list[tuple[str, list[Any]]] = []
        self.pid = ""
        self.position = ""
        self.recovered = False
        self.is_closed = False
        self._acks: dict[int, asyncio.Future[list[Any]]] = {}
        self._ws: aiohttp.ClientWebSocketResponse
        self._reading: asyncio.Task[None] | None = None
        self._paused = asyncio.Event()
        self._paused.set()

    async def connect(self, url: str | None = None) -> "RoomClient":
        self._url = url or self._url
        self._ws = await self._http.ws_connect(f"{self._url}/socket.io/?EIO=4&transport=websocket", max_msg_size=0)
        assert (await self._ws.receive()).data.startswith("0")
        back = {"pid": self.pid} if self.pid else {}
        if self.position:
            back["offset"] = self.position
        await self._ws.send_str("40" + orjson.dumps({**back, **self.auth}).decode())
        answer = (await self._ws.receive()).data
        if answer.startswith("44"):
            await self._ws.close()
            raise Refused(orjson.loads(answer[2:]))
        assert answer.startswith("40"), answer
        pid = orjson.loads(answer[2:])["pid"]
        self.recovered, self.pid, self.is_closed = pid == self.pid, pid, False
        self._reading = asyncio.get_running_loop().create_task(self._read())
        return self

    async def drop(self) -> None:
        """Cut the connection without a word."""
        transport = self._ws._response.connection and self._ws._response.connection.transport
        if transport is not None:
            transport.abort()
        await self._end()

    async def close(self) -> None:
        """Leave as ``socket.disconnect()`` does."""
        if not self._ws.closed:
            await self._ws.send_str("41")
            await self._ws.close()
        await self._end()

    async def _end(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        self._ws._response.close()

    async def ask(self, event: str, *args: object) -> dict[str, Any]:
        """Emit an event, and return its acknowledgement."""
        number = len(self._acks)
        answer = self._acks[number] = asyncio.get_running_loop().create_future()
        await self._ws.send_str(f"42{number}" + orjson.dumps([event, *args]).decode())
        (found,) = await asyncio.wait_for(answer, 20)
        if not found["ok"]:
            CONTRACT.check_error(found["error"])
            raise Refused(found["error"])
        CONTRACT.check_request(event, list(args), found)
        return found

    async def emit(self, event: str, *args: object) -> None:
        await self._ws.send_str("42" + orjson.dumps([event, *args]).decode())

    def pause_reading(self) -> None:
        """Stop to read, so that the server's buffers fill up."""
        self._paused.clear()
        self._ws._response.connection.transport.pause_reading()

    def resume_reading(self) -> None:
        self._ws._response.connection.transport.resume_reading()
        self._paused.set()

    def got(self, event: str) -> list[Any]:
        """Return the first argument of each event of this name."""
        return [args[0] for name, args in self.events if name == event]

    @property
    def texts(self) -> list[str]:
        return [each["content"] for each in self.got("message")]

    async def until(self, holds: Callable[["RoomClient"], bool], what: str, within_s: float = 20) -> None:
        await eventually(lambda: holds(self), within_s, what)

    async def _read(self) -> None:
        async for message in self._ws:
            await self._paused.wait()
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            text: str = message.data
            if text == "2":
                await self._ws.send_str("3")
            elif text.startswith("42"):
                name, *args = orjson.loads(text[2:])
                if len(args) > 1 and isinstance(args[-1], str):
                    self.position = args[-1]
                CONTRACT.check_event(name, args)
                self.events.append((name, args))
            elif text.startswith("43"):
                head = text[2:].partition("[")[0]
                self._acks[int(head)].set_result(orjson.loads(text[2 + len(head) :]))
            elif text.startswith("41"):
                break
        self.is_closed = True
