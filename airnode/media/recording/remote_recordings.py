"""Finds recordings of other nodes, and forwards the answers of those nodes."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from airnode.bus.recordings import RecordingRecord, recordings_in
from airnode.bus.records import Records
from airnode.errors import AirnodeError, NotFound, Unavailable
from airnode.kernel.service import Service
from airnode.media.recording.file_sender import PIECE_BYTES, FileSender
from airnode.media.relay.upstream import CONNECT_TIMEOUT_S, NodeToken

#: Longest silence of a node. It may have to read the tables of a whole recording before it answers.
_SILENCE_S = 30.0
_MAX_PLAYLIST_BYTES = 16 << 20
#: The location of a recording is looked up again after this time; an older one is used while Redis does not answer.
_FRESH_S = 5.0
_KEPT = 1024
_RETURNED_HEADERS = (
    "Content-Type",
    "Content-Length",
    "Content-Range",
    "Content-Disposition",
    "Accept-Ranges",
    "ETag",
    "Cache-Control",
)
_FORWARDED_HEADERS = ("Range", "If-Range")


@dataclass(frozen=True, slots=True)
class RecordingLocation:
    """The location of a recording.

    Attributes:
        base_url: of the recording on the node.
    """

    node_id: str
    base_url: str


class RemoteRecordings(Service):
    """Finds and requests recordings on other nodes.

    Args:
        default_host: used for nodes that report no host: they have the address of the master.
    """

    name = "recording-holders"

    def __init__(
        self, records: Records, token: NodeToken, node_id: str, default_host: str, registry: CollectorRegistry
    ) -> None:
        super().__init__()
        self._records = records
        self._token = token
        self._node_id = node_id
        self._default_host = default_host
        self._session: aiohttp.ClientSession | None = None
        #: {(room, recording_id): (location, loop time of the lookup)}, least recently looked up first.
        self._found: OrderedDict[tuple[str, str], tuple[RecordingLocation, float]] = OrderedDict()
        self._received = Counter(
            "airnode_recording_relay_received_bytes_total", "Recorded bytes from other nodes", registry=registry
        )
        self._failures = Counter(
            "airnode_recording_relay_failures_total", "Requests to other nodes that failed", registry=registry
        )

    async def start(self) -> None:
        """Open the HTTP session."""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, limit_per_host=0))

    async def stop(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def find(self, room: str, recording_id: str) -> RecordingLocation:
        """Return the location of a recording of another node.

        Raises:
            NotFound: (404) no other node has the recording.
            Unavailable: (503) Redis does not answer, and the location is not known.
        """
        key, now_s = (room, recording_id), asyncio.get_running_loop().time()
        known = self._found.get(key)
        if known is None or now_s - known[1] > _FRESH_S:
            try:
                record = await self._records.get_record(recordings_in(room), recording_id, RecordingRecord)
            except Unavailable:
                if known is None:
                    raise
            else:
                known = self._remember(key, record, now_s)
        if known is None:
            raise NotFound("There is no such recording.")
        return known[0]

    def _remember(
        self, key: tuple[str, str], record: RecordingRecord | None, now_s: float
    ) -> tuple[RecordingLocation, float] | None:
        self._found.pop(key, None)
        if record is None or record.node_id == self._node_id:
            return None
        host = record.host or self._default_host
        base = f"{record.scheme}://{host}:{record.media_port}/relay/{quote(key[0])}/recordings/{quote(key[1])}"
        made = self._found[key] = RecordingLocation(record.node_id, base), now_s
        while len(self._found) > _KEPT:
            self._found.popitem(last=False)
        return made

    # -- requests ------------------------------------------------------------------------------------------------------

    async def playlist(self, location: RecordingLocation) -> bytes:
        """Return the playlist of a recording.

        Raises:
            NotFound: (404) the node does not have the recording.
            Unavailable: (503) the node does not answer.
        """
        try:
            async with self._request(location, "index.m3u8", {}) as response:
                _check(response.status, location)
                if (response.content_length or 0) > _MAX_PLAYLIST_BYTES:
                    raise Unavailable(f"The node {location.node_id} answers with {response.content_length} bytes.")
                body = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._offline(location, error) from error
        self._received.inc(len(body))
        return body

    async def forward(
        self, request: web.Request, location: RecordingLocation, name: str, sender: FileSender
    ) -> web.StreamResponse:
        """Return the response, after forwarding the answer of the node that has the recording, piece by piece.

        Raises:
            NotFound, Unavailable: (404, 503) nothing was sent yet.
        """
        response: web.StreamResponse | None = None
        forwarded = {key: request.headers[key] for key in _FORWARDED_HEADERS if key in request.headers}
        try:
            async with self._request(location, name, forwarded, method=request.method) as found:
                if found.status not in (200, 206, 416):
                    _check(found.status, location)
                headers = {key: found.headers[key] for key in _RETURNED_HEADERS if key in found.headers}
                response = web.StreamResponse(status=found.status, headers=headers)
                await response.prepare(request)
                if request.method == "GET":
                    async for piece in found.content.iter_chunked(PIECE_BYTES):
                        self._received.inc(len(piece))
                        await sender.write(response, piece)
                    await response.write_eof()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if response is None:
                raise self._offline(location, error) from error
            if request.transport is not None:
                request.transport.abort()
        return response

    def _request(
        self, location: RecordingLocation, name: str, headers: Mapping[str, str], method: str = "GET"
    ) -> "aiohttp.client._RequestContextManager":
        if self._session is None:
            raise Unavailable("This node is shutting down.", retry_after_s=1)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=_SILENCE_S)
        return self._session.request(
            method,
            f"{location.base_url}/{quote(name)}",
            timeout=timeout,
            allow_redirects=False,
            headers={**headers, **self._token.header(), "Accept-Encoding": "identity"},
        )

    def _offline(self, location: RecordingLocation, error: BaseException) -> AirnodeError:
        self._failures.inc()
        return Unavailable(
            f"The node {location.node_id}, which has this recording, is offline: start it again.",
            retry_after_s=5,
            debug=repr(error),
        )


def _check(status: int, location: RecordingLocation) -> None:
    if status == 200:
        return
    if status in (404, 410):
        raise NotFound("There is no such recording.")
    raise Unavailable(f"The node {location.node_id}, which has this recording, answers {status}.", retry_after_s=1)
