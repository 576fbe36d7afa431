"""The master's HTTP API for recordings: listing, starting and stopping, removing."""

import msgspec
import structlog
from aiohttp import web

from airnode.bus.recordings import RecordingMode, RecordingStatus
from airnode.cluster.node_states import NodeStates
from airnode.cluster.recording_index import IndexedRecording
from airnode.cluster.recordings import ClusterRecordings
from airnode.cluster.room_states import RoomStates
from airnode.config.sections.recording import RecordingSection
from airnode.errors import Conflict, NotFound, Unavailable
from airnode.web.credentials import Authorizer, Right
from airnode.web.inputs import json_response, read_input
from airnode.web.openapi import operation

log = structlog.get_logger(__name__)

_ROOM = (("room", "The class's room."),)
_RECORDING = (*_ROOM, ("recording_id", "As the list names it."))


class RecordingView(msgspec.Struct):
    """A recording; times in unix seconds.

    Attributes:
        status: `interrupted`: its node failed during the recording, which ends there.
        available: whether the node that has it is online.
        playlist_url: relative to `<media_url>/v/<token>/<room>/` on any node.
        download_url: relative to the same address; null: no download.
    """

    recording_id: str
    room: str
    title: str
    started_at: float
    ended_at: float | None
    duration_s: float
    size_bytes: int
    status: RecordingStatus
    available: bool
    node_id: str
    playlist_url: str
    download_url: str | None


class RecordingList(msgspec.Struct):
    """A room's recordings, the newest first."""

    recordings: list[RecordingView]


class RecordingSwitch(msgspec.Struct):
    """The wanted state.

    Attributes:
        recording: true: record the class; false: stop.
    """

    recording: bool


class RecordingState(msgspec.Struct):
    """Whether a class is being recorded.

    Attributes:
        mode: the value of ``recording.mode``. recording_id: the recording that is being made; null: none.
    """

    recording: bool
    mode: RecordingMode
    recording_id: str | None


class Forget(msgspec.Struct):
    """How to remove a recording.

    Attributes:
        forget: remove it from the list although its node is offline.
    """

    forget: bool = False


class RecordingsApi:
    """The handlers. The files are on the nodes, the list is in PostgreSQL."""

    def __init__(
        self,
        authorizer: Authorizer,
        recordings: ClusterRecordings,
        rooms: RoomStates,
        nodes: NodeStates,
        section: RecordingSection,
    ) -> None:
        self._authorizer = authorizer
        self._recordings = recordings
        self._rooms = rooms
        self._nodes = nodes
        self._section = section

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/classes/{room}/recordings", self.list_recordings)
        app.router.add_delete("/api/classes/{room}/recordings/{recording_id}", self.delete)
        app.router.add_get("/api/classes/{room}/recording", self.state)
        app.router.add_post("/api/classes/{room}/recording", self.switch)

    @operation(
        summary="List a class's recordings",
        tag="recordings",
        description="The addresses are relative to `<media_url>/v/<token>/<room>/` of any node. One that is being made "
        "plays as far as it has come. `available` is false while the node that has it is offline.",
        returns=RecordingList,
        errors=(401, 403, 429, 503),
        auth="token",
        path_params=_ROOM,
    )
    async def list_recordings(self, request: web.Request) -> web.Response:
        """Return what the index has."""
        room = request.match_info["room"]
        downloads = self._authorizer.is_teacher(request, room) or self._section.student_download
        found = await self._recordings.index.in_room(room)
        return json_response(RecordingList([self._view(each, downloads=downloads) for each in found]))

    @operation(
        summary="Recording state of a class",
        tag="recordings",
        returns=RecordingState,
        errors=(401, 403, 429),
        auth="token",
        path_params=_ROOM,
    )
    async def state(self, request: web.Request) -> web.Response:
        """Return the state that the room's origin reports."""
        room = request.match_info["room"]
        self._authorizer.is_teacher(request, room)
        return json_response(self._state(room))

    @operation(
        summary="Start or stop recording a class",
        tag="recordings",
        description="While it is live. Asked twice for the same, it stays as it is. With `recording.mode` = `all`, "
        "`false` ends the present recording and `true` begins another.",
        body=RecordingSwitch,
        returns=RecordingState,
        errors=(400, 401, 403, 408, 409, 413, 429, 503),
        auth="teacher",
        path_params=_ROOM,
    )
    async def switch(self, request: web.Request) -> web.Response:
        """Send the order to the origin and return its answer."""
        room = request.match_info["room"]
        self._authorizer.require(request, Right.TEACHER, room)
        wanted = (await read_input(request, RecordingSwitch)).recording
        mode = self._state(room).mode
        if mode == "off":
            raise Conflict("Recording is switched off: set recording.mode to 'on-request' or 'all' and start again.")
        state = self._rooms.room(room)
        if state is None or state.phase not in ("live", "reconnecting"):
            if wanted:
                raise Conflict("This class is not live: start the stream first, then record it.")
            return json_response(RecordingState(False, mode, None))
        answer = await self._recordings.order(state.node_id, "start" if wanted else "stop", room)
        log.info("recording_switched", room=room, recording_id=answer.recording_id or None)
        return json_response(RecordingState(bool(answer.recording_id), mode, answer.recording_id or None))

    @operation(
        summary="Remove a recording",
        tag="recordings",
        description="With its files. One whose node is offline is only taken off the list, and only with "
        "`?forget=true`; it is listed again when its node comes back.",
        query=Forget,
        status=204,
        errors=(400, 401, 403, 404, 409, 429, 503),
        auth="teacher",
        path_params=_RECORDING,
    )
    async def delete(self, request: web.Request) -> web.Response:
        """Send the order to the node that has it."""
        room, recording_id = request.match_info["room"], request.match_info["recording_id"]
        self._authorizer.require(request, Right.TEACHER, room)
        forget = (await read_input(request, Forget)).forget
        found = await self._recordings.index.one(room, recording_id)
        if found is None:
            raise NotFound("There is no such recording.")
        if found.node_id in self._nodes.nodes():
            if found.status == "recording":
                raise Conflict("This recording is being made; stop it first.")
            await self._recordings.order(found.node_id, "delete", room, recording_id)
        elif not forget:
            raise Unavailable(
                f"The node {found.node_id}, which has this recording, is offline: start it again, or take the "
                "recording off the list with ?forget=true."
            )
        await self._recordings.index.drop(found.node_id, [recording_id])
        log.info("recording_removed", room=room, recording_id=recording_id, forgotten=forget)
        return web.Response(status=204)

    def _state(self, room: str) -> RecordingState:
        state = self._rooms.room(room)
        if state is None:
            return RecordingState(False, self._section.mode, None)
        recording_id = state.recording_id or None
        return RecordingState(recording_id is not None, state.recording_mode or self._section.mode, recording_id)

    def _view(self, each: IndexedRecording, *, downloads: bool) -> RecordingView:
        available = each.node_id in self._nodes.nodes()
        status: RecordingStatus = each.status if available or each.status != "recording" else "interrupted"
        base = f"recordings/{each.recording_id}"
        return RecordingView(
            recording_id=each.recording_id,
            room=each.room,
            title=each.title,
            started_at=each.started_at,
            ended_at=each.ended_at,
            duration_s=round(each.duration_s, 3),
            size_bytes=each.size_bytes,
            status=status,
            available=available,
            node_id=each.node_id,
            playlist_url=f"{base}/index.m3u8",
            download_url=f"{base}/download.mp4" if downloads else None,
        )
