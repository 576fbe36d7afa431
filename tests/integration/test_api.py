"""The master's HTTP API, with valid and invalid requests."""

import asyncio
import io
import json
import re
import time
from pathlib import Path

import aiohttp
import jwt
import pytest

from tests.integration.conftest import TEACHER, Client, Lesson
from tests.support.contract import Contract
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess
from tests.support.rtmp import RtmpPublisher
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

FOR_ALL = {"token", "hls_url", "node_id", "node_name", "expires_at", "room", "title"}
FOR_TEACHERS = FOR_ALL | {"rtmp_url", "rtmp_server", "stream_key", "class_code", "class_url"}


def problem(status: int, headers: dict, body: dict, code: str) -> dict:
    """Return the body, after the check that it is a complete RFC 9457 document with this code."""
    assert headers["Content-Type"].startswith("application/problem+json")
    assert body["type"] == f"urn:airnode:problem:{code}"
    assert (body["code"], body["status"]) == (code, status)
    for member in ("title", "detail", "instance"):
        assert body[member], member
    assert headers["Cache-Control"] == "no-store"
    return body


async def refused(client: Client, status: int, code: str, method: str, path: str, **kwargs) -> dict:
    found, headers, body = await client.call(method, path, **kwargs)
    assert found == status, body
    return problem(found, headers, body, code)


# -- tokens -----------------------------------------------------------------------------------------------------------


async def test_a_token_by_query_json_and_form(school: AirnodeProcess, client: Client):
    fields = {"user_type": "student", "user_id": "민아", "code": school["class_code"]}
    for way in ({"params": fields}, {"json": fields}, {"data": fields}):
        status, headers, body = await client.call("POST", "/api/token", **way)
        assert status == 200, (way, body)
        assert set(body) == FOR_ALL
        assert headers["Cache-Control"] == "no-store"
        claims = jwt.decode(body["token"], options={"verify_signature": False})
        assert (claims["sub"], claims["user_type"], claims["room"]) == ("민아", "student", "stream")
        assert body["expires_at"] == claims["exp"] == pytest.approx(time.time() + 14400, abs=60)
        media = school["media_url"].rpartition(":")[2]
        assert body["hls_url"] == f"http://127.0.0.1:{media}/live/stream/index.m3u8?jwt={body['token']}".replace(
            "127.0.0.1", school["api_url"].split("/")[2].split(":")[0]
        )
        assert body["node_id"].startswith("node-")


async def test_the_body_wins_over_the_query(school: AirnodeProcess, client: Client):
    status, _, body = await client.call(
        "POST",
        "/api/token",
        params={"user_type": "student", "user_id": "a", "code": "wrong"},
        json={"code": school["class_code"]},
    )
    assert status == 200, body


async def test_a_student_needs_the_code(client: Client):
    asked = {"user_type": "student", "user_id": "mina"}
    for fields in (asked, {**asked, "code": "ZZZZZZ"}, {**asked, "code": "\x00"}, {**asked, "code": "ㅋ" * 6}):
        await refused(client, 403, "forbidden", "POST", "/api/token", json=fields)


async def test_a_code_as_people_type_it(school: AirnodeProcess, client: Client):
    code = school["class_code"]
    for typed in (code.lower(), f"{code[:3]}-{code[3:]}", f" {code[:2]} {code[2:].lower()} "):
        status, body = await client.token(user_type="student", user_id="mina", code=typed)
        assert (status, body["room"]) == (200, "stream"), typed


async def test_a_teacher_by_body_query_and_bearer(school: AirnodeProcess, client: Client, lesson: Lesson):
    secret, asked = school["teacher_secret"], {"user_type": "teacher", "user_id": "kim"}
    for way in (
        {"json": {**asked, "secret": secret}},
        {"params": {**asked, "secret": secret}},
        {"json": asked, "token": secret},
        {"params": asked, "headers": {"Authorization": f"bearer {secret}"}},
    ):
        status, _, body = await client.call("POST", "/api/token", **way)
        assert status == 200, (way, body)
        assert set(body) == FOR_TEACHERS
        assert body["rtmp_url"] == f"{body['rtmp_server']}/{body['stream_key']}" == school["rtmp_url"]
        assert body["class_code"] == school["class_code"]
        assert body["class_url"].endswith(f"/class/{school['class_code']}")
    status, body = await client.token(**asked, secret=secret, room=lesson.room)
    assert (status, body["room"], body["stream_key"]) == (200, lesson.room, lesson.stream_key)


