"""Rooms as pages follow them: Server-Sent Events."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import jwt
import psutil
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.messages import ROOMS, RoomState, StreamInfo
from airnode.bus.subscription import BusMetrics
from airnode.cluster.room_events import RoomEvents
from airnode.cluster.room_states import RoomStates
from airnode.config.sections.redis import RedisSection
from airnode.kernel.tasks import TaskScope
from tests.integration.conftest import Client, Lesson
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess, Api
from tests.support.rtmp import RtmpPublisher
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)


class Events:
    """One open event stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.seen: list[dict] = []

    async def next(self, within_s: float = 15) -> dict | None:
        """The next state of the room; None at the end of the stream."""
        async with asyncio.timeout(within_s):
            while line := (await self.response.content.readline()).decode():
                if line.startswith("data: "):
                    self.seen.append(json.loads(line[6:]))
                    return self.seen[-1]
                assert line in ("\n", "event: room\n", "retry: 1000\n", ": still here\n"), line
        return None

    async def until(self, wanted: Callable[[dict], bool], within_s: float = 20) -> dict:
        async with asyncio.timeout(within_s):
            while (event := await self.next()) is not None:
                if wanted(event):
                    return event
        raise AssertionError(f"the stream ended: {self.seen}")


@contextlib.asynccontextmanager
async def follow(node: AirnodeProcess, session: aiohttp.ClientSession, room: str, token: str) -> AsyncIterator[Events]:
    url = f"{node['api_url']}/api/rooms/{room}/events"
    async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        yield Events(response)


async def streams(node: AirnodeProcess, session: aiohttp.ClientSession) -> float:
    """How many the node says are open."""
    async with session.get(node["api_url"] + "/metrics") as response:
        text = await response.text()
    return float(text.partition("\nairnode_room_event_streams ")[2].split()[0])


async def test_the_first_event_is_due_at_once(school: AirnodeProcess, session, lesson: Lesson):
    for token in (lesson.student, lesson.teacher):
        async with follow(school, session, lesson.room, token) as events:
            event = await events.next(within_s=3)
            assert (event["room"], event["state"], event["viewers"]) == (lesson.room, "waiting", 0)
            assert event["server_time"] == pytest.approx(time.time(), abs=5)
            assert event["stream"] is None


@pytest.mark.ffmpeg
async def test_a_class_from_waiting_to_its_end(
    school: AirnodeProcess, session, lesson: Lesson, school_api: Api, clip: Path
):
    async with (
        follow(school, session, lesson.room, lesson.teacher) as teacher,
        follow(school, session, lesson.room, lesson.student) as student,
    ):
        publisher = await Publisher.of_clip(lesson.rtmp_url, clip).start()
        try:
            for events in (teacher, student):
                live = await events.until(lambda event: event["state"] == "live")
                assert live["since"] == pytest.approx(time.time(), abs=10)
            figures = await teacher.until(lambda event: event["stream"]["bitrate_bps"] > 0)
            assert (figures["stream"]["width"], figures["stream"]["height"]) == (640, 360)
            before = len(teacher.seen)
            until_s = time.monotonic() + 4
            while time.monotonic() < until_s:
                assert (await teacher.next())["state"] == "live"
            assert 2 <= len(teacher.seen) - before <= 6
            media = f"{school['media_url']}/v/{lesson.student}/{lesson.room}/media.m3u8"

            async def watches() -> bool:
                return (await school_api.get(media))[0] == 200

            await eventually(watches, what="a student watches")
            for events in (student, teacher):
                assert (await events.until(lambda event: event["viewers"] == 1))["state"] == "live"
        finally:
            await publisher.kill()
        for events in (teacher, student):
            waiting = await events.until(lambda event: event["state"] == "reconnecting")
            assert 0 < waiting["reconnect_deadline"] - waiting["server_time"] <= 2
            ended = await events.until(lambda event: event["state"] == "ended")
            assert ended["reconnect_deadline"] is None
            states = [event["state"] for event in events.seen]
            assert [state for state, last in zip(states, ["", *states], strict=False) if state != last] == [
                "waiting",
                "live",
                "reconnecting",
                "ended",
            ]
        assert len(student.seen) < len(teacher.seen)


async def test_events_need_a_token(school: AirnodeProcess, client: Client, lesson: Lesson):
    path = f"/api/rooms/{lesson.room}/events"
    assert (await client.call("GET", path))[0] == 401
    assert (await client.call("GET", path, token="x.y.z"))[0] == 401
    assert (await client.call("GET", "/api/rooms/stream/events", token=lesson.student))[0] == 403
    async with client.session.head(school["api_url"] + path) as response:
        assert response.status == 405


async def test_the_stream_ends_with_its_token(school: AirnodeProcess, session, lesson: Lesson):
    key = json.loads((school.data_dir / "secrets.json").read_text())["jwt_secret"]
    claims = jwt.decode(lesson.student, key, algorithms=["HS256"])
    short = jwt.encode({**claims, "exp": int(time.time()) + 2}, key)
    async with follow(school, session, lesson.room, short) as events:
        assert await events.next() is not None
        assert await events.next(within_s=8) is None


async def test_the_drain_ends_the_streams(node: AirnodeProcess, api: Api):
    token = (await api.student())["token"]
    async with follow(node, api.session, "stream", token) as events:
        assert await events.next() is not None
        stopping = asyncio.create_task(node.stop())
        assert await events.next() is None
        assert await stopping == 0


