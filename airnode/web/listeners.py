"""One aiohttp application per port, and the sockets under it."""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from aiohttp import http_exceptions, web
from prometheus_client import CollectorRegistry, Counter

from airnode.errors import StartupError

log = structlog.get_logger(__name__)

_BACKLOG = 1024


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log, in which bytes that are no HTTP are one line and a count instead of a traceback that quotes them:
    what is quoted may hold a token.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(logging.getLogger("aiohttp.server"))
        self._malformed = Counter("airnode_http_malformed_total", "Requests that are no HTTP", registry=registry)

    def debug(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """What aiohttp says of a first line that is no HTTP, and chatter."""
        if isinstance(kwargs.get("exc_info"), http_exceptions.HttpProcessingError):
            self.exception(msg, *args, **kwargs)

    def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Errors of a request that never reached a handler."""
        error = kwargs.get("exc_info")
        if not isinstance(error, http_exceptions.HttpProcessingError):
            super().exception(msg, *args, **kwargs)
            return
        self._malformed.inc()
        log.info("http_request_malformed", remote=args[0] if args else None, problem=type(error).__name__)


def bind(host: str, port: int, what: str, how: str) -> list[socket.socket]:
    """Bind TCP sockets on all addresses of ``host``; port 0 takes any free one, the same for all of them.

    Args:
        what: the port's purpose, for the error. how: the flag that changes it.

    Raises:
        StartupError: one plain sentence: in use, not permitted, no such address.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartupError(f"Cannot listen on {host!r}: {error.strerror or error}; set another with --host.") from None
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sockets.append(_bound(family, kind, protocol, address, sockets))
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise StartupError(_why(error, host, port, what, how)) from None
    return sockets


def _bound(
    family: int, kind: int, protocol: int, address: tuple[object, ...], earlier: Sequence[socket.socket]
) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        port = earlier[0].getsockname()[1] if earlier else address[1]
        sock.bind((address[0], port, *address[2:]))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _why(error: OSError, host: str, port: int, what: str, how: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} for {what} is in use by another program; stop it, or choose another port with {how} "
            "(0 takes any free one)."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} for {what} needs more rights than this user has; choose one above 1023 with {how}."
    return f"Cannot listen on {host}:{port} for {what}: {error.strerror or error}; see --host and {how}."


def tls_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """The server context for a certificate and its key; None where there is none.

    Raises:
        StartupError: a file is missing or they do not belong together.
    """
    if cert is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert.expanduser(), key.expanduser())
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise StartupError(f"The TLS certificate {cert} with the key {key} cannot be used: {reason}.") from None
    return context


class Listener:
    """An application on bound sockets.

    Args:
        shutdown_timeout_s: how long requests that are still open may take when it stops.
    """

    def __init__(
        self,
        app: web.Application,
        sockets: Sequence[socket.socket],
        tls: ssl.SSLContext | None,
        shutdown_timeout_s: float,
        logger: HttpLog,
    ) -> None:
        self.app = app
        self._sockets = sockets
        self._tls = tls
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=logger,
            shutdown_timeout=shutdown_timeout_s,
            keepalive_timeout=75.0,
            handler_cancellation=True,
        )

    @property
    def port(self) -> int:
        """The port number."""
        port: int = self._sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Serve."""
        await self._runner.setup()
        for sock in self._sockets:
            await web.SockSite(self._runner, sock, ssl_context=self._tls, backlog=_BACKLOG).start()

    async def stop(self) -> None:
        """Stop listening, let open requests end, close."""
        await self._runner.cleanup()
        for sock in self._sockets:
            sock.close()
        await asyncio.sleep(0)
