"""Engine.IO over HTTP: ``/socket.io/`` of a port."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry

from airnode.chat.engineio.channels import CloseReason, PacketReceiver
from airnode.chat.engineio.handshake import Refusal, check_query, new_sid, node_of, open_packet
from airnode.chat.engineio.limits import ChatLimits
from airnode.chat.engineio.packets import SEPARATOR
from airnode.chat.engineio.session import EngineSession
from airnode.chat.engineio.wire_errors import LimitError, WireError
from airnode.chat.forwarding import FORWARDED, ChatForwarder, FindNode, NodeGone
from airnode.chat.sessions import ChatSessions
from airnode.chat.websocket_link import WebSocketLink, accept_response, end, is_upgrade, take_over
from airnode.errors import TooLarge
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.web.clients import Clients, strip_port
from airnode.web.rate_limit import network_of

PATH = "/socket.io/"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_LOOPBACK = network_of("::1")
_NO_COOKIES: dict[str, str] = {}


class MakeReceiver(Protocol):
    """Makes what takes the messages of a new session."""

    def __call__(
        self,
        session: EngineSession,
        *,
        address: str,
        cookies: Mapping[str, str],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        dropped: Callable[[EngineSession], None],
    ) -> PacketReceiver:
        """Args:
        address, cookies: of the client's first request.
        spawn: starts a task. dropped: to be called for each message that is dropped because the client is slow.
        """
        ...


class ChatGateway(Service):
    """Serves Engine.IO over WebSocket and long-polling; what is in the messages is the receivers' affair.

    Args:
        receiver: makes the receiver of a session, a :class:`SocketClient` for Socket.IO.
        node: names this gateway in sids; the other nodes' ``find_node`` must know it by this name.
        find_node: returns where another gateway is, see :class:`GatewayDirectory`.
        body_timeout_s: within which the body of a POST must arrive.
        allowed_origins: of pages that may connect, besides pages of this host; ``*``: any.
        tasks: for events that are being handled, and the deadlines.
    """

    name = "chat-gateway"

    def __init__(
        self,
        limits: ChatLimits,
        receiver: MakeReceiver,
        clients: Clients,
        *,
        node: str,
        find_node: FindNode,
        allowed_origins: Sequence[str],
        body_timeout_s: float,
        tasks: TaskScope,
        registry: CollectorRegistry,
    ) -> None:
        super().__init__()
        self._limits = limits
        self._receiver = receiver
        self._clients = clients
        self._node = node
        self._find_node = find_node
        self._allowed_origins = allowed_origins
        self._body_timeout_s = body_timeout_s
        self._tasks = tasks
        self.sessions = ChatSessions(limits, tasks, registry)
        self._forwarder = ChatForwarder(limits.ping_interval_s + limits.ping_timeout_s + 5, registry)

    async def start(self) -> None:
        """Watch the sessions' deadlines."""
        await self._forwarder.start()
        await self.sessions.start()

    async def drain(self) -> None:
        """Send the clients away: they come back to another node."""
        await self.sessions.drain()

    async def stop(self) -> None:
        """Close all sessions."""
        await self.sessions.stop()
        await self._tasks.aclose()
        await self._forwarder.stop()

    def add_routes(self, app: web.Application) -> None:
        """Add ``/socket.io/``; OPTIONS is the application's."""
        for path in (PATH, PATH.rstrip("/")):
            resource = app.router.add_resource(path)
            for method in _METHODS:
                resource.add_route(method, self._handle)

    # -- requests --------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            response = await self._answer(request)
        except ConnectionResetError:
            # The client is gone; nobody reads this. An error here would be a traceback in the log for each of them.
            response = _refused(Refusal.BAD_REQUEST)
        if request.headers.get(hdrs.ORIGIN) in self._allowed_origins:
            # Pages of listed origins may use io(url, {withCredentials: true}); browsers forbid it for "*".
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        upgrades = is_upgrade(request)
        refusal = check_query(request.method, request.query, is_upgrade=upgrades)
        if refusal is None and not self._may_connect(request):
            refusal = Refusal.FORBIDDEN
        if refusal is not None:
            return _refused(refusal)
        sid = request.query.get("sid")
        if sid is None:
            return await self._open(request, upgrades=upgrades)
        session = self.sessions.get(sid)
        if session is None:
            return await self._forward(request, sid, upgrades=upgrades)
        session.due(asyncio.get_running_loop().time())
        if session.close_reason is not None:
            return _refused(Refusal.UNKNOWN_SID)
        if upgrades:
            return await self._upgrade(request, session)
        if request.method == "GET":
            return await self._poll(session)
        return await self._post(request, session)

    def _may_connect(self, request: web.Request) -> bool:
        """Return whether the page that the request comes from may connect; apps send no Origin."""
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or "*" in self._allowed_origins or origin in self._allowed_origins:
            return True
        try:
            host = urlsplit(origin).netloc
        except ValueError:  # such as "http://["
            return False
        return strip_port(host) == self._clients.hostname(request)

    async def _open(self, request: web.Request, *, upgrades: bool) -> web.StreamResponse:
        """Open a session.

        Raises:
            Unavailable: (503) this node, or the client's network, has as many clients as it may.
        """
        loop = asyncio.get_running_loop()
        address = self._clients.address(request)
        session = self.sessions.open(new_sid(self._node), _network(address))
        cookies = dict(request.cookies) if hdrs.COOKIE in request.headers else _NO_COOKIES
        session.receiver = self._receiver(
            session, address=address, cookies=cookies, spawn=self._spawn, dropped=self.sessions.dropped
        )
        opening = open_packet(session.sid, self._limits, can_upgrade=not upgrades)
        if not upgrades:
            return _payload(opening.record)
        link = WebSocketLink(session, loop)
        try:
            early = take_over(request, link, accept_response(request) + opening.frames)
        except ConnectionResetError:
            session.close(CloseReason.TRANSPORT_CLOSE)
            raise
        session.attach(link)
        link.data_received(early)
        return await end(request)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.spawn("events", work)

    # -- long-polling ----------------------------------------------------------------------------------------------

    async def _poll(self, session: EngineSession) -> web.Response:
        try:
            await _until(session.begin_poll)
        except WireError:
            return _refused(Refusal.BAD_REQUEST)
        except asyncio.CancelledError:
            session.abandon_poll()
            raise
        return _payload(session.end_poll())

    async def _post(self, request: web.Request, session: EngineSession) -> web.Response:
        try:
            session.begin_post()
        except WireError:
            return _refused(Refusal.BAD_REQUEST)
        try:
            text = (await self._body(request, session.max_message_bytes, session.too_large)).decode()
            loop = asyncio.get_running_loop()
            for number, record in enumerate(text.split(SEPARATOR), 1):
                if session.close_reason is not None:
                    break
                if session.is_full:
                    await _until(session.begin_wait)
                elif number % self._limits.frames_per_turn == 0:
                    session.owner.reached("frames_per_turn")
                    await asyncio.sleep(0)
                session.receive_record(record, loop.time())
        except WireError as error:
            session.broken(error)
            return _refused(Refusal.BAD_REQUEST)
        except UnicodeDecodeError:
            session.close(CloseReason.PARSE_ERROR)
            return _refused(Refusal.BAD_REQUEST)
        except TooLarge:
            session.close(CloseReason.PARSE_ERROR)
            raise
        finally:
            session.end_post()
        return web.Response(body=b"ok", content_type="text/html")

    async def _body(self, request: web.Request, limit: int, too_large: Callable[[], LimitError]) -> bytes:
        """Return the body.

        Raises:
            WireError: it is binary, which revision 4 does not have.
            TooLarge, HTTPRequestTimeout: (413, 408) it is too large or too slow.
        """
        if request.content_type == "application/octet-stream":
            raise WireError("a binary body")
        body = bytearray()
        if (request.content_length or 0) > limit:
            raise TooLarge(f"This is {too_large()}.")
        try:
            async with asyncio.timeout(self._body_timeout_s):
                async for piece in request.content.iter_any():
                    body += piece
                    if len(body) > limit:
                        raise TooLarge(f"This is {too_large()}.")
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        return bytes(body)

    # -- WebSocket after polling, other nodes' sessions --------------------------------------------------------------

    async def _upgrade(self, request: web.Request, session: EngineSession) -> web.StreamResponse:
        if not session.can_upgrade():
            return _refused(Refusal.BAD_REQUEST)
        loop = asyncio.get_running_loop()
        link = WebSocketLink(session, loop)
        session.begin_upgrade(link)
        try:
            early = take_over(request, link, accept_response(request))
        except ConnectionResetError:
            session.channel_lost(link, CloseReason.TRANSPORT_CLOSE)
            raise
        link.data_received(early)
        loop.call_later(self._limits.upgrade_timeout_s, session.drop_candidate, link)
        return await end(request)

    async def _forward(self, request: web.Request, sid: str, *, upgrades: bool) -> web.StreamResponse:
        """Answer for another node's session."""
        node = node_of(sid)
        url = None if node == self._node or FORWARDED in request.headers else await self._find_node(node)
        if url is None:
            return _refused(Refusal.UNKNOWN_SID)
        try:
            if upgrades:
                return await self._forwarder.websocket(request, url)
            limit = self._limits.max_payload_bytes
            body = await self._body(request, limit, self.sessions.too_large) if request.method == "POST" else None
            return await self._forwarder.poll(request, url, body)
        except WireError:
            return _refused(Refusal.BAD_REQUEST)
        except NodeGone:
            return _refused(Refusal.UNKNOWN_SID)


def _network(address: str) -> str:
    """Return the network of a client; empty: this machine, which has no limit."""
    network = network_of(address)
    return "" if network.startswith("127.") or network == _LOOPBACK else network


async def _until(begin: Callable[[Callable[[], None]], bool]) -> None:
    """Wait for what ``begin`` waits for: it returns True if there is nothing to wait for, else calls its argument."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    if not begin(wake):
        await done


def _payload(body: bytes) -> web.Response:
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(body=body, content_type="text/plain", charset="utf-8", headers=headers)


def _refused(refusal: Refusal) -> web.Response:
    status = 403 if refusal is Refusal.FORBIDDEN else 400
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(body=refusal.body(), status=status, content_type="application/json", headers=headers)
