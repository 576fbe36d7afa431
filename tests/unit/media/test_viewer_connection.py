"""Connections of players: answered without aiohttp where nothing is unusual, and as aiohttp would answer."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web
from prometheus_client import CollectorRegistry

from airnode.config.sections.http import HttpSection
from airnode.media.hls.blocking_reload import Waiters
from airnode.media.hls.window import VariantInfo, Window
from airnode.media.open_responses import OpenResponses
from airnode.media.room.viewers import Viewers
from airnode.media.sent_bytes import SentBytes
from airnode.media.viewer_answers import ViewerAnswers
from airnode.media.viewer_api import MediaApi
from airnode.media.viewer_connection import _HEADER, ViewerConnections
from airnode.web.apps import build_app
from airnode.web.http_listener import HttpListener, HttpLog
from airnode.web.tokens import Tokens
from tests.support.waiting import eventually

#: They outlast a run of all tests: these are issued when the file is read.
TOKENS = Tokens("0123456789abcdef0123456789abcdef", 86_400)
TOKEN = TOKENS.issue("ann", "student", "room")[0]
BASE = f"/v/{TOKEN}/room/"
#: A header with which aiohttp takes over the connection.
BY_AIOHTTP = "TE: trailers\r\n"


@dataclass
class Room:
    """A room that only has a window."""

    window: Window
    name: str = "room"
    closed: bool = False
    origin_unreachable: bool = False
    waiters: Waiters = field(default_factory=Waiters)
    viewers: Viewers = field(default_factory=lambda: Viewers(10.0))
    requests: list[str] = field(default_factory=list)

    def note_request(self, what: str) -> None:
        self.requests.append(what)


@dataclass
class Rooms:
    rooms: dict[str, Room]
    draining: bool = False

    def get(self, name: str) -> Any:
        return self.rooms.get(name)


@dataclass
class Port:
    """A media port with one room."""

    rooms: Rooms
    room: Room
    connections: ViewerConnections
    listener: HttpListener
    players: "list[Player]" = field(default_factory=list)

    async def open(self) -> "Player":
        player = Player(*await asyncio.open_connection("127.0.0.1", self.listener.port))
        self.players.append(player)
        return player

    def add_part(self, data: bytes = b"new part") -> None:
        self.room.window.add_part(data, 0.2, independent=False)
        self.room.window.notify()


@dataclass
class Player:
    """A client that writes requests as text."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def ask(self, path: str, headers: str = "") -> None:
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\n{headers}\r\n".encode())

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            return int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers["Content-Length"]))

    async def get(self, path: str, headers: str = "") -> tuple[int, dict[str, str], bytes]:
        self.ask(path, headers)
        return await self.answer()

    async def hung_up(self) -> None:
        """Read until the server closes the connection."""
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(1 << 20):
                    pass
            except ConnectionResetError:
                pass


def live_window() -> Window:
    window = Window()
    window.begin_epoch()
    window.begin_period(b"init", VariantInfo(("avc1.64001f",), 640, 360, 30.0), discontinuity=False)
    window.set_part_target(0.2)
    for start in range(2):
        window.begin_segment(1_700_000_000.0 + start, independent=True)
        window.add_part(b"p" * 20_000, 0.2, independent=True)
        if not start:
            window.end_segment()
            window.freeze_target_duration(2)
    return window


@asynccontextmanager
async def media_port(
    origins: tuple[str, ...] = ("*",), idle_s: float = 75.0, tokens: Tokens = TOKENS
) -> AsyncIterator[Port]:
    registry, room = CollectorRegistry(), Room(live_window())
    room.window.add_listener(room.waiters.wake)
    rooms = Rooms({"room": room})
    answers = ViewerAnswers(cast("Any", rooms), tokens, registry, sent_bytes=SentBytes(registry).hls)
    connections = ViewerConnections(answers, origins, idle_s)
    api = MediaApi(answers, connections, OpenResponses())
    app: web.Application = build_app(HttpSection(allowed_origins=origins), [api.add_routes], lambda: None, lambda: ())
    sock = socket.create_server(("127.0.0.1", 0))
    listener = HttpListener(app, [sock], None, 1.0, HttpLog(registry))
    await listener.start()
    port = Port(rooms, room, connections, listener)
    try:
        yield port
    finally:
        await listener.stop()
        for player in port.players:
            player.writer.transport.abort()


