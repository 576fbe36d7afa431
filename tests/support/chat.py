"""A chat gateway on a real port, with the application that the two protocols' conformance suites ask for."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry

from airnode.chat.engineio.limits import ChatLimits
from airnode.chat.forwarding import FindNode
from airnode.chat.gateway import ChatGateway, MakeReceiver
from airnode.chat.socketio.application import ConnectRefused
from airnode.chat.socketio.client import SocketClient
from airnode.chat.socketio.socket import Socket
from airnode.config.sections.http import HttpSection
from airnode.kernel.tasks import TaskScope
from airnode.web.apps import build_app
from airnode.web.clients import Clients
from airnode.web.http_listener import HttpListener, HttpLog

#: The times that the conformance suites ask for.
SUITE_LIMITS = ChatLimits(ping_interval_s=0.3, ping_timeout_s=0.2, connect_timeout_s=1.0)


@dataclass
class EchoApplication:
    """Emits ``auth`` on connect, answers ``message`` with ``message-back`` and acknowledges with what it got."""

    sockets: list[Socket] = field(default_factory=list)
    events: list[tuple[str, list[object]]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    caught_up: list[Socket] = field(default_factory=list)

    async def connect(self, socket: Socket, auth: object) -> Mapping[str, object]:
        if isinstance(auth, dict) and auth.get("token") == "wrong":
            raise ConnectRefused("Not authorized", {"code": 7})
        self.sockets.append(socket)
        socket.emit("auth", auth or {})
        return {}

    async def event(self, socket: Socket, name: str, args: list[object]) -> list[object] | None:
        self.events.append((name, args))
        if name == "message":
            socket.emit("message-back", *args)
        elif name == "bug":
            raise ZeroDivisionError("a bug of the application")
        return args

    def drained(self, socket: Socket) -> None:
        self.caught_up.append(socket)

    def disconnected(self, socket: Socket, reason: str) -> None:
        self.left.append(str(reason))


@dataclass
class ChatServer:
    """One gateway and its port."""

    gateway: ChatGateway
    application: EchoApplication
    port: int
    registry: CollectorRegistry

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


async def _alone(node: str) -> str | None:
    return None


@asynccontextmanager
async def chat_server(
    limits: ChatLimits = SUITE_LIMITS,
    *,
    node: str = "node-a",
    find_node: FindNode | None = None,
    application: EchoApplication | None = None,
    origins: tuple[str, ...] = ("*",),
    proxies: tuple[str, ...] = (),
    receiver: MakeReceiver | None = None,
    namespaces: frozenset[str] = frozenset({"/", "/custom"}),
) -> AsyncIterator[ChatServer]:
    registry = CollectorRegistry()
    application = application or EchoApplication()
    http = HttpSection(host="127.0.0.1", allowed_origins=origins)
    tasks = TaskScope("chat")
    gateway = ChatGateway(
        limits,
        receiver or partial(SocketClient, application=application, namespaces=namespaces),
        Clients(proxies),
        node=node,
        find_node=find_node or _alone,
        allowed_origins=origins,
        body_timeout_s=http.request_timeout_s,
        tasks=tasks,
        registry=registry,
    )
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    app: web.Application = build_app(http, [gateway.add_routes], lambda: None, lambda: ())
    listener = HttpListener(app, [sock], None, 2.0, HttpLog(registry))
    await gateway.start()
    await listener.start()
    try:
        yield ChatServer(gateway, application, listener.port, registry)
    finally:
        await gateway.stop()
        await listener.stop()


TEXT = {"Content-Type": "text/plain;charset=UTF-8"}


class EngineClient:
    """Speaks Engine.IO byte by byte, so that a test can break it."""

    def __init__(self, server: ChatServer, http: aiohttp.ClientSession) -> None:
        self.url = server.url
        self.http = http

    def address(self, query: str) -> str:
        return f"{self.url}/socket.io/?{query}"

    async def open_polling(self) -> str:
        """Open a session by polling; return its sid."""
        status, text = await self.get("EIO=4&transport=polling")
        assert status == 200, text
        return str(orjson.loads(text[1:])["sid"])

    async def get(self, query: str) -> tuple[int, str]:
        async with self.http.get(self.address(query)) as answer:
            return answer.status, await answer.text()

    async def poll(self, sid: str) -> tuple[int, str]:
        return await self.get(f"EIO=4&transport=polling&sid={sid}")

    async def post(self, sid: str, body: str | bytes) -> tuple[int, str]:
        url = self.address(f"EIO=4&transport=polling&sid={sid}")
        async with self.http.post(url, data=body, headers=TEXT) as answer:
            return answer.status, await answer.text()

    async def websocket(self, sid: str | None = None) -> aiohttp.ClientWebSocketResponse:
        query = "EIO=4&transport=websocket" + (f"&sid={sid}" if sid else "")
        return await self.http.ws_connect(self.address(query), max_msg_size=0)

    async def open_websocket(self) -> aiohttp.ClientWebSocketResponse:
        """Open a session by WebSocket, and read its open packet."""
        found = await self.websocket()
        assert (await receive(found)).startswith("0")
        return found

    async def connect(self, packet: str = "40") -> aiohttp.ClientWebSocketResponse:
        """Open a session by WebSocket, and enter a namespace."""
        found = await self.open_websocket()
        await found.send_str(packet)
        assert (await receive(found)).startswith("40")
        assert '"auth"' in await receive(found)
        return found


async def receive(websocket: aiohttp.ClientWebSocketResponse, *, within_s: float = 5.0) -> str:
    """Return the next text frame that is no ping."""
    while True:
        message = await asyncio.wait_for(websocket.receive(), within_s)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        if message.data != "2":
            return str(message.data)


async def receive_binary(websocket: aiohttp.ClientWebSocketResponse) -> bytes:
    while True:
        message = await asyncio.wait_for(websocket.receive(), 5)
        if message.type is aiohttp.WSMsgType.BINARY:
            return bytes(message.data)
        assert message.data == "2", message


async def closed(websocket: aiohttp.ClientWebSocketResponse, *, within_s: float = 5.0) -> int | None:
    """Wait until the server closed; return the code of its close frame."""
    async with asyncio.timeout(within_s):
        while not websocket.closed:
            await websocket.receive()
    return websocket.close_code
