"""The RTMP(S) server: accepts connections, limits their number, ends them.

It uses a :class:`PublishAuthority` and an :class:`IngestHub` (``publishing.py``).
"""

import asyncio
import socket
import ssl
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from airnode.config.sections.rtmp import RtmpSection
from airnode.errors import StartupError
from airnode.kernel.logging import LogLimiter
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.media.rtmp.chunks import ChunkLimits
from airnode.media.rtmp.connection import LINGER_S, ConnectionContext, RtmpConnection
from airnode.media.rtmp.metrics import RtmpMetrics
from airnode.media.rtmp.publishing import (
    Ingest,
    IngestHub,
    PublishAuthority,
    PublisherInfo,
    PublishRefusal,
    PublishRequest,
)
from airnode.media.rtmp.session_limits import SessionLimits
from airnode.web.sockets import bind, tls_context

__all__ = [
    "Ingest",
    "IngestHub",
    "PublishAuthority",
    "PublishRefusal",
    "PublishRequest",
    "PublisherInfo",
    "RtmpServer",
]

log = structlog.get_logger(__name__)

_ACCEPT_PAUSE_S: Final = 0.5
_BACKLOG: Final = 128
_REFUSAL_LOG_INTERVAL_S: Final = 1.0
#: TCP keep-alive: seconds of silence before the first probe, seconds between two probes, number of probes without an
#: answer until the kernel closes the connection.
_KEEPALIVE_OPTIONS: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_SHUTDOWN_STATUS: Final = "The server is shutting down; connect again."


class RtmpServer(Service):
    """RTMP ingest on ``settings.port``, and RTMPS on ``settings.tls_port`` if it is set.

    Args:
        host: the address to listen on.
        registry: the registry of its metrics.
    """

    name = "rtmp"

    def __init__(
        self,
        settings: RtmpSection,
        host: str,
        authority: PublishAuthority,
        hub: IngestHub,
        registry: CollectorRegistry,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._host = host
        self._metrics = RtmpMetrics(registry)
        self._tasks = TaskScope("rtmp")
        self._acceptors = TaskScope("rtmp-accept")
        self._sockets: list[socket.socket] = []
        self._tls: ssl.SSLContext | None = None
        #: Connections whose transport is open. Changed by _changed() only.
        self._connections: set[RtmpConnection] = set()
        #: Accepted sockets without a connection: their TLS handshake is not done.
        self._opening = 0
        self._draining = False
        self._no_connections = asyncio.Event()
        self._no_connections.set()
        self._refusal_limiter = LogLimiter(_REFUSAL_LOG_INTERVAL_S)
        self.port = settings.port
        self.tls_port = settings.tls_port
        self._context = ConnectionContext(
            session_limits(settings), authority, hub, self._metrics, self._tasks, self._refuse, self._changed
        )

    async def start(self) -> None:
        """Listen. The ports are bound when it returns.

        Raises:
            StartupError: a port cannot be bound, or the certificate cannot be used.
        """
        settings = self._settings
        if settings.tls_port is not None:
            self._tls = await asyncio.to_thread(tls_context, settings.tls_cert, settings.tls_key, "rtmp")
            if self._tls is None:
                raise StartupError("RTMPS needs a certificate: set rtmp.tls_cert and rtmp.tls_key.")
        self.port = await self._listen(settings.port, "RTMP", "--rtmp-port", None)
        if settings.tls_port is not None:
            self.tls_port = await self._listen(settings.tls_port, "RTMPS", "rtmp.tls_port", self._tls)

    async def drain(self) -> None:
        """Refuse new publishers and disconnect the present ones.

        Their encoders connect again, to another node if the master sends them there. Encoders and pages survive this,
        so there is no reason to wait for the end of a class.
        """
        self._draining = True
        for connection in list(self._connections):
            connection.disconnect(_SHUTDOWN_STATUS)

    async def stop(self) -> None:
        """End all connections with a status that encoders show."""
        self._draining = True
        await self._acceptors.aclose()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        for connection in list(self._connections):
            connection.disconnect(_SHUTDOWN_STATUS)
        try:
            async with asyncio.timeout(LINGER_S / 2):
                await self._no_connections.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
        await self._tasks.aclose()
        await self._no_connections.wait()

    async def _listen(self, port: int, protocol: str, option: str, tls: ssl.SSLContext | None) -> int:
        sockets = await asyncio.to_thread(bind, self._host, port, protocol, option, backlog=_BACKLOG)
        self._sockets += sockets
        for sock in sockets:
            _ = self._acceptors.spawn("accept", self._accept(sock, tls))
        return int(sockets[0].getsockname()[1])

    async def _accept(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:  # probably no file descriptor left: the open connections continue
                log.warning("rtmp_accept_failed", error=str(error))
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            if len(self._connections) + self._opening >= self._settings.max_connections:
                self._reject(sock)
            else:
                self._opening += 1
                _ = self._acceptors.spawn("open", self._open(sock, tls))

    async def _open(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Create the connection of an accepted socket. It counts towards the limit from the TLS handshake on."""
        timeout_s = self._settings.handshake_timeout_s if tls else None
        try:
            _set_options(sock)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: RtmpConnection(self._context),
                sock,
                ssl=tls,
                ssl_handshake_timeout=timeout_s,
                ssl_shutdown_timeout=LINGER_S if tls else None,
            )
        except OSError as error:
            reason = "tls" if tls else "accept"
            self._metrics.protocol_errors.labels(reason).inc()
            log.warning("rtmp_connection_ended", reason=reason, detail=str(error) or type(error).__name__)
            sock.close()
        finally:
            self._opening -= 1

    def _reject(self, sock: socket.socket) -> None:
        """Close a connection above the limit; at most one log line per second."""
        sock.close()
        self._metrics.rejected.labels("too_many_connections").inc()
        suppressed = self._refusal_limiter.held_back()
        if suppressed is not None:
            log.warning("rtmp_connections_refused", reason="too_many_connections", count=suppressed + 1)

    def _refuse(self) -> PublishRefusal | None:
        return PublishRefusal("draining", "The server is shutting down; try again.") if self._draining else None

    def _changed(self, connection: RtmpConnection) -> None:
        if connection.closed:
            self._connections.discard(connection)
        else:
            self._connections.add(connection)
        self._metrics.connections.set(len(self._connections))
        if self._connections:
            self._no_connections.clear()
        else:
            self._no_connections.set()


def _set_options(sock: socket.socket) -> None:
    """Set the options of an accepted socket: small writes are sent at once, and a peer that vanished is noticed."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE_OPTIONS:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def session_limits(settings: RtmpSection) -> SessionLimits:
    return SessionLimits(
        chunks=ChunkLimits(
            max_message_bytes=settings.max_message_bytes,
            max_chunk_size_bytes=settings.max_chunk_size_bytes,
            max_chunk_streams=settings.max_chunk_streams,
            max_buffered_bytes=2 * settings.max_message_bytes,
        ),
        max_streams=settings.max_streams,
        max_amf_depth=settings.max_amf_depth,
        max_amf_items=settings.max_amf_items,
        handshake_timeout_s=settings.handshake_timeout_s,
        publish_timeout_s=settings.publish_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
    )
