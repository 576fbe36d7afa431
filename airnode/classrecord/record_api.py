"""The master's HTTP API for the record of classes."""

import asyncio
from datetime import UTC, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from aiohttp import web

from airnode.classrecord.record_files import LANGUAGES, PARTS, Language, csv_file, file_name, json_file
from airnode.classrecord.record_reader import RecordReader
from airnode.classrecord.record_types import Part, SessionList, SessionRecord
from airnode.errors import FieldError, InvalidInput, NotFound
from airnode.web.credentials import Authorizer, Right
from airnode.web.inputs import json_response, read_input, unless_known
from airnode.web.openapi import operation

_ROOM = (("room", "The class's room."),)
_SESSION = (*_ROOM, ("session_id", "As the list names it, or `latest`."))
_ERRORS = (401, 403, 404, 429, 503)


class RecordQuery(msgspec.Struct):
    """What is wanted of a record.

    Attributes:
        part: only the rows of this part, with the counts of all; empty: everything.
    """

    part: Part | Literal[""] = ""


class RecordFileQuery(msgspec.Struct):
    """How a CSV file is written.

    Attributes:
        lang: language of the headings. tz: time zone of the times, such as `Asia/Seoul`.
    """

    lang: Language = "en"
    tz: str = "UTC"


class RecordApi:
    """The handlers. Only teachers read records."""

    def __init__(self, authorizer: Authorizer, reader: RecordReader) -> None:
        self._authorizer = authorizer
        self._reader = reader

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/rooms/{room}/record", self.sessions)
        app.router.add_get("/api/rooms/{room}/record/{session_id}", self.record)
        app.router.add_get("/api/rooms/{room}/record/{session_id}/record.json", self.json)
        app.router.add_get("/api/rooms/{room}/record/{session_id}/{part}.csv", self.csv)

    @operation(
        summary="List a class's sessions",
        tag="record",
        description="A session is a time in which the class was live; short interruptions belong to it.",
        returns=SessionList,
        errors=(401, 403, 404, 429, 503),
        auth="teacher",
        path_params=_ROOM,
    )
    async def sessions(self, request: web.Request) -> web.Response:
        """Return the newest sessions."""
        return json_response(await self._reader.sessions(self._room(request)))

    @operation(
        summary="The record of a session",
        tag="record",
        description="Attendance, chat, questions, polls and raised hands, also while the class is live: who is there "
        "now is in the attendance, without a time of leaving. What happened appears within about a second. With "
        "`If-None-Match`, an answer with the same `ETag` comes without a body (304).",
        query=RecordQuery,
        returns=SessionRecord,
        errors=(400, *_ERRORS),
        auth="teacher",
        path_params=_SESSION,
    )
    async def record(self, request: web.Request) -> web.Response:
        """Return the record, or a part of it, unless the client has it already."""
        room = self._room(request)
        part = (await read_input(request, RecordQuery)).part or None
        found = await self._reader.record(room, request.match_info["session_id"], part)
        return unless_known(request, json_response(found))

    @operation(
        summary="Download a record as JSON",
        tag="record",
        returns=SessionRecord,
        errors=_ERRORS,
        auth="teacher",
        path_params=_SESSION,
    )
    async def json(self, request: web.Request) -> web.Response:
        """Return the record as a file."""
        record = await self._record(request)
        body = await asyncio.to_thread(json_file, record)
        return _file(body, "application/json", file_name(record, "record", "json"))

    @operation(
        summary="Download a part of a record as CSV",
        tag="record",
        description="UTF-8 with a byte order mark, which Excel opens correctly. Cells that a spreadsheet would take "
        "for a formula begin with an apostrophe.",
        returns="text/csv",
        errors=(400, *_ERRORS),
        auth="teacher",
        query=RecordFileQuery,
        path_params=(*_SESSION, ("part", "`attendance`, `chat`, `questions`, `polls` or `hands`.")),
    )
    async def csv(self, request: web.Request) -> web.Response:
        """Return one part as a file."""
        room, part = self._room(request), _part(request)
        language, zone = _language(request.query.get("lang", "en")), _zone(request.query.get("tz", "UTC"))
        record = await self._reader.record(room, request.match_info["session_id"])
        body = await asyncio.to_thread(csv_file, record, part, language=language, zone=zone)
        return _file(body, "text/csv", file_name(record, part, "csv", zone))

    def _room(self, request: web.Request) -> str:
        room = request.match_info["room"]
        self._authorizer.require(request, Right.TEACHER, room)
        return room

    async def _record(self, request: web.Request) -> SessionRecord:
        return await self._reader.record(self._room(request), request.match_info["session_id"])


def _part(request: web.Request) -> Part:
    for part in PARTS:
        if request.match_info["part"] == part:
            return part
    raise NotFound(f"A record has these parts: {', '.join(PARTS)}.")


def _language(name: str) -> Language:
    for language in LANGUAGES:
        if name == language:
            return language
    raise InvalidInput("lang must be en or ko.", errors=[FieldError("lang", "must be en or ko")])


def _zone(name: str) -> tzinfo:
    """Return a time zone. InvalidInput (400): there is none of this name."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = "tz must be the name of a time zone, such as Asia/Seoul."
        raise InvalidInput(message, errors=[FieldError("tz", message)]) from None


def _file(body: bytes, content_type: str, name: str) -> web.Response:
    return web.Response(
        body=body,
        content_type=content_type,
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )
