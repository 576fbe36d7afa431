"""The master's HTTP API for the list of classes: making, renaming and archiving them, and their teacher keys."""

import msgspec
import structlog
from aiohttp import web

from airnode.bus.messages import ROOM_PATTERN, RoomPhase
from airnode.cluster.archiving import Archiving
from airnode.cluster.classes import Class, Classes
from airnode.cluster.room_states import RoomStates
from airnode.cluster.stream_keys import StreamKeyPublisher
from airnode.cluster.token_issuer import check_text
from airnode.errors import FieldError, InvalidInput
from airnode.web.credentials import Authorizer, Right
from airnode.web.inputs import json_response, read_input
from airnode.web.openapi import operation

log = structlog.get_logger(__name__)

_MAX_TITLE_CHARS = 120
_ROOM = (("room", "The class's room."),)
_ERRORS = (401, 403, 404, 429, 503)


class ClassRequest(msgspec.Struct):
    """A class to be created.

    Attributes:
        title: 1 to 120 characters. room: its name in addresses; empty: the master makes one.
    """

    title: str
    room: str = ""


class ClassSummary(msgspec.Struct):
    """A class in a list. Times are unix seconds.

    Attributes:
        room: its name in addresses. class_code: what students type to join. viewers: how many watch it now.
        since: when its state began; 0: not known. archived_at: null: it is not archived.
        has_teacher_key: a key opens this class only. is_default: it cannot be archived.
    """

    room: str
    title: str
    class_code: str
    state: RoomPhase
    viewers: int
    since: float
    created_at: float
    archived_at: float | None
    has_teacher_key: bool
    is_default: bool


class ClassList(msgspec.Struct):
    """The classes of this cluster; with the teacher key of a class, that class."""

    classes: list[ClassSummary]


class ClassListQuery(msgspec.Struct):
    """Which classes are listed.

    Attributes:
        archived: those that were archived, in place of the others.
    """

    archived: bool = False


class ClassChange(msgspec.Struct):
    """What to change of a class; null: it stays.

    Attributes:
        title: 1 to 120 characters. archived: true: off the list, its code and its keys open nothing; false: back.
    """

    title: str | None = None
    archived: bool | None = None


class TeacherKey(msgspec.Struct):
    """The key that opens the studio of one class. It is shown this once."""

    teacher_key: str


