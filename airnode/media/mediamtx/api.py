"""A client for the part of MediaMTX's HTTP API (``/v3``) that airnode uses, and the metrics of the engine."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.errors import NotFound, Unavailable
from airnode.media.mediamtx.config_file import API_USER, Value

_PAGE_SIZE = 500
#: Most pages of paths that are read; this limits the number of publishers.
_MAX_PAGES = 20
#: Suffixes of the source types of publishers. MediaMTX pulls sources of other types itself.
_PUBLISHER_TYPES = ("Conn", "Session")
_API_REFUSES = (
    "MediaMTX's API refuses airnode: it must allow the action 'api' to this machine without a password. "
    "If another airnode used this MediaMTX before, restart MediaMTX."
)
_PROTOCOLS = {"webRTCSession": "WHIP", "moqSession": "MoQ"}


class MediaMtxMetrics:
    """Metrics of the requests to MediaMTX, of its publishers and of its hook."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.publishers = Gauge(
            "airnode_media_mediamtx_publishers", "Publishers that come through MediaMTX", registry=registry
        )
        self.refused = Counter(
            "airnode_media_mediamtx_refused_total", "What MediaMTX's hook was refused", ["reason"], registry=registry
        )
        self.intruders = Counter(
            "airnode_media_mediamtx_intruders_total", "Requests to the hook without its secret", registry=registry
        )
        self.failures = Counter(
            "airnode_media_mediamtx_failures_total", "Requests to MediaMTX that failed", ["kind"], registry=registry
        )
        self.kicked = Counter(
            "airnode_media_mediamtx_kicked_total", "Publishers that MediaMTX was told to end", registry=registry
        )
        self.lost = Counter(
            "airnode_media_mediamtx_lost_segments_total",
            "Segments that were gone before they were read",
            registry=registry,
        )
        self.received = Counter(
            "airnode_media_mediamtx_received_bytes_total", "Media bytes from MediaMTX", registry=registry
        )


class PathSource(msgspec.Struct, frozen=True):
    """The publisher of a path."""

    type: str = ""
    id: str = ""

    @property
    def protocol(self) -> str:
        """Return the usual name of the protocol: ``SRT``, ``WHIP``."""
        return _PROTOCOLS.get(self.type, self.type.removesuffix("Conn").removesuffix("Session").upper())

    @property
    def collection(self) -> str | None:
        """Return the name of the source's collection in the API; None: MediaMTX pulls this source.

        Collections are named after the type: ``srtConn`` is in ``srtconns``, ``webRTCSession`` is in
        ``webrtcsessions``.
        """
        return f"{self.type.lower()}s" if self.type.endswith(_PUBLISHER_TYPES) else None


class _Path(msgspec.Struct, rename="camel"):
    name: str
    source: PathSource | None = None
    ready: bool = False
    #: The same as ``ready``, in newer versions.
    available: bool = False
    tracks: list[str] | None = None
    inbound_bytes: int = 0
    #: The same as ``inbound_bytes``, in older versions.
    bytes_received: int = 0


class _Page(msgspec.Struct, rename="camel"):
    items: list[_Path] = []
    page_count: int = 1


@dataclass(frozen=True, slots=True)
class PublishedPath:
    """A path with a publisher whose media can be read.

    Attributes:
        tracks: MediaMTX's names of the codecs.
        received_bytes: of media, since the publisher connected.
    """

    name: str
    source: PathSource
    tracks: tuple[str, ...]
    received_bytes: int = 0


class MediaMtxApi:
    """The API of one MediaMTX.

    All methods raise Unavailable if there is no valid answer.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: Callable[[], str],
        secret: str,
        metrics: MediaMtxMetrics,
        *,
        timeout_s: float,
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._headers = {"Authorization": aiohttp.encode_basic_auth(API_USER, secret)}
        self._metrics = metrics
        self._timeout_s = timeout_s

    async def paths(self) -> list[PublishedPath]:
        """Return the paths whose publisher is ready."""
        found: list[PublishedPath] = []
        for number in range(_MAX_PAGES):
            query = {"itemsPerPage": str(_PAGE_SIZE), "page": str(number)}
            page = _decoded(await self._call("GET", "/v3/paths/list", params=query), _Page)
            found += [
                PublishedPath(
                    path.name, path.source, tuple(path.tracks or ()), max(path.inbound_bytes, path.bytes_received)
                )
                for path in page.items
                if path.source is not None and (path.ready or path.available)
            ]
            if number + 1 >= page.page_count:
                break
        return found

    async def config(self) -> dict[str, Any]:
        """Return the global configuration."""
        found: dict[str, Any] = _decoded(await self._call("GET", "/v3/config/global/get"), dict[str, Any])
        return found

    async def configure(self, values: Mapping[str, Value]) -> None:
        """Change the global configuration, until MediaMTX stops."""
        await self._call("PATCH", "/v3/config/global/patch", json=dict(values))

    async def kick(self, source: PathSource) -> None:
        """Disconnect a publisher. Does nothing if it has already gone, or if MediaMTX pulls this source itself."""
        if source.collection is None:
            return
        self._metrics.kicked.inc()
        try:
            await self._call("POST", f"/v3/{source.collection}/kick/{quote(source.id, safe='')}")
        except NotFound:
            return

    async def _call(self, method: str, path: str, **kwargs: Any) -> bytes:
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.request(
                    method, self._base_url().rstrip("/") + path, headers=self._headers, allow_redirects=False, **kwargs
                ) as response,
            ):
                body = await response.read()
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._metrics.failures.labels("api").inc()
            raise Unavailable("MediaMTX's API does not answer.", debug=repr(error)) from error
        if status == 404:
            raise NotFound("MediaMTX does not have it.")
        if status == 401:
            self._metrics.failures.labels("api").inc()
            raise Unavailable(_API_REFUSES, debug=body[:500].decode(errors="replace"))
        if status >= 300:
            self._metrics.failures.labels("api").inc()
            raise Unavailable(
                f"MediaMTX's API answers {status} to {method} {path}.", debug=body[:500].decode(errors="replace")
            )
        return body


def _decoded(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Unavailable(f"MediaMTX's API answers what airnode does not understand: {error}") from error
