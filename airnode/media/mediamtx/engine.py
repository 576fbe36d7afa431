"""The MediaMTX engine: publishers connect to MediaMTX, and airnode packages their media like that of RTMP.

MediaMTX implements SRT, RTSP and WHIP. airnode reads each path with a publisher (``reader.py``) and packages it like an
RTMP stream: window, ``live.mp4``, recordings, edges, tokens and counts are the same (docs/adr/0011). The engine polls
MediaMTX's list of paths, and does so at once when a publisher was admitted.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import structlog
from prometheus_client import CollectorRegistry, Counter

from airnode.config.sections.embedded import EmbeddedSection
from airnode.config.sections.hls import HlsSection
from airnode.config.sections.mediamtx import MediaMtxSection
from airnode.errors import AirnodeError, NotFound, Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble
from airnode.kernel.urls import url_host
from airnode.media.frames import MediaEvent, StreamMetadata
from airnode.media.mediamtx.api import MediaMtxApi, MediaMtxMetrics, PathSource, PublishedPath
from airnode.media.mediamtx.auth_hook import AuthHook
from airnode.media.mediamtx.authorizer import MediaMtxAuthorizer, PublishGrant
from airnode.media.mediamtx.config_file import (
    ListenAddresses,
    MediaMtxSecrets,
    changed_values,
    is_loopback,
    own_config,
    required_config,
    to_yaml,
)
from airnode.media.mediamtx.reader import PathReader
from airnode.media.mediamtx.server import HangDetector, MediaMtxPorts, MediaMtxServer, find_mediamtx
from airnode.media.room.rooms import RoomIngest, Rooms
from airnode.media.rtmp.publishing import PublishAuthority, PublisherInfo
from airnode.processes.supervisor import ProcessOptions
from airnode.web.rate_limit import AttemptLimit

log = structlog.get_logger(__name__)

#: Time between two polls while an admitted publisher has not sent media yet.
_FAST_POLL_S = 0.1
#: After this many consecutive failed polls, MediaMTX counts as unreachable and all its publishers as ended.
_MAX_FAILURES = 2
#: The names of the supported codecs in MediaMTX.
_SUPPORTED_CODECS = frozenset({"H264", "H265", "AV1", "MPEG-4 Audio", "MPEG-4 Audio LATM", "Opus"})


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
    embedded: EmbeddedSection
    data_dir: Path
    host: str
    public_host: str = ""
    tls: tuple[Path, Path] | None = None


@dataclass(slots=True, eq=False)
class _Publisher:
    """A publisher whose media is read by the task ``reading``."""

    source: PathSource
    room: str
    ingest: RoomIngest = field(init=False)
    reading: asyncio.Task[None] = field(init=False)


class MediaMtxEngine(Service):
    """Starts MediaMTX or connects to a running one, and reads what is published there into this node's rooms.

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
        self._session: aiohttp.ClientSession | None = None
        self._api: MediaMtxApi | None = None
        self._hls_url = ""
        #: Whether a MediaMTX that airnode did not start has been configured.
        self._adopted = False
        self._failures = 0
        self._has_answered = False
        self._trouble = Trouble("mediamtx_gone", "mediamtx_answers_again")
        #: {path: publisher}. Changed by _begin() and _end() only.
        self._publishers: dict[str, _Publisher] = {}
        #: Sources that were kicked and are still listed.
        self._kicked_sources: set[PathSource] = set()

    # ---- start and stop ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the hook. Start MediaMTX, or begin to poll the configured one.

        Raises:
            StartupError: MediaMTX is not found, or it does not start.
        """
        section = self._settings.mediamtx
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, limit_per_host=0))
        self._api = MediaMtxApi(
            self._session, self._api_url, self._secrets.reader, self._metrics, timeout_s=section.request_timeout_s
        )
        await self._hook.start()
        if not section.api_url:
            self._server = self._make_server(await asyncio.to_thread(find_mediamtx, section.binary), self._api)
            await self._server.start()
        self._tasks.spawn("poll", self._poll(self._api, HangDetector(section.restart_after_s, self._rooms.now_s())))

    async def stop(self) -> None:
        """End all publishers, then the MediaMTX that airnode started."""
        for path in list(self._publishers):
            self._end(path, "the server is shutting down")
        await self._tasks.aclose()
        if self._server is not None:
            await self._server.stop()
        await self._hook.stop()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def check(self) -> str | None:
        """Return the number of publishers, for ``/health``.

        Raises:
            Unavailable: MediaMTX does not answer.
        """
        self._trouble.check()
        if not self._has_answered:
            raise Unavailable("MediaMTX has not answered yet.")
        return f"{len(self._publishers)} publishers"

    def _make_server(self, binary: Path, api: MediaMtxApi) -> MediaMtxServer:
        settings = self._settings
        return MediaMtxServer(
            binary,
            settings.data_dir,
            ProcessOptions("MediaMTX", settings.embedded.start_timeout_s, settings.embedded.stop_timeout_s),
            self._restarts,
            api_port=settings.mediamtx.api_port,
            hls_port=settings.mediamtx.hls_port,
            render=self._render,
            probe=api.paths,
        )

    def _render(self, ports: MediaMtxPorts) -> str:
        settings = self._settings
        addresses = ListenAddresses(
            settings.host, self._hook.url, ports.api, ports.hls, settings.public_host, settings.tls
        )
        return to_yaml(own_config(settings.mediamtx, settings.hls, addresses, self._secrets))

    def _api_url(self) -> str:
        if self._server is not None:
            return f"http://127.0.0.1:{self._server.ports.api}"
        return self._settings.mediamtx.api_url

    # ---- a MediaMTX that runs already --------------------------------------------------------------------------------

    async def _adopt(self, api: MediaMtxApi) -> None:
        """Change the values that airnode requires, and read the address of its HLS."""
        current = await api.config()
        changes = changed_values(current, required_config(self._settings.hls, self._hook.url, self._secrets))
        if changes:
            await api.configure(changes)
        address = str(current.get("hlsAddress", ":8888"))
        if not is_loopback(address):
            log.warning("mediamtx_hls_not_on_loopback", address=address)
        host = urlsplit(self._settings.mediamtx.api_url).hostname or "127.0.0.1"
        self._hls_url = f"http://{url_host(host)}:{address.rpartition(':')[2]}"
        self._adopted = True
        log.info("mediamtx_adopted", changed=sorted(changes))

    # ---- polling -----------------------------------------------------------------------------------------------------

    async def _poll(self, api: MediaMtxApi, liveness: HangDetector) -> None:
        while True:
            self._poll_soon.clear()
            try:
                if self._server is not None:
                    self._hls_url = f"http://127.0.0.1:{self._server.ports.hls}"
                elif not self._adopted:
                    await self._adopt(api)
                paths = await api.paths()
            except (Unavailable, NotFound) as error:
                self._poll_failed(error)
                if self._server is not None and liveness.hangs(self._rooms.now_s()):
                    self._server.kill()
            else:
                liveness.answered(self._rooms.now_s())
                self._failures, self._has_answered = 0, True
                self._trouble.end()
                self._sync(paths)
            pause_s = _FAST_POLL_S if self._authorizer.awaiting else self._settings.mediamtx.poll_s
            try:
                async with asyncio.timeout(pause_s):
                    await self._poll_soon.wait()
            except TimeoutError:
                continue

    def _poll_failed(self, error: AirnodeError) -> None:
        self._failures += 1
        if self._failures >= _MAX_FAILURES:
            self._trouble.begin(error, publishers=len(self._publishers))
        if self._failures == _MAX_FAILURES:
            self._adopted = False
            self._kicked_sources.clear()
            for path in list(self._publishers):
                self._end(path, "MediaMTX is gone")

    def _sync(self, paths: Sequence[PublishedPath]) -> None:
        """Start to read new publishers, and end those that are not listed any more."""
        sources = {path.name: path.source for path in paths}
        self._kicked_sources.intersection_update(sources.values())
        for name, publisher in list(self._publishers.items()):
            if sources.get(name) != publisher.source:
                self._end(name, "the publisher has gone")
        for path in paths:
            if path.name not in self._publishers and path.source not in self._kicked_sources:
                self._begin(path, self._authorizer.take(path.name))
        self._metrics.publishers.set(len(self._publishers))

    # ---- publishers --------------------------------------------------------------------------------------------------

    def _begin(self, path: PublishedPath, grant: PublishGrant | None) -> None:
        if grant is None:
            # It was admitted before this process started, or too long ago: it must connect again.
            self._kick(path.source, "", "it was not let in by this airnode")
            return
        unsupported = [track for track in path.tracks if track not in _SUPPORTED_CODECS]
        if unsupported and len(unsupported) == len(path.tracks):
            self._kick(path.source, grant.room, f"{', '.join(unsupported)} is not carried; send H.264 with AAC or Opus")
            return
        publisher = _Publisher(path.source, grant.room)

        def disconnect(reason: str) -> None:
            self._kick(publisher.source, publisher.room, reason)
            if self._publishers.get(path.name) is publisher:
                self._end(path.name, reason)

        secure = path.source.type in ("rtmpsConn", "rtspsSession")
        try:
            publisher.ingest = self._rooms.open(grant.room, PublisherInfo(grant.remote, grant.key, secure, disconnect))
        except AirnodeError as error:
            self._kick(path.source, grant.room, error.detail)
            return
        log.info(
            "mediamtx_publish_started",
            room=grant.room,
            remote=grant.remote,
            protocol=path.source.protocol,
            tracks=path.tracks,
            left_out=unsupported,
        )
        self._publishers[path.name] = publisher
        publisher.reading = self._tasks.spawn("read", self._read(path, publisher))

    async def _read(self, path: PublishedPath, publisher: _Publisher) -> None:
        if self._session is None:
            return
        reader = PathReader(
            self._session,
            self._hls_url,
            path.name,
            self._secrets.reader,
            self._metrics,
            publisher.ingest.push,
            room=publisher.room,
        )
        try:
            metadata: list[MediaEvent] = [StreamMetadata(encoder=f"{path.source.protocol} (MediaMTX)")]
            publisher.ingest.push(metadata, 0)
            await reader.run()
        except AirnodeError as error:
            self._kick(publisher.source, publisher.room, error.detail)
            if self._publishers.get(path.name) is publisher:
                self._end(path.name, error.detail)

    def _end(self, path: str, reason: str) -> None:
        """Stop reading; the room continues without a publisher."""
        publisher = self._publishers.pop(path)
        log.info("mediamtx_publish_ended", room=publisher.room, reason=reason)
        self._metrics.publishers.set(len(self._publishers))
        if publisher.reading is not asyncio.current_task():
            publisher.reading.cancel()
        publisher.ingest.close(reason)

    def _kick(self, source: PathSource, room: str, reason: str) -> None:
        """Let MediaMTX end a publisher."""
        if source in self._kicked_sources:
            return
        self._kicked_sources.add(source)
        log.warning("mediamtx_publisher_kicked", room=room or None, protocol=source.protocol, reason=reason)
        self._tasks.spawn("kick", self._kick_source(source))

    async def _kick_source(self, source: PathSource) -> None:
        if self._api is None:
            return
        try:
            await self._api.kick(source)
        except Unavailable as error:
            self._kicked_sources.discard(source)  # the next poll tries again
            log.warning("mediamtx_kick_failed", protocol=source.protocol, error=error.detail)