async def test_a_wrong_teacher_secret(school: AirnodeProcess, client: Client):
    asked = {"user_type": "teacher", "user_id": "kim"}
    await refused(client, 403, "forbidden", "POST", "/api/token", json=asked)
    await refused(client, 403, "forbidden", "POST", "/api/token", json={**asked, "secret": "wrong"})
    await refused(client, 403, "forbidden", "POST", "/api/token", json=asked, headers={"Authorization": "Bearer \xff"})
    secret = school["teacher_secret"]
    await refused(client, 404, "not_found", "POST", "/api/token", json={**asked, "secret": secret, "room": "nothing"})
    await refused(client, 404, "not_found", "POST", "/api/token", json={**asked, "secret": secret, "room": "\0"})


GOOD = {"user_type": "student", "user_id": "a"}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"user_type": "student"}, "user_id"),
        ({"user_id": "a"}, "user_type"),
        ({"user_type": "student", "user_id": ""}, "user_id"),
        ({"user_type": "student", "user_id": "x" * 129}, "user_id"),
        ({"user_type": "student", "user_id": "a\x00b"}, "user_id"),
        ({"user_type": "student", "user_id": "a\u202eb"}, "user_id"),
        ({"user_type": "student", "user_id": 5}, "user_id"),
        ({"user_type": "admin", "user_id": "a"}, "user_type"),
        ({"user_type": None, "user_id": "a"}, "user_type"),
        ({**GOOD, "code": ["a"]}, "code"),
    ],
)
async def test_a_wrong_field_is_named(client: Client, fields: dict, path: str):
    found = await refused(client, 400, "invalid_input", "POST", "/api/token", json=fields)
    assert [error["path"] for error in found["errors"]] == [path]
    assert all(error["message"] for error in found["errors"])


async def test_an_unprintable_name_is_refused_and_a_long_one_too(school: AirnodeProcess, client: Client):
    for name in ("a\x00b", "x" * 129):
        fields = {**GOOD, "code": school["class_code"], "name": name}
        found = await refused(client, 400, "invalid_input", "POST", "/api/token", json=fields)
        assert found["errors"][0]["path"] == "name"


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"text"', b"null", b"\xff\xfe", b"[" * 5000, b'{"user_id": NaN}', b"1e999"]
)
async def test_a_body_that_is_not_a_json_object(client: Client, body: bytes):
    await refused(
        client, 400, "invalid_input", "POST", "/api/token", data=body, headers={"Content-Type": "application/json"}
    )


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/x-www-form-urlencoded; charset=klingon", b"user_id=a"),
        ("application/x-www-form-urlencoded", b"user_id=\xff\xfe"),
        ("multipart/form-data", b"--x"),
    ],
)
async def test_a_broken_form(client: Client, media_type: str, body: bytes):
    status, headers, answer = await client.call("POST", "/api/token", data=body, headers={"Content-Type": media_type})
    problem(status, headers, answer, "invalid_input")


async def test_a_body_that_is_too_large(client: Client):
    body = b'{"user_id": "' + b"x" * (2 << 20) + b'"}'
    await refused(client, 413, "too_large", "POST", "/api/token", data=io.BytesIO(body))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    await refused(client, 413, "too_large", "POST", "/api/token", data=b"&" * 50_000, headers=form)


async def test_a_body_that_does_not_arrive(school: AirnodeProcess):
    host, port = school["api_url"].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"POST /api/token HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in head
    finally:
        writer.close()


async def test_wrong_methods_and_unknown_paths(client: Client):
    for method, path, allowed in (
        ("GET", "/api/token", {"POST"}),
        ("DELETE", "/api/classes", {"GET", "POST"}),
        ("PUT", "/health", {"GET"}),
    ):
        status, headers, body = await client.call(method, path)
        problem(status, headers, body, "method_not_allowed")
        assert status == 405
        assert allowed <= {each.strip() for each in headers["Allow"].split(",")}
    for path in ("/nothing", "/api", "/api/token/", "/api/rooms", "/%00", "/api/rooms/a/b"):
        await refused(client, 404, "not_found", "GET", path)


async def test_expired_forged_and_foreign_tokens(school: AirnodeProcess, client: Client, lesson: Lesson):
    key = json.loads((school.data_dir / "secrets.json").read_text())["jwt_secret"]
    claims = jwt.decode(lesson.student, key, algorithms=["HS256"])
    path = f"/api/rooms/{lesson.room}"
    assert (await client.call("GET", path, token=jwt.encode(claims, key)))[0] == 200
    bad = [
        jwt.encode({**claims, "exp": int(time.time()) - 1}, key),
        jwt.encode(claims, "x" * 40),
        jwt.encode(claims, None, algorithm="none"),
        jwt.encode(claims, key, algorithm="HS512"),
        jwt.encode({k: v for k, v in claims.items() if k != "exp"}, key),
        jwt.encode({**claims, "user_type": "admin"}, key),
        jwt.encode({**claims, "room": ["x"]}, key),
        "",
        "x" * 5000,
        "\xff.\xff.\xff",
    ]
    for token in bad:
        status, headers, body = await client.call("GET", path, token=token)
        assert status == 401, (token, body)
        problem(status, headers, body, "unauthenticated")
        assert headers["WWW-Authenticate"].startswith("Bearer")
    assert "expired" in (await client.call("GET", path, token=bad[0]))[2]["detail"]
    await refused(client, 403, "forbidden", "GET", "/api/rooms/stream", token=lesson.student)
    await refused(client, 403, "forbidden", "GET", "/api/rooms/stream/events", token=lesson.teacher)
    await refused(client, 403, "forbidden", "GET", "/api/rooms/stream", token=lesson.teacher)
    await refused(client, 401, "unauthenticated", "GET", path, token=school["teacher_secret"])


