"""A teacher removes a student: the video stops on every node, and no door opens until the student is readmitted."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.chat_rooms import Refused, RoomClient
from tests.support.cluster import QUICK, TEACHER, Cluster
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(240)]


@dataclass
class Watching:
    """An open ``live.mp4``."""

    bytes_got: int = 0
    has_ended: bool = False

    async def read(self, session: aiohttp.ClientSession, url: str) -> None:
        try:
            async with session.get(url) as response:
                assert response.status == 200
                async for data in response.content.iter_any():
                    self.bytes_got += len(data)
        except aiohttp.ClientError:
            pass
        self.has_ended = True


class Browser:
    """A student's browser: its cookies, and its token.

    Attributes:
        place: the answer of the last token request.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self._cluster = cluster
        self.place: dict[str, Any] = {}

    async def ask(self, name: str, **fields: str) -> int:
        """Ask for a token; return the status."""
        body = {
            "user_type": "student",
            "user_id": f"u-{name}",
            "code": self._cluster.master["class_code"],
            "name": name,
        }
        url = f"{self._cluster.master['api_url']}/api/token"
        async with self.session.post(url, json={**body, "student": "new", **fields}) as response:
            answer = await response.json()
            if response.status == 200:
                self.place = answer
            else:
                assert answer["code"] == "removed"
                assert "removed you" in answer["detail"]
            return response.status

    def url(self, node: AirnodeProcess, name: str) -> str:
        return f"{node['media_url']}/v/{self.place['token']}/stream/{name}"

    async def status(self, url: str) -> int:
        async with self.session.get(url) as response:
            return response.status


@pytest.fixture
async def school(tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[tuple[Cluster, list[AirnodeProcess]]]:
    cluster = Cluster(tmp_path, session, *QUICK, "--set", "recording.mode=all")
    try:
        await cluster.start()
        names = ("slave-1", "slave-2")
        slaves = [await cluster.add_slave(name, "--set", "recording.min_free_bytes=0") for name in names]
        yield cluster, slaves
    finally:
        await cluster.close()


async def teacher_of(cluster: Cluster, node: AirnodeProcess) -> RoomClient:
    """Return a teacher who is in the class's chat."""
    body = {"user_type": "teacher", "user_id": "kim", "secret": TEACHER, "name": "Kim"}
    async with cluster.session.post(f"{cluster.master['api_url']}/api/token", json=body) as response:
        token = (await response.json())["token"]
    client = await RoomClient(cluster.session, node["media_url"], token=token).connect()
    await client.ask("joinRoom", "stream")
    return client


async def test_the_video_of_a_removed_student_stops_everywhere_and_comes_back_when_readmitted(
    school: tuple[Cluster, list[AirnodeProcess]], session: aiohttp.ClientSession, clip: Path
):
    cluster, (origin, edge) = school
    publisher = await Publisher.of_clip(f"{origin['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
    bad, good = Browser(cluster), Browser(cluster)
    reading: list[asyncio.Task[None]] = []
    try:
        assert [await bad.ask("Mina"), await good.ask("Jun")] == [200, 200]
        for node in (origin, edge):
            await eventually(lambda node=node: is_served(bad.url(node, "index.m3u8"), bad), 40, "the class is live")
        recordings = f"{cluster.master['api_url']}/api/classes/stream/recordings"
        headers = {"Authorization": f"Bearer {bad.place['token']}"}
        listed = await eventually(lambda: recorded(session, recordings, headers), 30, "the class is recorded")
        recording = f"recordings/{listed[0]['recording_id']}/index.m3u8"
        watched = {node: Watching() for node in (origin, edge)}
        others = {node: Watching() for node in (origin, edge)}
        reading = [
            asyncio.get_running_loop().create_task(watching.read(who.session, who.url(node, "live.mp4")))
            for who, all_ in ((bad, watched), (good, others))
            for node, watching in all_.items()
        ]
        await eventually(lambda: all(w.bytes_got > 50_000 for w in (*watched.values(), *others.values())), 30, "video")
        teacher = await teacher_of(cluster, edge)
        student = await RoomClient(session, origin["media_url"], token=bad.place["token"]).connect()
        await student.ask("joinRoom", "stream")

        await teacher.ask("moderation", "stream", {"remove": bad.place["user_id"]})
        await eventually(lambda: all(each.has_ended for each in watched.values()), 10, "both videos stop")
        await student.until(lambda c: c.is_closed, "the chat ends")
        assert student.got("removed") == [{"room": "stream"}]
        before = {node: each.bytes_got for node, each in others.items()}
        await eventually(
            lambda: all(each.bytes_got > before[node] for node, each in others.items()), 10, "others go on"
        )

        for node in (origin, edge):
            for name in (
                "index.m3u8",
                "media.m3u8",
                "live.mp4",
                recording,
            ):
                assert await bad.status(bad.url(node, name)) == 403, name
            with pytest.raises(Refused):
                await RoomClient(session, node["media_url"], token=bad.place["token"]).connect()
        async with session.get(recordings, headers=headers) as response:
            assert response.status == 403
        assert [await bad.ask("Mina"), await bad.ask("Somebody else")] == [403, 403]
        assert await bad.ask("Another", student="", user_id="u-other") == 403
        assert await good.ask("Jun") == 200

        await teacher.ask("moderation", "stream", {"readmit": bad.place["user_id"]})
        await eventually(lambda: is_admitted(bad), 5, "readmitted")
        for node in (origin, edge):
            await eventually(lambda node=node: is_served(bad.url(node, "index.m3u8"), bad), 10, "the class again")
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        await bad.session.close()
        await good.session.close()
        await publisher.kill()


async def recorded(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    """Return the recordings that a student sees."""
    async with session.get(url, headers=headers) as response:
        return list((await response.json())["recordings"])


async def is_served(url: str, who: Browser) -> bool:
    return await who.status(url) == 200


async def is_admitted(who: Browser) -> bool:
    return await who.ask("Mina") == 200
