"""One aiohttp application per port, and the sockets under it."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import structlog
from aiohttp import http_exceptions, web
from prometheus_client import CollectorRegistry, Counter

from airnode.web.sockets import BACKLOG

_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

log = structlog.get_logger(__name__)


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log. Bytes that are not HTTP become one line and a count instead of a traceback: a traceback
    quotes the bytes, which may contain a token.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(logging.getLogger("aiohttp.server"))
        self._malformed = Counter("airnode_http_malformed_total", "Requests that are no HTTP", registry=registry)
        self.silent = Counter(
            "airnode_http_silent_connections_total",
            "Connections that were closed because of http.silence_timeout_s",
            registry=registry,
        )

    def debug(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log the errors of malformed requests, which aiohttp logs at this level; drop all other messages."""
        if isinstance(kwargs.get("exc_info"), http_exceptions.HttpProcessingError):
            self.exception(msg, *args, **kwargs)

    def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Count a malformed request and log it in one line; log other errors with their traceback."""
        error = kwargs.get("exc_info")
        if not isinstance(error, http_exceptions.HttpProcessingError):
            super().exception(msg, *args, **kwargs)
            return
        self._malformed.inc()
        log.info("http_request_malformed", remote=args[0] if args else None, problem=type(error).__name__)


class Connections(Protocol):
    """Makes the protocols of a port's connections, for requests that an application answers without aiohttp."""

    def connection(self, other: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        """Return the protocol of a new connection; ``other`` makes aiohttp's, which it may let take over."""
        ...

    async def stop(self) -> None:
        """Close the connections that aiohttp has not taken over."""
        ...


#: An application's own connections, if it has some.
CONNECTIONS = web.AppKey("connections", Connections)


class HttpListener:
    """An application on bound sockets.

    Args:
        shutdown_timeout_s: how long requests that are still open may take when it stops.
        silence_s: ``http.silence_timeout_s``.
    """

    def __init__(
        self,
        app: web.Application,
        sockets: Sequence[socket.socket],
        tls: ssl.SSLContext | None,
        shutdown_timeout_s: float,
        logger: HttpLog,
        *,
        silence_s: float = 30.0,
    ) -> None:
        self.app = app
        self._sockets = sockets
        self._tls = tls
        self._servers: list[asyncio.Server] = []
        self._silence_s = silence_s
        self._log = logger
        #: Connections that had no request yet when they were last looked at.
        self._silent: set[web.RequestHandler] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=logger,
            shutdown_timeout=shutdown_timeout_s,
            keepalive_timeout=75.0,
            handler_cancellation=True,
            # No handler wants compressed bodies, and a megabyte of them may be a gigabyte.
            auto_decompress=False,
        )

    @property
    def server(self) -> web.Server:
        """Return aiohttp's server, for what it counts; the listener must have started.

        Raises:
            RuntimeError: it has not.
        """
        if self._runner.server is None:
            raise RuntimeError("the listener has not started")
        return self._runner.server

    @property
    def port(self) -> int:
        """Return the port number."""
        port: int = self._sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Start to accept connections."""
        await self._runner.setup()
        loop, aiohttp = asyncio.get_running_loop(), self._runner.server
        if aiohttp is None:
            raise RuntimeError("the runner has no server after its setup")
        connections = self.app.get(CONNECTIONS)
        factory = aiohttp if connections is None else partial(connections.connection, aiohttp)
        for sock in self._sockets:
            server = await loop.create_server(factory, sock=sock, ssl=self._tls, backlog=BACKLOG)
            self._servers.append(server)
        self._sweep = loop.call_later(self._silence_s, self._close_silent)

    def _close_silent(self) -> None:
        """Close connections that are open and have sent no whole request: aiohttp waits for the first one for ever."""
        silent = {each for each in self.server.connections if each._request_count == 0}
        for connection in silent & self._silent:
            self._log.silent.inc()
            if connection.transport is not None:
                connection.transport.write(_TIMED_OUT)
            connection.force_close()
        self._silent = silent - self._silent
        self._sweep = asyncio.get_running_loop().call_later(self._silence_s, self._close_silent)

    async def stop(self) -> None:
        """Stop listening, wait for open requests, and close."""
        if self._sweep is not None:
            self._sweep.cancel()
        for server in self._servers:
            server.close()
        if (connections := self.app.get(CONNECTIONS)) is not None:
            await connections.stop()
        await self._runner.cleanup()
        for sock in self._sockets:
            sock.close()
        await asyncio.sleep(0)