# -- classes ----------------------------------------------------------------------------------------------------------


async def test_classes_are_made_and_listed_by_teachers(school: AirnodeProcess, client: Client, lesson: Lesson):
    for credential in (school["teacher_secret"], lesson.teacher):
        status, _, made = await client.call("POST", "/api/classes", token=credential, json={"title": " 대수학 II "})
        assert status == 201
        assert made["title"] == "대수학 II"
        assert (made["state"], made["viewers"]) == ("waiting", 0)
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", made["room"])
        status, _, listed = await client.call("GET", "/api/classes", token=credential)
        assert status == 200
        assert made in listed["classes"]
    assert len({each["class_code"] for each in listed["classes"]}) == len(listed["classes"])


async def test_only_teachers_make_and_list_classes(client: Client, lesson: Lesson):
    for credential in (lesson.student, "wrong"):
        await refused(client, 403, "forbidden", "POST", "/api/classes", token=credential, json={"title": "x"})
        await refused(client, 403, "forbidden", "GET", "/api/classes", token=credential)
        path = f"/api/rooms/{lesson.room}/stream-key"
        await refused(client, 403, "forbidden", "POST", path, token=credential)


async def test_a_room_is_created_once_and_needs_a_valid_name(school: AirnodeProcess, client: Client, lesson: Lesson):
    token = school["teacher_secret"]
    again = {"title": "x", "room": lesson.room}
    await refused(client, 409, "conflict", "POST", "/api/classes", token=token, json=again)
    for room in ("Upper", "a/b", "-a", "a" * 64, "a b", "ㄱ", "a\n", "..", "a\0"):
        fields = {"title": "x", "room": room}
        found = await refused(client, 400, "invalid_input", "POST", "/api/classes", token=token, json=fields)
        assert found["errors"][0]["path"] == "room"
    for title in ("", "   ", "x" * 121, "a\nb"):
        found = await refused(client, 400, "invalid_input", "POST", "/api/classes", token=token, json={"title": title})
        assert found["errors"][0]["path"] == "title"


async def test_a_room_that_is_created_concurrently_is_created_once(
    school: AirnodeProcess, client: Client, lesson: Lesson
):
    fields = {"title": "x", "room": f"{lesson.room}-race"}
    answers = await asyncio.gather(
        *(client.call("POST", "/api/classes", token=school["teacher_secret"], json=fields) for _ in range(8))
    )
    assert sorted(status for status, _, _ in answers) == [201] + [409] * 7


@pytest.mark.ffmpeg
async def test_a_renewed_stream_key(school: AirnodeProcess, client: Client, lesson: Lesson, clip: Path):
    path = f"/api/rooms/{lesson.room}/stream-key"
    publisher = await Publisher.of_clip(lesson.rtmp_url, clip).start()
    try:

        async def live() -> bool:
            return (await client.call("GET", f"/api/rooms/{lesson.room}", token=lesson.student))[2]["state"] == "live"

        await eventually(live, what="the class is live")
        status, _, renewed = await client.call("POST", path, token=lesson.teacher)
        assert status == 200
        assert renewed["stream_key"] != lesson.stream_key
        assert renewed["rtmp_url"] == f"{renewed['rtmp_server']}/{renewed['stream_key']}"
        port = int(renewed["rtmp_server"].rpartition(":")[2].split("/")[0])
        for key, allowed in ((lesson.stream_key, False), (renewed["stream_key"], True)):
            peer = await RtmpPublisher.connect(port)
            _, code = await peer.publish(key)
            # The running publisher holds the room: a valid key is refused because of that, an invalid one as a key.
            assert code == "NetStream.Publish.BadName"
            await peer.aclose()
            assert ("live already" in str(await last_refusal(school))) == allowed
        assert publisher.running
        assert await live()
        await publisher.stop()
        peer = await RtmpPublisher.connect(port)
        _, code = await peer.publish(renewed["stream_key"])
        assert code == "NetStream.Publish.Start"
        await peer.aclose()
    finally:
        await publisher.stop()
    await refused(client, 404, "not_found", "POST", "/api/rooms/none/stream-key", token=school["teacher_secret"])
    await refused(client, 404, "not_found", "POST", "/api/rooms/%00/stream-key", token=school["teacher_secret"])
    await refused(client, 403, "forbidden", "POST", "/api/rooms/stream/stream-key", token=lesson.teacher)


