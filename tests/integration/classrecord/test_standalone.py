"""A standalone node keeps the record of its classes by itself: a real encoder, real viewers, its own stores."""

import csv
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.redis import RedisSection
from tests.support.classroom import BOB, Outbox
from tests.support.database import EmptyDatabase
from tests.support.ffmpeg import Publisher
from tests.support.livemp4 import LiveReader
from tests.support.node import AirnodeProcess, Api
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]

BEAT_S = 0.5


class School:
    """A node, and its teacher's view of the record of its class."""

    def __init__(self, node: AirnodeProcess, session: aiohttp.ClientSession) -> None:
        self.node = node
        self.session = session
        self.api = Api(node, session)

    async def read(self, path: str = "", **query: str) -> tuple[int, bytes, dict[str, str]]:
        url = f"{self.node['api_url']}/api/rooms/{self.node.room}/record{path}"
        headers = {"Authorization": f"Bearer {self.node['teacher_secret']}"}
        async with self.session.get(url, headers=headers, params=query) as response:
            return response.status, await response.read(), dict(response.headers)

    async def sessions(self) -> list[dict[str, Any]]:
        status, body, _ = await self.read()
        assert status == 200, body
        return json.loads(body)["sessions"]

    async def record(self) -> dict[str, Any]:
        status, body, _ = await self.read("/latest")
        assert status == 200, body
        return json.loads(body)

    async def watch(self, user_id: str, name: str) -> LiveReader:
        _, token = await self.api.token(user_type="student", user_id=user_id, name=name, code=self.node["class_code"])
        url = f"{self.node['media_url'].rstrip('/')}/v/{token['token']}/{self.node.room}/live.mp4"
        return await LiveReader(self.session, url).start()

    async def attended(self, count: int, *, ended: bool = False) -> list[dict[str, Any]]:
        async def there() -> bool:
            if not await self.sessions():
                return False
            rows = (await self.record())["attendance"]
            return len(rows) == count and (not ended or all(row["left_at"] for row in rows))

        await eventually(there, 30, f"{count} attended")
        return (await self.record())["attendance"]


@pytest.fixture
async def school(tmp_path: Path, empty_database: EmptyDatabase) -> AsyncIterator[School]:
    settings = (f"classes.attendance_beat_s={BEAT_S}", "classes.session_gap_s=1", "hls.grace_s=1")
    sets = [part for each in settings for part in ("--set", each)]
    node = AirnodeProcess(await empty_database.lay(tmp_path / "data"), *sets)
    try:
        async with aiohttp.ClientSession() as session:
            yield School(await node.start(), session)
    finally:
        await node.close()


async def test_a_class_from_its_first_picture_to_its_spreadsheet(school: School, clip: Path):
    status, body, _ = await school.read("/latest")
    assert (status, json.loads(body)["type"]) == (404, "urn:airnode:problem:not_found")
    assert await school.sessions() == []

    publisher = await Publisher.of_clip(school.node["rtmp_url"], clip).start()
    await eventually(school.sessions, 30, "a session")
    minsu = await school.watch("20231", "박민수")
    now = await school.attended(1)
    assert (now[0]["name"], now[0]["left_at"]) == ("박민수", None)
    sora = await school.watch("20232", "=SUM(A1)")
    await school.attended(2)
    came_at = time.time()
    await _say(school.node, "안녕하세요, 선생님", "-1+1")
    await minsu.close()
    await sora.close()
    rows = await school.attended(2, ended=True)
    assert all(abs(row["left_at"] - came_at) < 20 for row in rows)
    await publisher.stop()

    async def ended() -> bool:
        return all(each["ended_at"] for each in await school.sessions())

    await eventually(ended, 30)
    (session,) = await school.sessions()
    assert (session["students"], session["messages"]) == (2, 2)

    record = await school.record()
    assert [line["content"] for line in record["chat"]] == ["안녕하세요, 선생님", "-1+1"]
    minutes = [row["minutes"] * 60 for row in record["attendance"]]
    length_s = session["ended_at"] - session["started_at"]
    assert all(0 <= each <= length_s + 6 for each in minutes)
    assert all(0 < row["percent"] <= 100 for row in record["attendance"])

    # Pages ask for what they show, and get nothing where nothing has changed.
    url = f"{school.node['api_url']}/api/rooms/{school.node.room}/record/latest?part=chat"
    bearer = {"Authorization": f"Bearer {school.node['teacher_secret']}"}
    async with school.session.get(url, headers=bearer) as response:
        assert await response.json() == record | {"attendance": []}
        assert record["counts"] == {"attendance": 2, "chat": 2, "questions": 0, "polls": 0, "hands": 0}
        tag = response.headers["ETag"]
    async with school.session.get(url, headers=bearer | {"If-None-Match": tag}) as response:
        assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", tag)
    async with school.session.get(url, headers=bearer | {"If-None-Match": '"another"'}) as response:
        assert response.status == 200

    status, body, headers = await school.read("/latest/attendance.csv", lang="ko", tz="Asia/Seoul")
    assert status == 200
    assert body.startswith(b"\xef\xbb\xbf")
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    assert headers["Content-Disposition"].startswith(f'attachment; filename="{school.node.room}-')
    table = list(csv.reader(io.StringIO(body.decode("utf-8-sig"))))
    assert table[0][:4] == ["학생 ID", "이름", "입장", "퇴장"]
    assert [row[1] for row in table[1:]] == ["박민수", "'=SUM(A1)"]

    status, body, _ = await school.read(f"/{session['session_id']}/chat.csv")
    assert [row[4] for row in csv.reader(io.StringIO(body.decode("utf-8-sig")))][1:] == ["안녕하세요, 선생님", "'-1+1"]
    status, body, _ = await school.read("/latest/record.json")
    assert json.loads(body) == record