def next_part(window: Window) -> str:
    return window.media_playlist().decode().rpartition('URI="')[2].partition('"')[0]


async def test_both_ways_give_the_same_answer():
    async with media_port() as port:
        quick, usual = await port.open(), await port.open()
        names = ["index.m3u8", "media.m3u8", "media.m3u8?_HLS_msn=8&_HLS_part=0&_HLS_skip=YES"]
        listed = port.room.window.media_playlist().decode()
        names += [line.split('URI="')[1].partition('"')[0] for line in listed.splitlines() if "PART:" in line]
        names += [
            f"/live/room/index.m3u8?jwt={TOKEN}",
            "media.m3u8?_HLS_msn=99",
            "media.m3u8?_HLS_msn=8&_HLS_part=99",
            "nothing.mp4",
        ]
        for name in names:
            path = name if name.startswith("/") else BASE + name
            status, headers, body = await quick.get(path, "Origin: http://page\r\n")
            assert len(port.connections) >= 1
            other_status, other_headers, other_body = await usual.get(path, "Origin: http://page\r\n" + BY_AIOHTTP)
            other_headers.pop("Server")
            assert (status, set(headers)) == (other_status, set(other_headers)), name
            for header in headers.keys() - {"Date"}:
                assert headers[header] == other_headers[header] or header == "Content-Length", (name, header)
            if status == 200:
                assert body == other_body, name
        assert len(port.connections) == 1  # the other one belongs to aiohttp


async def test_a_playlist_and_a_part_wait_for_the_next_part():
    async with media_port() as port:
        lists, media = await port.open(), await port.open()
        lists.ask(BASE + "media.m3u8?_HLS_msn=8&_HLS_part=1")
        media.ask(BASE + next_part(port.room.window))
        await eventually(lambda: len(port.room.waiters) == 2, what="both wait")
        port.add_part()
        assert b"PART" in (await lists.answer())[2]
        assert (await media.answer())[2] == b"new part"
        assert len(port.connections) == 2
        assert port.room.viewers.count(asyncio.get_running_loop().time()) == 1


async def test_early_requests_are_answered_in_their_order():
    async with media_port() as port:
        player = await port.open()
        player.ask(BASE + next_part(port.room.window))
        player.ask(BASE + "index.m3u8")
        player.ask(BASE + "media.m3u8")
        await eventually(lambda: len(port.room.waiters) == 1, what="the first waits")
        port.add_part()
        assert [(await player.answer())[2][:7] for _ in range(3)] == [b"new par", b"#EXTM3U", b"#EXTM3U"]


async def test_aiohttp_takes_over_what_is_unusual():
    async with media_port() as port:
        for path, headers, status in (
            ("/v/bad.token/room/media.m3u8", "", 401),
            ("/v/" + TOKENS.issue("ann", "student", "other")[0] + "/room/media.m3u8", "", 403),
            ("/openapi.json", "", 200),
            (BASE + "media.m3u8?_HLS_part=1", "", 400),
            (BASE + "media.m3u8", "Connection: close\r\n", 200),
            (BASE + "media.m3u8", "broken header\r\n", 400),
        ):
            player = await port.open()
            assert (await player.get(path, headers))[0] == status, path
            assert len(port.connections) == 0
        player = await port.open()
        player.writer.write(f"GET {BASE}media.m3u8 HT".encode())
        await eventually(lambda: len(port.connections) == 0, what="half a head is handed over")
        player.writer.write(b"TP/1.1\r\nHost: here\r\n\r\n")
        assert (await player.answer())[0] == 200


