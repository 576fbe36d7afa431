"""Requests of sessions that another node has: passed on to it, so that a balancer needs no sticky sessions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry

from airnode.chat.websocket_link import end, take_over
from airnode.kernel.meter import Meter
from airnode.kernel.service import Service

#: Marks a request that was passed on: it is not passed on again. It gives no right, so it needs no proof.
FORWARDED = "Airnode-Forwarded"
_CONNECT_TIMEOUT_S = 3.0
_MAX_HEAD_BYTES = 8192
_COPIED_HEADERS = (hdrs.SEC_WEBSOCKET_KEY, hdrs.SEC_WEBSOCKET_VERSION)

#: Returns where a node's Engine.IO is, as ``http://host:port``; None: there is no such node.
FindNode = Callable[[str], Awaitable[str | None]]


class NodeGone(Exception):
    """The node of a session does not answer, so the session is lost."""


class ChatForwarder(Service):
    """Passes requests on to other nodes.

    Args:
        silence_s: longest time that a node may take to answer a poll.
    """

    name = "chat-forwarder"

    def __init__(self, silence_s: float, registry: CollectorRegistry) -> None:
        super().__init__()
        self._silence_s = silence_s
        self._session: aiohttp.ClientSession | None = None
        self._forwarded = Meter(
            "airnode_chat_forwarded_total",
            "Requests of sessions of other nodes that were passed on",
            ("kind",),
            registry=registry,
        )

    async def start(self) -> None:
        """Open the HTTP session."""
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=0)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def stop(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def poll(self, request: web.Request, node_url: str, body: bytes | None) -> web.Response:
        """Return the node's answer to a request of long-polling.

        Raises:
            NodeGone: it does not answer.
        """
        if self._session is None:
            raise NodeGone
        self._forwarded.add(1, "polling")
        headers = {FORWARDED: "1", "Accept-Encoding": "identity", hdrs.CONTENT_TYPE: "text/plain;charset=UTF-8"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S, sock_read=self._silence_s)
        url = f"{node_url}{request.rel_url.raw_path_qs}"
        try:
            async with self._session.request(
                request.method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                kind = {hdrs.CONTENT_TYPE: answer.headers.get(hdrs.CONTENT_TYPE, "text/plain")}
                return web.Response(body=await answer.read(), status=answer.status, headers=kind)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NodeGone from error

    async def websocket(self, request: web.Request, node_url: str) -> web.StreamResponse:
        """Connect the client's WebSocket with the node. Returns only a refusal of the node.

        Raises:
            NodeGone: it does not answer, or refuses.
        """
        self._forwarded.add(1, "websocket")
        upstream = await _open_upstream(request, node_url)
        client = _Pipe()
        try:
            early = take_over(request, client, upstream.head)
        except ConnectionResetError:
            upstream.close()
            raise
        upstream.join(client)
        client.data_received(early)
        return await end(request)


async def _open_upstream(request: web.Request, node_url: str) -> "_Upstream":
    """Return a connection to the node on which it accepted the WebSocket."""
    loop = asyncio.get_running_loop()
    parts = urlsplit(node_url)
    lines = [
        f"GET {request.rel_url.raw_path_qs} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"{FORWARDED}: 1",
        *(f"{name}: {request.headers[name]}" for name in _COPIED_HEADERS if name in request.headers),
    ]
    upstream: _Upstream | None = None
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, upstream = await loop.create_connection(
                _Upstream, parts.hostname or "", parts.port or 0, ssl=True if parts.scheme == "https" else None
            )
            upstream.transport.write("\r\n".join([*lines, "", ""]).encode())
            await upstream.accepted
    except BaseException as error:  # the client may have gone meanwhile
        if upstream is not None:
            upstream.close()
        if isinstance(error, (OSError, TimeoutError)):
            raise NodeGone from error
        raise
    return upstream


class _Pipe(asyncio.Protocol):
    """One end of two joined connections: what comes here goes out there, as fast as there takes it."""

    transport: asyncio.Transport
    peer: "_Pipe | None" = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        # uvloop's transports are no subclass of asyncio.Transport.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Write it to the other end."""
        if self.peer is not None:
            self.peer.transport.write(data)

    def pause_writing(self) -> None:
        """This end takes no more: read no more from the other."""
        if self.peer is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """This end takes more again."""
        if self.peer is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Close the other end, after what it was sent."""
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.peer = None
            peer.transport.close()

    def close(self) -> None:
        """Close this end."""
        self.transport.close()


class _Upstream(_Pipe):
    """The end at the node: first it waits for the head of the node's answer.

    Attributes:
        head: the answer's head, with what came after it.
    """

    def __init__(self) -> None:
        self.head = b""
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Read the head; later, write to the client."""
        if self.peer is not None:
            super().data_received(data)
            return
        self.head += data
        if self.accepted.done():
            return
        if b"\r\n\r\n" in self.head:
            if self.head.startswith(b"HTTP/1.1 101 "):
                self.accepted.set_result(None)
            else:
                self.accepted.set_exception(ConnectionRefusedError("the node refuses the WebSocket"))
        elif len(self.head) > _MAX_HEAD_BYTES:
            self.accepted.set_exception(ConnectionAbortedError("the node does not answer with HTTP"))

    def join(self, client: _Pipe) -> None:
        """Join both ends."""
        self.peer, client.peer = client, self
        if self.transport.is_closing():
            client.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The node closed the connection."""
        if not self.accepted.done():
            self.accepted.set_exception(ConnectionResetError("the node closed the connection"))
        super().connection_lost(exc)