async def last_refusal(node: AirnodeProcess) -> str:
    """Return the newest line about a connection that ended."""
    return [line for line in node.log.splitlines() if "rtmp_connection_ended" in line][-1]


# -- rates ------------------------------------------------------------------------------------------------------------


async def test_wrong_codes_are_limited_by_address(school: AirnodeProcess, client: Client, session):
    async def wrong() -> tuple[int, dict, dict]:
        return await client.call("POST", "/api/token", json={**GOOD, "code": "WRONGG"})

    answers = [await wrong() for _ in range(7)]
    assert [status for status, _, _ in answers][:5] == [403] * 5
    status, headers, body = answers[-1]
    assert status == 429
    found = problem(status, headers, body, "rate_limited")
    assert 0 < found["retry_after_s"] <= 6
    assert int(headers["Retry-After"]) >= 1
    right = {**GOOD, "code": school["class_code"]}
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


# -- who may join, and at which node ----------------------------------------------------------------------------------


async def test_a_master_alone_has_no_healthy_nodes(lone_master: AirnodeProcess, session: aiohttp.ClientSession):
    client = Client(lone_master, session, await Contract.of(lone_master["api_url"], session))
    asked = {"user_type": "teacher", "user_id": "t", "secret": TEACHER}
    found = await refused(client, 503, "no_healthy_nodes", "POST", "/api/token", json=asked)
    assert found["title"] == "No healthy nodes available"
    assert "No healthy nodes available" in found["detail"]
    assert found["retry_after_s"] > 0
    found = await refused(client, 503, "no_healthy_nodes", "POST", "/api/rooms/stream/stream-key", token=TEACHER)
    assert (await client.call("GET", "/api/classes", token=TEACHER))[0] == 200
    _, _, health = await client.call("GET", "/health")
    assert health["status"] == "degraded"
    assert not health["checks"]["nodes"]["ok"]
    assert (await client.session.get(lone_master["api_url"] + "/health/readiness")).status == 200


async def test_nobody_joins_a_closed_school(lone_master: AirnodeProcess, session: aiohttp.ClientSession):
    client = Client(lone_master, session, await Contract.of(lone_master["api_url"], session))
    for code in ("", lone_master["class_code"]):
        found = await refused(client, 403, "forbidden", "POST", "/api/token", json={**GOOD, "code": code})
        assert "closed" in found["detail"]


@pytest.mark.ffmpeg
async def test_anyone_joins_an_open_school_until_it_is_full(open_node: AirnodeProcess, session, clip: Path):
    client = Client(open_node, session, await Contract.of(open_node["api_url"], session))
    status, first = await client.token(**GOOD)
    assert status == 200
    assert (first["room"], first["hls_url"].split("/")[2].split(":")[0]) == ("stream", "school.example")
    assert (await client.token(**GOOD, room="nothing"))[0] == 404
    status, _, body = await client.call("POST", "/api/token", json={**GOOD, "code": "WRONGG"})
    assert status == 403, body
    publisher = await Publisher.of_clip(open_node["rtmp_url"], clip).start()
    try:

        async def watches() -> bool:
            async with session.get(f"{open_node['media_url']}/v/{first['token']}/stream/media.m3u8") as response:
                return response.status == 200

        await eventually(watches, what="the first student watches")

        async def full() -> dict | None:
            status, headers, body = await client.call("POST", "/api/token", json=GOOD)
            return problem(status, headers, body, "no_healthy_nodes") if status == 503 else None

        found = await eventually(full, what="the only place is taken")
        assert "No healthy nodes available" in found["detail"]
        _, before = await client.token(user_type="teacher", user_id="t", secret=TEACHER)
        assert before["stream_key"], "a teacher needs no viewer's place"
        status, _, again = await client.call("POST", "/api/token", json=GOOD, token=first["token"])
        assert status == 200, "who is in the class stays in it"
        sessions = {
            jwt.decode(each, options={"verify_signature": False})["sid"] for each in (first["token"], again["token"])
        }
        assert len(sessions) == 1
        for other in ({**GOOD, "user_id": "someone-else"}, {**GOOD, "user_type": "student", "room": "nothing"}):
            status, _, _ = await client.call("POST", "/api/token", json=other, token=first["token"])
            assert status in (404, 503), "a token renews nobody else's place"
    finally:
        await publisher.stop()


async def test_a_teacher_secret_with_dots_is_no_token(open_node: AirnodeProcess, session: aiohttp.ClientSession):
    client = Client(open_node, session, await Contract.of(open_node["api_url"], session))
    assert (await client.call("GET", "/api/classes", token=TEACHER))[0] == 200