async def test_a_hundred_pages_follow_one_room(school: AirnodeProcess, lesson: Lesson):
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        before = await streams(school, session)
        async with contextlib.AsyncExitStack() as stack:
            pages = [
                await stack.enter_async_context(follow(school, session, lesson.room, lesson.student))
                for _ in range(100)
            ]
            assert all(event is not None for event in await asyncio.gather(*(page.next() for page in pages)))
            assert await streams(school, session) == before + 100
            peer = await RtmpPublisher.connect(int(lesson.rtmp_url.rpartition(":")[2].split("/")[0]))
            assert (await peer.publish(lesson.stream_key))[1] == "NetStream.Publish.Start"
            told = await asyncio.gather(*(page.until(lambda event: event["state"] == "live") for page in pages))
            assert len({event["epoch"] for event in told}) == 1
            await peer.aclose()

        async def gone() -> bool:
            return await streams(school, session) <= before

        await eventually(gone, what="the slots are free again")


async def test_a_client_that_vanishes_frees_its_slot(school: AirnodeProcess, session, lesson: Lesson):
    host, port = school["api_url"].replace("localhost", "127.0.0.1").removeprefix("http://").split(":")
    before = await streams(school, session)
    reader, writer = await asyncio.open_connection(host, int(port))
    request = f"GET /api/rooms/{lesson.room}/events?jwt={lesson.student} HTTP/1.1\r\nHost: a\r\n\r\n"
    writer.write(request.encode())
    await reader.readuntil(b"event: room")
    assert await streams(school, session) == before + 1
    linger = b"\1\0\0\0\0\0\0\0"  # close() sends a reset
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.close()

    async def gone() -> bool:
        return await streams(school, session) == before

    await eventually(gone, what="the slot is free again")


# -- a client that never reads ----------------------------------------------------------------------------------------


class RoomStreams:
    """Event streams on a real bus and a real port."""

    def __init__(self, url: str) -> None:
        self.registry = CollectorRegistry()
        self.bus = Bus(RedisSection(url=url), BusMetrics(self.registry))
        self.tasks = TaskScope("room-states")
        self.rooms = RoomStates(self.bus, self.tasks)
        self.room_events = RoomEvents(self.rooms, self.registry, write_timeout_s=0.5)
        self.transports: list[asyncio.Transport] = []

    def value(self, name: str) -> float:
        return self.registry.get_sample_value(name) or 0.0

    async def events(self, request: web.Request) -> web.StreamResponse:
        assert isinstance(request.transport, asyncio.Transport)
        self.transports.append(request.transport)
        return await self.room_events.stream(request, "big", stats=True)


@pytest.fixture
async def room_streams(valkey_url: str) -> AsyncIterator[tuple[RoomStreams, int]]:
    made = RoomStreams(valkey_url)
    app = web.Application()
    app.router.add_get("/events", made.events)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await made.bus.start()
    await made.rooms.start()
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield made, runner.addresses[0][1]
    finally:
        await made.room_events.stop()
        await made.rooms.stop()
        await runner.cleanup()
        await made.bus.stop()


async def test_a_client_that_never_reads_is_disconnected_and_affects_no_other(
    room_streams: tuple[RoomStreams, int], session
):
    made, port = room_streams
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", port))
    stuck.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    await eventually(lambda: made.transports, what="the stuck client's stream is open")
    async with session.get(f"http://127.0.0.1:{port}/events", read_bufsize=1 << 20) as response:
        reading = Events(response)
        assert await reading.next() is not None
        size, most, memory = 60_000, 0, psutil.Process().memory_info().rss
        encoder = "x" * size
        for epoch in range(1, 2000):
            state = RoomState("big", "n", "live", time.time(), epoch=epoch, stream=StreamInfo(encoder=encoder))
            await made.bus.publish(ROOMS, state)
            assert (await reading.until(lambda event, e=epoch: event["epoch"] >= e))["state"] == "live"
            reading.seen.clear()
            most = max(most, made.transports[0].get_write_buffer_size())
            if made.value("airnode_room_events_stuck_total"):
                break
        assert made.value("airnode_room_events_stuck_total") == 1
        assert most <= 4 * size
        assert psutil.Process().memory_info().rss - memory < 64 << 20
        assert made.value("airnode_room_event_streams") == 1
    stuck.close()


async def test_a_class_stays_ended_when_its_origin_has_forgotten_it(room_streams: tuple[RoomStreams, int], session):
    made, port = room_streams
    began = time.time()
    await made.bus.publish(ROOMS, RoomState("big", "n", "ended", began, epoch=1))
    await eventually(lambda: made.rooms.room("big"), what="the report has come")
    await made.bus.publish(ROOMS, RoomState("big", "n", "waiting", time.time(), epoch=1))
    await eventually(lambda: made.rooms.room("big") is None, what="the origin has forgotten the room")
    async with session.get(f"http://127.0.0.1:{port}/events") as response:
        events = Events(response)
        first = await events.next()
        assert first is not None
        assert (first["state"], first["since"], first["epoch"]) == ("ended", began, 1)
        await made.bus.publish(ROOMS, RoomState("big", "n", "live", time.time(), epoch=2))
        assert (await events.until(lambda event: event["epoch"] == 2))["state"] == "live"
