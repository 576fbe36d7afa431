"""The MediaMTX engine: publishers connect to MediaMTX, and airnode packages their media as it does for RTMP.

MediaMTX implements SRT, RTSP and WHIP. airnode reads each path that has a publisher (``reader.py``) and packages it
like an RTMP stream: the window, ``live.mp4``, recordings, edges, tokens and counts are the same (docs/adr/0011). The
engine polls MediaMTX's list of paths at an interval, and at once after a publisher was admitted.
"""

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import structlog
from prometheus_client import CollectorRegistry, Counter

from airnode.config.sections.hls import HlsSection
from airnode.config.sections.mediamtx import MediaMtxSection
from airnode.errors import AirnodeError, NotFound, Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble
from airnode.media.mediamtx.adoption import Adoption
from airnode.media.mediamtx.api import MediaMtxApi, MediaMtxMetrics
from airnode.media.mediamtx.auth_hook import AuthHook
from airnode.media.mediamtx.authorizer import MediaMtxAuthorizer
from airnode.media.mediamtx.config_file import (
    ListenAddresses,
    MediaMtxSecrets,
    own_config,
    required_config,
    to_yaml,
)
from airnode.media.mediamtx.kicks import Kicks
from airnode.media.mediamtx.publishers import Publishers
from airnode.media.mediamtx.reader import PathReader, Push
from airnode.media.mediamtx.server import HangDetector, MediaMtxPorts, MediaMtxServer, find_mediamtx
from airnode.media.mediamtx.whip_proxy import WhipProxy
from airnode.media.room.rooms import Rooms
from airnode.media.rtmp.publishing import PublishAuthority
from airnode.processes.supervisor import ProcessOptions
from airnode.web.rate_limit import AttemptLimit
from airnode.web.sockets import tls_context

log = structlog.get_logger(__name__)

