"""Recordings on the media port: ``/v/<token>/<room>/recordings/<id>/…`` for viewers, ``/relay/…`` for other nodes.

Each node serves all recordings: its own recordings from its disk, and other recordings through the node that has them.
The node that receives the viewer's request verifies the token. Requests between nodes have a node's credential.
"""

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from airnode.bus.recordings import RECORDING_ID
from airnode.errors import Forbidden, NotFound, Unauthenticated
from airnode.kernel.meter import Meter
from airnode.media.hls.media_store import MEDIA_TYPE
from airnode.media.hls.window import PLAYLIST_TYPE
from airnode.media.open_responses import OpenResponses
from airnode.media.recording.catalog import Recording, RecordingCatalog
from airnode.media.recording.file_sender import FileBody, FileSender
from airnode.media.recording.playlist import lookup
from airnode.media.recording.playlists import Playlists
from airnode.media.recording.remote_recordings import RemoteRecordings
from airnode.web.credentials import credential
from airnode.web.openapi import operation
from airnode.web.tokens import Claims, Tokens

PLAYLIST = "index.m3u8"
DOWNLOAD = "download.mp4"
_ROOM = (("room", "The token's room."), ("recording_id", "As the list of recordings names it."))
_PATH = (("token", "A token from POST /api/token."), *_ROOM)
_NAME = ("name", "What the playlist names.")