async def test_only_allowed_origins_may_read():
    async with media_port(("http://page",)) as port:
        player = await port.open()
        assert "Access-Control-Allow-Origin" not in (await player.get(BASE + "media.m3u8", "Origin: http://x\r\n"))[1]
        headers = (await player.get(BASE + "media.m3u8", "Origin: http://page\r\n"))[1]
        assert headers["Access-Control-Allow-Origin"] == "http://page"
        assert len(port.connections) == 1


async def test_a_request_that_waits_is_refused_when_the_node_drains_or_the_class_ends():
    async with media_port() as port:
        for end, status in (("closed", 503), ("gone", 404), ("draining", 503)):
            player = await port.open()
            player.ask(BASE + next_part(port.room.window))
            await eventually(lambda: len(port.room.waiters) == 1, what="it waits")
            port.room.closed = end != "draining"
            port.rooms.draining = end == "draining"
            if end == "gone":
                port.rooms.rooms.clear()
            port.room.waiters.wake()
            found, headers, _ = await player.answer()
            assert (found, headers["Content-Type"].split(";")[0]) == (status, "application/problem+json")
            port.room.closed = False
            port.rooms.rooms["room"] = port.room


async def test_a_student_who_is_removed_while_a_request_waits_gets_nothing_more():
    tokens, removed = Tokens("0123456789abcdef0123456789abcdef", 600), set[str]()
    tokens.refuse_removed(lambda room, ids: room == "room" and not removed.isdisjoint(ids))
    async with media_port(tokens=tokens) as port:
        player = await port.open()
        player.ask(BASE + next_part(port.room.window))
        await eventually(lambda: len(port.room.waiters) == 1, what="it waits")
        removed.add("ann")
        port.add_part()
        assert (await player.answer())[0] == 403
        assert (await player.get(BASE + "media.m3u8"))[0] == 403


async def test_a_request_waits_only_three_target_durations(monkeypatch):
    monkeypatch.setattr("airnode.media.viewer_answers._RELOAD_TARGETS", 0.05)
    async with media_port() as port:
        player = await port.open()
        assert (await player.get(BASE + next_part(port.room.window)))[0] == 503


async def test_idle_and_stuck_players_are_closed(monkeypatch):
    monkeypatch.setattr("airnode.media.viewer_connection._SWEEP_S", 0.05)
    async with media_port(idle_s=0.1) as port:
        idle, silent = await port.open(), await port.open()
        await idle.get(BASE + "media.m3u8")
        port.add_part(b"x" * (32 << 20))
        silent.ask(BASE + port.room.window.media_playlist().decode().rpartition("PART:")[2].split('"')[1])
        await idle.hung_up()
        await eventually(lambda: len(port.connections) == 0, what="both are closed")


async def test_a_flood_behind_a_waiting_request_ends_the_connection():
    async with media_port() as port:
        player = await port.open()
        player.ask(BASE + next_part(port.room.window))
        player.writer.write(b"x" * (1 << 20))
        await player.hung_up()
        port.add_part()


async def test_stopping_answers_what_waits_and_closes_the_rest():
    async with media_port() as port:
        waiting, idle = await port.open(), await port.open()
        await idle.get(BASE + "media.m3u8")
        waiting.ask(BASE + next_part(port.room.window))
        await eventually(lambda: len(port.room.waiters) == 1, what="it waits")
        await port.connections.stop()
        await idle.hung_up()
        port.rooms.draining = True
        port.room.waiters.wake()
        assert (await waiting.answer())[0] == 503
        await waiting.hung_up()


def test_no_header_takes_long_to_read():
    """A stranger sends it: before the token is looked at, and while a class is on."""
    began_s = time.thread_time()
    assert _HEADER.fullmatch(b"a:" + b" " * 8000 + b"\x01") is None
    assert time.thread_time() - began_s < 0.05
    header = _HEADER.fullmatch(b"Origin: \t https://school.example ")
    assert header is not None
    assert header[2].strip() == b"https://school.example"
