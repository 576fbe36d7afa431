"""MediaMTX's own HTTP API (``/v3``), as far as airnode needs it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from airnode.errors import NotFound, Unavailable
from airnode.media.mediamtx.config_file import API_USER, Value
from airnode.media.mediamtx.metrics import MediaMtxMetrics

_PAGE = 500
#: Most pages of paths that are read: MediaMTX can have no more publishers than that.
_MAX_PAGES = 20
#: {type of a path's source: the collection that it is kicked from}.
_KICKED_FROM = {
    "rtmpConn": "rtmpconns",
    "rtmpsConn": "rtmpsconns",
    "rtspSession": "rtspsessions",
    "rtspsSession": "rtspssessions",
    "srtConn": "srtconns",
    "webRTCSession": "webrtcsessions",
}


class PathSource(msgspec.Struct, frozen=True):
    """Who publishes to a path."""

    type: str = ""
    id: str = ""

    @property
    def protocol(self) -> str:
        """In people's words."""
        return {"webRTCSession": "WHIP"}.get(self.type, self.type.removesuffix("Conn").removesuffix("Session").upper())


class _Path(msgspec.Struct):
    name: str
    source: PathSource | None = None
    ready: bool = False
    #: What newer versions call it.
    available: bool = False
    tracks: list[str] | None = None


class _Page(msgspec.Struct, rename="camel"):
    items: list[_Path] = []
    page_count: int = 1


@dataclass(frozen=True, slots=True)
class PublishedPath:
    """A path that has a publisher whose media can be read. ``tracks``: as MediaMTX names codecs."""

    name: str
    source: PathSource
    tracks: tuple[str, ...]


class MediaMtxApi:
    """The API of one MediaMTX.

    All methods raise Unavailable when it does not answer as it should.
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
        self._base = base_url
        self._headers = {"Authorization": aiohttp.encode_basic_auth(API_USER, secret)}
        self._metrics = metrics
        self._timeout_s = timeout_s

    async def paths(self) -> list[PublishedPath]:
        """Paths with a publisher that is ready."""
        found: list[PublishedPath] = []
        for number in range(_MAX_PAGES):
            query = {"itemsPerPage": str(_PAGE), "page": str(number)}
            page = _decoded(await self._call("GET", "/v3/paths/list", params=query), _Page)
            found += [
                PublishedPath(path.name, path.source, tuple(path.tracks or ()))
                for path in page.items
                if path.source is not None and (path.ready or path.available)
            ]
            if number + 1 >= page.page_count:
                break
        return found

    async def config(self) -> dict[str, Any]:
        """Its global configuration."""
        found: dict[str, Any] = _decoded(await self._call("GET", "/v3/config/global/get"), dict[str, Any])
        return found

    async def configure(self, values: Mapping[str, Value]) -> None:
        """Change its global configuration, for as long as it runs."""
        await self._call("PATCH", "/v3/config/global/patch", json=dict(values))

    async def kick(self, source: PathSource) -> None:
        """End a publisher; one that has gone by itself is fine, too."""
        collection = _KICKED_FROM.get(source.type)
        if collection is None:
            raise Unavailable(f"MediaMTX has no way to end a {source.type!r}.")
        self._metrics.kicked.inc()
        try:
            await self._call("POST", f"/v3/{collection}/kick/{quote(source.id, safe='')}")
        except NotFound:
            return

    async def _call(self, method: str, path: str, **kwargs: Any) -> bytes:
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.request(
                    method, self._base().rstrip("/") + path, headers=self._headers, allow_redirects=False, **kwargs
                ) as response,
            ):
                body = await response.read()
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._metrics.failures.labels("api").inc()
            raise Unavailable("MediaMTX's API does not answer.", debug=repr(error)) from error
        if status == 404:
            raise NotFound("MediaMTX does not have it.")
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