#: Time between two polls while an admitted publisher has not sent media yet.
_FAST_POLL_S = 0.1
#: After this many failed polls in a row, MediaMTX counts as unreachable, and all its publishers end.
_MAX_FAILURES = 2


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The settings of the engine.

    Attributes:
        host: the address on which the ports of publishers listen.
        public_host: the address for WebRTC peers; empty: not known.
        tls: certificate and key for WHIP.
    """

    mediamtx: MediaMtxSection
    hls: HlsSection
    data_dir: Path
    host: str
    public_host: str = ""
    tls: tuple[Path, Path] | None = None


@dataclass(slots=True)
class _Running:
    """The parts that exist only between start and stop.

    Attributes:
        adoption: of a MediaMTX that airnode did not start. adopted: whether that MediaMTX is configured.
    """

    session: aiohttp.ClientSession
    api: MediaMtxApi
    kicks: Kicks
    publishers: Publishers
    adoption: Adoption | None
    adopted: bool = False


class MediaMtxEngine(Service):
    """Starts MediaMTX or connects to a running one, and reads its published paths into this node's rooms.

    Args:
        wrong_keys: the limit of wrong stream keys per network.
    """

    name = "mediamtx"

    def __init__(
        self,
        settings: EngineSettings,
        authority: PublishAuthority,
        rooms: Rooms,
        registry: CollectorRegistry,
        tasks: TaskScope,
        *,
        wrong_keys: AttemptLimit,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._rooms = rooms
        self._tasks = tasks
        self._metrics = MediaMtxMetrics(registry)
        self._restarts = Counter(
            "airnode_media_mediamtx_restarts_total", "Unexpected exits of MediaMTX", ["server"], registry=registry
        )
        self._secrets = MediaMtxSecrets(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        self._poll_soon = asyncio.Event()
        self._authorizer = MediaMtxAuthorizer(
            authority,
            rooms,
            self._secrets.reader,
            self._metrics,
            wrong_keys=wrong_keys,
            publish_timeout_s=settings.mediamtx.publish_timeout_s,
            granted=self._poll_soon.set,
        )
        self._hook = AuthHook(self._authorizer, self._secrets.hook, self._metrics)
        self._server: MediaMtxServer | None = None
        self._whip: WhipProxy | None = None
        self._running: _Running | None = None
        self._failures = 0
        self._has_answered = False
        self._trouble = Trouble("mediamtx_gone", "mediamtx_answers_again")

    # ---- start and stop ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the hook, start MediaMTX unless ``mediamtx.api_url`` is set, and start to poll.

        Raises:
            StartupError: MediaMTX is not found, or does not start.
        """
        section = self._settings.mediamtx
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, limit_per_host=0))
        api = MediaMtxApi(
            session, self._api_url, self._secrets.reader, self._metrics, timeout_s=section.request_timeout_s
        )
        kicks = Kicks(api, self._tasks, self._rooms.now_s)
        publishers = Publishers(self._rooms, self._authorizer, kicks, self._metrics, self._tasks, read=self._read)
        adoption = Adoption(api, section.api_url) if section.api_url else None
        self._running = running = _Running(session, api, kicks, publishers, adoption)
        await self._hook.start()
        if adoption is None:
            await self._start_whip()
            self._server = self._make_server(await asyncio.to_thread(find_mediamtx, section.binary), api)
            await self._server.start()
        self._tasks.spawn("poll", self._poll(running, HangDetector(section.restart_after_s, self._rooms.now_s())))

    async def stop(self) -> None:
        """End all publishers, then stop the MediaMTX that airnode started, or restore the one that it did not start."""
        running, self._running = self._running, None
        if running is not None:
            running.publishers.end_all("the server is shutting down")
        await self._tasks.aclose()
        if self._whip is not None:
            await self._whip.stop()
        if self._server is not None:
            await self._server.stop()
        if running is not None:
            if running.adoption is not None:
                await running.adoption.restore()
            await running.session.close()
        await self._hook.stop()

    async def check(self) -> str | None:
        """Return the number of publishers, for ``/health``.

        Raises:
            Unavailable: MediaMTX does not answer.
        """
        self._trouble.check()
        if not self._has_answered:
            raise Unavailable("MediaMTX has not answered yet.")
        return f"{len(self._running.publishers) if self._running is not None else 0} publishers"

    def _make_server(self, binary: Path, api: MediaMtxApi) -> MediaMtxServer:
        settings = self._settings
        return MediaMtxServer(
            binary,
            settings.data_dir,
            ProcessOptions("MediaMTX", settings.mediamtx.start_timeout_s, settings.mediamtx.stop_timeout_s),
            self._restarts,
            api_port=settings.mediamtx.api_port,
            hls_port=settings.mediamtx.hls_port,
            render=self._render,
            probe=api.paths,
        )

    async def _start_whip(self) -> None:
        """Open the WHIP port, unless it is switched off."""
        port, tls = self._settings.mediamtx.webrtc_port, self._settings.tls
        if port:
            context = tls_context(*tls) if tls is not None else None
            self._whip = WhipProxy(self._settings.host, port, context, self._whip_target)
            await self._whip.start()

    def _whip_target(self) -> str:
        return f"http://127.0.0.1:{self._server.ports.whip if self._server is not None else 0}"

    def _render(self, ports: MediaMtxPorts) -> str:
        settings = self._settings
        addresses = ListenAddresses(
            settings.host, self._hook.url, ports.api, ports.hls, ports.whip, settings.public_host
        )
        return to_yaml(own_config(settings.mediamtx, settings.hls, addresses, self._secrets))

    def _api_url(self) -> str:
        if self._server is not None:
            return f"http://127.0.0.1:{self._server.ports.api}"
        return self._settings.mediamtx.api_url

    def _hls_url(self, running: _Running) -> str:
        if self._server is not None:
            return f"http://127.0.0.1:{self._server.ports.hls}"
        return running.adoption.hls_url if running.adoption is not None else ""

    async def _read(self, path: str, room: str, push: Push) -> None:
        """Read a path until it is cancelled.

        Raises:
            AirnodeError: ``push`` raised it, or a codec is not supported.
        """
        if self._running is not None:
            url, secret = self._hls_url(self._running), self._secrets.reader
            await PathReader(self._running.session, url, path, secret, self._metrics, push, room=room).run()

    # ---- polling -----------------------------------------------------------------------------------------------------

    async def _poll(self, running: _Running, liveness: HangDetector) -> None:
        while True:
            self._poll_soon.clear()
            try:
                if running.adoption is not None and not running.adopted:
                    await running.adoption.adopt(required_config(self._settings.hls, self._hook.url, self._secrets))
                    running.adopted = True
                paths = await running.api.paths()
            except (Unavailable, NotFound) as error:
                self._poll_failed(running, error)
                if self._server is not None and liveness.hangs(self._rooms.now_s()):
                    self._server.kill()
            else:
                liveness.answered(self._rooms.now_s())
                self._failures, self._has_answered = 0, True
                self._trouble.end()
                running.publishers.update(paths)
            pause_s = _FAST_POLL_S if self._authorizer.awaiting else self._settings.mediamtx.poll_s
            try:
                async with asyncio.timeout(pause_s):
                    await self._poll_soon.wait()
            except TimeoutError:
                continue

    def _poll_failed(self, running: _Running, error: AirnodeError) -> None:
        self._failures += 1
        if self._failures >= _MAX_FAILURES:
            self._trouble.begin(error, publishers=len(running.publishers))
        if self._failures == _MAX_FAILURES:
            running.adopted = False
            running.kicks.clear()
            running.publishers.end_all("MediaMTX is gone")