async def test_only_the_teacher_of_the_class_reads_its_record(school: School):
    student = (await school.api.student())["token"]
    for path in ("", "/latest", "/latest/record.json", "/latest/chat.csv"):
        url = f"{school.node['api_url']}/api/rooms/{school.node.room}/record{path}"
        for bearer, expected in (("", 401), (student, 403), ("wrong", 403)):
            async with school.session.get(url, headers={"Authorization": f"Bearer {bearer}"}) as response:
                assert response.status == expected, (path, bearer)


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/latest/chat.csv", {"tz": "Mars/Olympus"}, 400),
        ("/latest/chat.csv", {"tz": "../../etc/passwd"}, 400),
        ("/latest/chat.csv", {"lang": "fr"}, 400),
        ("/latest/salaries.csv", {}, 404),
        ("/latest", {"part": "salaries"}, 400),
        ("/00000000-0000-0000-0000-000000000000", {}, 404),
        ("/' OR 1=1", {}, 404),
    ],
)
async def test_a_record_that_does_not_exist(school: School, path: str, query: dict[str, str], expected: int):
    assert (await school.read(path, **query))[0] == expected


async def _say(node: AirnodeProcess, *texts: str) -> None:
    """Write messages into the outbox, as the chat's script does."""
    bus = Bus(RedisSection(url=node["redis_url"]), BusMetrics(CollectorRegistry()))
    await bus.start()
    try:
        outbox = Outbox(bus, node.room)
        for number, text in enumerate(texts):
            await outbox.message(f"m{number}", text, user=BOB, at_ms=time.time_ns() // 1_000_000)
    finally:
        await bus.stop()


async def test_a_message_of_a_chat_client_and_its_attendance(school: School, clip: Path):
    publisher = await Publisher.of_clip(school.node["rtmp_url"], clip).start()
    try:
        await eventually(school.sessions, 30, "a session")
        student = await school.api.student("mina")
        url = school.node["api_url"].replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
        async with school.session.ws_connect(url) as socket:
            await socket.send_str("40" + json.dumps({"token": student["token"]}))
            await socket.send_str("420" + json.dumps(["joinRoom", school.node.room]))
            sent = ["sendMessage", school.node.room, {"content": "질문 있어요", "type": "text"}]
            await socket.send_str("421" + json.dumps(sent))
            answers = ""
            while "431" not in answers:
                answers += (await socket.receive(timeout=20)).data
            assert '"ok":true' in answers.split("431")[-1], answers

            async def landed() -> bool:
                return [line["content"] for line in (await school.record())["chat"]] == ["질문 있어요"]

            await eventually(landed, 20)
            (row,) = await school.attended(1)
            assert (row["left_at"], row["watched_minutes"]) == (None, 0)
            said_by = (await school.record())["chat"][0]["user_id"]
            assert said_by == row["student_id"]
        (row,) = await school.attended(1, ended=True)
    finally:
        await publisher.stop()
