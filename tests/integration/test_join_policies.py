"""Who gets a token, and how often: limits of wrong codes, closed and open schools, a full cluster, no slave."""

import asyncio
from pathlib import Path

import aiohttp
import jwt
import pytest

from tests.integration.conftest import STUDENT, TEACHER, Client
from tests.support.contract import Contract
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess
from tests.support.problems import check_problem
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)


async def test_wrong_codes_are_limited_by_address(school: AirnodeProcess, client: Client, session):
    async def wrong() -> tuple[int, dict, dict]:
        return await client.call("POST", "/api/token", json={**STUDENT, "code": "WRONGG"})

    answers = [await wrong() for _ in range(7)]
    assert [status for status, _, _ in answers][:5] == [403] * 5
    status, headers, body = answers[-1]
    assert status == 429
    found = check_problem(status, headers, body, "rate_limited")
    assert 0 < found["retry_after_s"] <= 6
    assert int(headers["Retry-After"]) >= 1
    right = {**STUDENT, "code": school["class_code"]}
    assert (await client.token(**right))[0] == 429
    teacher = {"user_type": "teacher", "user_id": "t", "secret": school["teacher_secret"]}
    assert (await client.token(**teacher))[0] == 429
    assert (await client.call("GET", "/api/classes", token=school["teacher_secret"]))[0] == 429
    other = Client(school, session, client.contract)
    assert (await other.token(**right))[0] == 200


async def test_a_whole_school_behind_one_address(school: AirnodeProcess, client: Client):
    async def join(number: int) -> int:
        status, _ = await client.token(user_type="student", user_id=f"s{number}", code=school["class_code"])
        return status

    assert set(await asyncio.gather(*(join(number) for number in range(500)))) == {200}


async def test_a_master_alone_has_no_healthy_nodes(lone_master: AirnodeProcess, session: aiohttp.ClientSession):
    client = Client(lone_master, session, await Contract.of(lone_master["api_url"], session))
    fields = {"user_type": "teacher", "user_id": "t", "secret": TEACHER}
    found = await client.expect_problem(503, "no_healthy_nodes", "POST", "/api/token", json=fields)
    assert found["title"] == "No healthy nodes available"
    assert "No healthy nodes available" in found["detail"]
    assert found["retry_after_s"] > 0
    found = await client.expect_problem(503, "no_healthy_nodes", "POST", "/api/rooms/stream/stream-key", token=TEACHER)
    assert (await client.call("GET", "/api/classes", token=TEACHER))[0] == 200
    _, _, health = await client.call("GET", "/health")
    assert health["status"] == "degraded"
    assert not health["checks"]["nodes"]["ok"]
    assert (await client.session.get(lone_master["api_url"] + "/health/readiness")).status == 200


async def test_no_student_joins_while_joining_is_closed(lone_master: AirnodeProcess, session: aiohttp.ClientSession):
    client = Client(lone_master, session, await Contract.of(lone_master["api_url"], session))
    for code in ("", lone_master["class_code"]):
        found = await client.expect_problem(403, "forbidden", "POST", "/api/token", json={**STUDENT, "code": code})
        assert "closed" in found["detail"]


@pytest.mark.ffmpeg
async def test_anyone_joins_an_open_school_until_it_is_full(open_node: AirnodeProcess, session, clip: Path):
    client = Client(open_node, session, await Contract.of(open_node["api_url"], session))
    status, first = await client.token(**STUDENT)
    assert status == 200
    assert (first["room"], first["hls_url"].split("/")[2].split(":")[0]) == ("stream", "school.example")
    assert (await client.token(**STUDENT, room="nothing"))[0] == 404
    status, _, body = await client.call("POST", "/api/token", json={**STUDENT, "code": "WRONGG"})
    assert status == 403, body
    publisher = await Publisher.of_clip(open_node["rtmp_url"], clip).start()
    try:

        async def watches() -> bool:
            async with session.get(f"{open_node['media_url']}/v/{first['token']}/stream/media.m3u8") as response:
                return response.status == 200

        await eventually(watches, what="the first student watches")

        async def full() -> dict | None:
            status, headers, body = await client.call("POST", "/api/token", json=STUDENT)
            return check_problem(status, headers, body, "no_healthy_nodes") if status == 503 else None

        found = await eventually(full, what="the only place is taken")
        assert "No healthy nodes available" in found["detail"]
        _, before = await client.token(user_type="teacher", user_id="t", secret=TEACHER)
        assert before["stream_key"], "a teacher needs no viewer's place"
        status, _, again = await client.call("POST", "/api/token", json=STUDENT, token=first["token"])
        assert status == 200, "who is in the class stays in it"
        sessions = {
            jwt.decode(each, options={"verify_signature": False})["sid"] for each in (first["token"], again["token"])
        }
        assert len(sessions) == 1
        for other in ({**STUDENT, "user_id": "someone-else"}, {**STUDENT, "user_type": "student", "room": "nothing"}):
            status, _, _ = await client.call("POST", "/api/token", json=other, token=first["token"])
            assert status in (404, 503), "a token renews nobody else's place"
    finally:
        await publisher.stop()


async def test_a_teacher_secret_with_dots_is_no_token(open_node: AirnodeProcess, session: aiohttp.ClientSession):
    client = Client(open_node, session, await Contract.of(open_node["api_url"], session))
    assert (await client.call("GET", "/api/classes", token=TEACHER))[0] == 200