class ClassesApi:
    """The handlers. They hold no state."""

    def __init__(
        self,
        *,
        authorizer: Authorizer,
        classes: Classes,
        stream_keys: StreamKeyPublisher,
        rooms: RoomStates,
        default_room: str,
    ) -> None:
        self._authorizer = authorizer
        self._classes = classes
        self._stream_keys = stream_keys
        self._rooms = rooms
        self._default_room = default_room
        self._archiving = Archiving(classes, stream_keys, rooms, default_room=default_room)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/classes", self.list_classes)
        app.router.add_post("/api/classes", self.create_class)
        app.router.add_post("/api/classes/{room}", self.change_class)
        app.router.add_post("/api/classes/{room}/teacher-key", self.renew_teacher_key)
        app.router.add_delete("/api/classes/{room}/teacher-key", self.remove_teacher_key)

    @operation(
        summary="List classes",
        tag="classes",
        description="A teacher who has the key of one class gets that class.",
        query=ClassListQuery,
        returns=ClassList,
        errors=(400, 401, 403, 429, 503),
        auth="teacher",
    )
    async def list_classes(self, request: web.Request) -> web.Response:
        """Return the classes with their state."""
        only = self._authorizer.taught_room(request)
        archived = (await read_input(request, ClassListQuery)).archived
        found = await (self._classes.archived() if archived else self._classes.all())
        return json_response(ClassList([self._summary(each) for each in found if only in (None, each.room)]))

    @operation(
        summary="Create a class",
        tag="classes",
        description="Needs the teacher secret, or the token of a teacher who gave it.",
        body=ClassRequest,
        returns=ClassSummary,
        status=201,
        errors=(400, 401, 403, 408, 409, 413, 429, 503),
        auth="teacher",
    )
    async def create_class(self, request: web.Request) -> web.Response:
        """Return a new class, with its own code and stream key."""
        self._authorizer.require(request, Right.TEACHER)
        body = await read_input(request, ClassRequest)
        title = _title(body.title)
        if body.room and not ROOM_PATTERN.match(body.room):
            message = "A room is 1-63 small letters, digits, - and _, and starts with a letter or digit."
            raise InvalidInput(message, errors=[FieldError("room", message)])
        made = await self._classes.create(title, body.room or None)
        await self._stream_keys.refresh()
        log.info("class_created", room=made.room)
        return json_response(self._summary(made), status=201)

    @operation(
        summary="Rename, archive or restore a class",
        tag="classes",
        description="An archived class keeps its recordings and its record, and comes back with the same code and "
        "keys. A class that is live is not archived (409); neither is the class that opens without a code. Only the "
        "teacher secret archives and restores.",
        body=ClassChange,
        returns=ClassSummary,
        errors=(400, 401, 403, 404, 408, 409, 413, 429, 503),
        auth="teacher",
        path_params=_ROOM,
    )
    async def change_class(self, request: web.Request) -> web.Response:
        """Return the class as it is now."""
        room = request.match_info["room"]
        self._authorizer.require(request, Right.TEACHER, room)
        body = await read_input(request, ClassChange)
        title = None if body.title is None else _title(body.title)
        if body.archived is not None:
            self._authorizer.require(request, Right.TEACHER)
        if body.archived is True:
            changed = await self._archiving.archive(room, title)
        else:
            if body.archived is False:
                await self._archiving.restore(room)
            changed = await (self._classes.by_room(room) if title is None else self._classes.rename(room, title))
        log.info("class_changed", room=room, renamed=title is not None, archived=body.archived)
        return json_response(self._summary(changed))

    @operation(
        summary="Make a teacher key for a class",
        tag="classes",
        description="Whoever has it runs this class and no other one. An earlier key opens nothing more; tokens that "
        "it opened end within `auth.token_ttl_s`. Needs the teacher secret.",
        returns=TeacherKey,
        errors=_ERRORS,
        auth="teacher",
        path_params=_ROOM,
    )
    async def renew_teacher_key(self, request: web.Request) -> web.Response:
        """Return the new key."""
        room = request.match_info["room"]
        self._authorizer.require(request, Right.TEACHER)
        key = await self._classes.renew_teacher_key(room)
        log.info("teacher_key_renewed", room=room)
        return json_response(TeacherKey(key))

    @operation(
        summary="Remove the teacher key of a class",
        tag="classes",
        description="Tokens that it opened end within `auth.token_ttl_s`. Needs the teacher secret.",
        status=204,
        errors=_ERRORS,
        auth="teacher",
        path_params=_ROOM,
    )
    async def remove_teacher_key(self, request: web.Request) -> web.Response:
        """Let only the teacher secret open the class."""
        room = request.match_info["room"]
        self._authorizer.require(request, Right.TEACHER)
        await self._classes.remove_teacher_key(room)
        log.info("teacher_key_removed", room=room)
        return web.Response(status=204)

    def _summary(self, each: Class) -> ClassSummary:
        view = self._rooms.view(each.room)
        return ClassSummary(
            room=each.room,
            title=each.title,
            class_code=each.code,
            state=view.state,
            viewers=view.viewers,
            since=view.since,
            created_at=each.created_at.timestamp(),
            archived_at=each.archived_at.timestamp() if each.archived_at is not None else None,
            has_teacher_key=each.has_teacher_key,
            is_default=each.room == self._default_room,
        )


def _title(text: str) -> str:
    title = text.strip()
    check_text("title", title, _MAX_TITLE_CHARS)
    return title
