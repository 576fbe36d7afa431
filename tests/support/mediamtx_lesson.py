"""A class on a node with the MediaMTX engine."""

import itertools
import json
import socket
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.support.mediamtx import FakePublisher, written
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

_CLASSES = itertools.count(1)
WITHIN_S = 30.0


@dataclass
class Lesson:
    """A class on a node, used by one test."""

    node: AirnodeProcess
    session: aiohttp.ClientSession
    room: str
    key: str
    token: str

    @property
    def api(self) -> str:
        """Return the URL of the fake's API; it changes with each start."""
        return f"http://{written(self.node.data_dir)['apiAddress']}"

    def url(self, name: str) -> str:
        return f"{self.node['media_url']}/v/{self.token}/{self.room}/{name}"

    async def address(self) -> dict:
        """Return the addresses and the key that the studio shows for publishing."""
        body = {"user_type": "teacher", "user_id": "t", "secret": self.node["teacher_secret"], "room": self.room}
        async with self.session.post(f"{self.node['api_url']}/api/token", json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def state(self) -> dict:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.get(f"{self.node['api_url']}/api/rooms/{self.room}", headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def flowing(self) -> dict | None:
        state = await self.state()
        return state if state["stream"] and state["stream"]["bitrate_bps"] > 100_000 else None

    async def until(self, state: str) -> None:
        async def reached() -> bool:
            return (await self.state())["state"] == state

        await eventually(reached, WITHIN_S, f"{self.room} is {state}")

    async def until_playing(self) -> None:
        await self.until("live")

        async def served() -> bool:
            async with self.session.get(self.url("media.m3u8")) as response:
                return response.status == 200

        await eventually(served, WITHIN_S, "there is something to play")

    async def refusal(self, **fields: str) -> dict:
        """Return the problem with which the hook refuses an encoder."""
        status, body = await FakePublisher(
            self.api, fields.pop("path", f"live/{self.room}"), **fields
        ).request_publish()
        assert status == 401, body
        return json.loads(body["error"].partition(": ")[2])


async def open_class(node: AirnodeProcess, session: aiohttp.ClientSession) -> Lesson:
    room = f"lesson-{next(_CLASSES)}"
    headers = {"Authorization": f"Bearer {node['teacher_secret']}"}
    async with session.post(f"{node['api_url']}/api/classes", json={"title": room, "room": room}, headers=headers) as r:
        assert r.status == 201, await r.text()
        code = (await r.json())["class_code"]
    body = {"user_type": "teacher", "user_id": "t", "secret": node["teacher_secret"], "room": room}
    async with session.post(f"{node['api_url']}/api/token", json=body) as r:
        key = (await r.json())["stream_key"]
    async with session.post(
        f"{node['api_url']}/api/token", json={"user_type": "student", "user_id": "s", "code": code}
    ) as r:
        return Lesson(node, session, room, key, (await r.json())["token"])


def engine(program: Path) -> tuple[str, ...]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        whip_port = sock.getsockname()[1]
    return (
        "--set",
        f"mediamtx.webrtc_port={whip_port}",
        "--set",
        "media.engine=mediamtx",
        "--set",
        f"mediamtx.binary={program}",
        "--set",
        "hls.grace_s=60",
        "--set",
        "mediamtx.publish_timeout_s=30",
        "--set",
        "rtmp.takeover_after_s=30",
        "--log-level",
        "debug",
        "--log-format",
        "json",
    )


def lines(node: AirnodeProcess, event: str) -> list[dict]:
    found = [json.loads(line) for line in node.log.splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


async def metric(session: aiohttp.ClientSession, node: AirnodeProcess, name: str) -> float:
    async with session.get(f"{node['api_url']}/metrics") as response:
        text = await response.text()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))