class RecordingApi:
    """The handlers.

    Args:
        sent_bytes: counts the bytes that are sent.
        responses: keeps open responses, so that they can be ended.
        student_download: students may download too.
        gap_s: a client that accepts no data for this many seconds is disconnected.
    """

    def __init__(
        self,
        catalog: RecordingCatalog,
        remote_recordings: RemoteRecordings,
        tokens: Tokens,
        registry: CollectorRegistry,
        *,
        sent_bytes: Meter,
        responses: OpenResponses,
        student_download: bool,
        gap_s: float,
    ) -> None:
        self._responses = responses
        self._catalog = catalog
        self._remote_recordings = remote_recordings
        self._playlists = Playlists(catalog, remote_recordings)
        self._sender = FileSender(catalog, gap_s, sent_bytes)
        self._tokens = tokens
        self._student_download = student_download
        requests = Counter("airnode_recording_requests_total", "Requests for recordings", ["kind"], registry=registry)
        self._requests = {kind: requests.labels(kind) for kind in ("playlist", "object", "download", "relay")}
        self._refused = Counter(
            "airnode_recording_refused_total", "Requests for recordings that were refused", registry=registry
        )

    def add_routes(self, app: web.Application) -> None:
        viewer, relay = "/v/{token}/{room}/recordings/{recording_id}", "/relay/{room}/recordings/{recording_id}"
        app.router.add_get(f"{viewer}/{PLAYLIST}", self.playlist)
        app.router.add_get(f"{viewer}/{DOWNLOAD}", self.download)
        app.router.add_get(f"{viewer}/{{name}}", self.object)
        app.router.add_get(f"{relay}/{PLAYLIST}", self.relay_playlist)
        app.router.add_get(f"{relay}/{{name}}", self.relay_object)

    # -- viewers ------------------------------------------------------------------------------------------------------

    @operation(
        summary="A recording's playlist",
        tag="recordings",
        description="Plain HLS: an EVENT playlist that grows while the recording is made, complete (EXT-X-ENDLIST) "
        "afterwards.",
        returns=PLAYLIST_TYPE,
        errors=(401, 403, 404, 503),
        path_params=_PATH,
    )
    async def playlist(self, request: web.Request) -> web.StreamResponse:
        """Return the playlist of a recording of this node, or fetch it from the node that has it."""
        self._claims(request)
        self._requests["playlist"].inc()
        room, recording_id = _names(request)
        own = self._catalog.get(room, recording_id)
        if own is not None:
            return await self._playlists.own(request, own)
        return await self._playlists.other(
            request, recording_id, await self._remote_recordings.find(room, recording_id)
        )

    @operation(
        summary="A recording as one MP4",
        tag="recordings",
        description="A regular MP4 with its tables in front, and with byte ranges. Of a recording that is being made: "
        "as far as it has come, without ranges. Students only with `recording.student_download`.",
        returns=MEDIA_TYPE,
        errors=(401, 403, 404, 416, 503),
        path_params=_PATH,
    )
    async def download(self, request: web.Request) -> web.StreamResponse:
        """Send the file to teachers, and to students if ``recording.student_download`` is set."""
        claims = self._claims(request)
        if claims.user_type != "teacher" and not self._student_download:
            self._refused.inc()
            raise Forbidden("Only teachers may download recordings here; watch it instead.")
        self._requests["download"].inc()
        return await self._send(request, DOWNLOAD, claims)

    @operation(
        summary="A segment or initialization section of a recording",
        tag="recordings",
        returns=MEDIA_TYPE,
        errors=(401, 403, 404, 416, 503),
        path_params=(*_PATH, _NAME),
    )
    async def object(self, request: web.Request) -> web.StreamResponse:
        """Send what the playlist names."""
        claims = self._claims(request)
        self._requests["object"].inc()
        return await self._send(request, request.match_info["name"], claims)

    async def _send(self, request: web.Request, name: str, claims: Claims) -> web.StreamResponse:
        """Send the object; a student who is removed meanwhile is disconnected."""
        room, recording_id = _names(request)
        own = self._catalog.get(room, recording_id)
        with self._responses.kept(claims, lambda: _disconnect(request)):
            if own is not None:
                return await self._sender.send(request, await self._body(own, name))
            location = await self._remote_recordings.find(room, recording_id)
            return await self._remote_recordings.forward(request, location, name, self._sender)

    def _claims(self, request: web.Request) -> Claims:
        try:
            claims = self._tokens.verify(request.match_info["token"])
            claims.require_room(request.match_info["room"])
        except (Unauthenticated, Forbidden):
            self._refused.inc()
            raise
        return claims

    # -- other nodes --------------------------------------------------------------------------------------------------

    @operation(
        summary="For other nodes: the playlist of a recording that is here",
        tag="relay",
        returns=PLAYLIST_TYPE,
        errors=(401, 403, 404, 503),
        auth="node",
        path_params=_ROOM,
    )
    async def relay_playlist(self, request: web.Request) -> web.StreamResponse:
        """Return the playlist of a recording of this node, never of a third node."""
        return await self._playlists.own(request, self._own(request))

    @operation(
        summary="For other nodes: a segment, an initialization section, or all of a recording that is here",
        tag="relay",
        returns=MEDIA_TYPE,
        errors=(401, 403, 404, 416, 503),
        auth="node",
        path_params=(*_ROOM, ("name", "What the playlist names, or `download.mp4`.")),
    )
    async def relay_object(self, request: web.Request) -> web.StreamResponse:
        """Send what the playlist names, only of this node, never of a third node."""
        return await self._sender.send(request, await self._body(self._own(request), request.match_info["name"]))

    def _own(self, request: web.Request) -> Recording:
        try:
            self._tokens.verify_node(credential(request))
        except (Unauthenticated, Forbidden):
            self._refused.inc()
            raise
        self._requests["relay"].inc()
        found = self._catalog.get(*_names(request))
        if found is None:
            raise NotFound("There is no such recording on this node.")
        return found

    async def _body(self, recording: Recording, name: str) -> FileBody:
        """Return the object with this name in a recording of this node.

        Raises:
            NotFound: (404) the recording has no such object.
        """
        if name == DOWNLOAD:
            file = await self._catalog.file(recording)
            complete = recording.status != "recording"
            return FileBody(
                file.head,
                recording.media,
                file.offset_bytes,
                file.size_bytes,
                MEDIA_TYPE,
                etag=f'"{recording.recording_id}-{len(file.head)}-{file.size_bytes}"' if complete else "",
                disposition=f'attachment; filename="{recording.room}-{recording.recording_id}.mp4"',
                cache="private, no-cache",
            )
        found = lookup(await self._catalog.index(recording), name)
        if found is None:
            raise NotFound("There is no such segment.")
        return FileBody(
            b"",
            recording.media,
            found.offset_bytes,
            found.size_bytes,
            MEDIA_TYPE,
            etag=f'"{recording.recording_id}-{found.offset_bytes}"',
        )


def _disconnect(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _names(request: web.Request) -> tuple[str, str]:
    """Return the room and the id of the recording.

    Raises:
        NotFound: (404) the id is not valid.
    """
    room, recording_id = request.match_info["room"], request.match_info["recording_id"]
    if not RECORDING_ID.match(recording_id):
        raise NotFound("There is no such recording.")
    return room, recording_id
