"""The route for publishing browsers on the media port: admits connections, limits their number, ends them."""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from airnode.config.sections.browser import BrowserSection
from airnode.errors import AirnodeError, Draining, Forbidden, RateLimited, Unavailable
from airnode.kernel.logging import LogLimiter
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.media.browser.connection import LINGER_S, BrowserConnection, BrowserContext
from airnode.media.browser.metrics import BrowserMetrics
from airnode.media.browser.sound import MISSING
from airnode.media.room.rooms import Rooms
from airnode.media.rtmp.publishing import PublishAuthority
from airnode.web.clients import Clients
from airnode.web.openapi import operation

log = structlog.get_logger(__name__)

PATH: Final = "/publish"
#: Version 1 of docs/browser-ingest.md, as a WebSocket subprotocol.
PROTOCOL: Final = "airnode.publish.v1"
_MAX_THREADS: Final = 4
_SHUTDOWN: Final = "The server is shutting down; connect again."


class BrowserIngest(Service):
    """Takes publishers over WebSockets.

    Args:
        allowed_origins: origins whose pages may connect, beside those of the same host; ``*``: any.
        grace_s: see :class:`BrowserContext`.
    """

    name = "browser"

    def __init__(
        self,
        section: BrowserSection,
        authority: PublishAuthority,
        rooms: Rooms,
        registry: CollectorRegistry,
        *,
        clients: Clients,
        allowed_origins: Sequence[str],
        grace_s: float,
    ) -> None:
        super().__init__()
        self._section = section
        self._clients = clients
        self._allowed_origins = frozenset(allowed_origins)
        self._metrics = BrowserMetrics(registry)
        self._tasks = TaskScope("browser")
        self._executor = ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1), "browser-sound")
        #: Open connections, the oldest first; the values have no meaning.
        self._connections: dict[BrowserConnection, None] = {}
        self._publishers = 0
        self._draining = False
        self._origin_log = LogLimiter(10.0)
        self._sound_missing = False
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self._context = BrowserContext(
            section,
            authority,
            rooms,
            self._metrics,
            self._tasks,
            self._executor,
            grace_s,
            self._admit,
            self._changed,
            self._note_missing_sound,
        )

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(PATH, self.publish)

    async def drain(self) -> None:
        """Refuse new publishers and disconnect the present ones: their browsers publish to another node."""
        self._draining = True
        self._disconnect_all()

    async def stop(self) -> None:
        """End all connections."""
        await self.drain()
        try:
            async with asyncio.timeout(LINGER_S):
                await self._all_closed.wait()
        except TimeoutError:
            log.warning("browser_connections_left", count=len(self._connections))
        await self._tasks.aclose()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def check(self) -> str | None:
        """Return the number of publishers, for ``/health``. Raise LookupError if sound could not be converted."""
        if self._sound_missing:
            raise LookupError(MISSING)
        return f"{self._publishers} publishing" if self._publishers else None

    @operation(
        summary="Publish from a browser",
        tag="media",
        description="A WebSocket with the subprotocol `airnode.publish.v1` (docs/browser-ingest.md). The stream key is "
        "in its first message, never in the address.",
        returns="application/octet-stream",
        status=101,
        errors=(403, 503),
    )
    async def publish(self, request: web.Request) -> web.StreamResponse:
        """Serve one publisher until it leaves."""
        self._require_origin(request)
        ws = web.WebSocketResponse(
            protocols=(PROTOCOL,),
            compress=False,
            max_msg_size=self._section.max_message_bytes,
            heartbeat=self._section.ping_interval_s,
            timeout=LINGER_S,
        )
        try:
            await ws.prepare(request)
        except ConnectionError:  # the peer has gone; nobody receives this answer
            return web.Response(status=400)
        self._metrics.accepted.inc()
        self._make_room()
        connection = BrowserConnection(
            self._context, ws, self._clients.address(request), secure=self._clients.scheme(request) == "https"
        )
        self._connections[connection] = None
        self._all_closed.clear()
        self._metrics.connections.set(len(self._connections))
        try:
            await connection.run()
        finally:
            del self._connections[connection]
            self._metrics.connections.set(len(self._connections))
            if not self._connections:
                self._all_closed.set()
        return ws

    def _require_origin(self, request: web.Request) -> None:
        """Refuse pages of other sites. Programs that are not browsers send no Origin; the stream key decides."""
        origin = request.headers.get("Origin")
        if origin is None or "*" in self._allowed_origins or origin in self._allowed_origins:
            return
        if _hostname(origin) == self._clients.hostname(request).strip("[]").lower():
            return
        self._metrics.rejected.labels("origin").inc()
        remote = self._clients.address(request)
        if (held_back := self._origin_log.held_back(remote)) is not None:
            log.warning("browser_origin_refused", remote=remote, origin=origin[:200], held_back=held_back)
        raise Forbidden("Pages of this origin may not publish here; http.allowed_origins lists those that may.")

    def _make_room(self) -> None:
        """Close the oldest connection without a valid key when there are too many.

        A teacher shows the key within milliseconds; so nobody can keep teachers out with idle connections.
        """
        undecided = [each for each in self._connections if not each.publishing and not each.ending]
        if len(undecided) >= self._section.max_undecided:
            undecided[0].disconnect(RateLimited("Too many connections without a stream key; connect again."))

    def _admit(self) -> None:
        if self._draining:
            raise Draining(_SHUTDOWN, retry_after_s=0)
        if self._publishers >= self._section.max_connections:
            raise Unavailable(
                f"This node has {self._publishers} publishing browsers; browser.max_connections allows no more."
            )

    def _disconnect_all(self) -> None:
        error: AirnodeError = Draining(_SHUTDOWN, retry_after_s=0)
        for connection in list(self._connections):
            connection.disconnect(error)

    def _changed(self, connection: BrowserConnection) -> None:
        self._publishers = sum(each.publishing for each in self._connections)

    def _note_missing_sound(self) -> None:
        self._sound_missing = True


def _hostname(origin: str) -> str | None:
    """Return the host of an Origin; None: it has none, or is malformed."""
    try:
        return urlsplit(origin).hostname
    except ValueError:  # such as "http://["
        return None
