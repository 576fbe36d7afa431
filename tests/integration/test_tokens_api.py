"""POST /api/token with valid and invalid requests, and what tokens are accepted for."""

import asyncio
import io
import json
import time

import jwt
import pytest

from tests.integration.conftest import STUDENT, Client, Lesson
from tests.support.node import AirnodeProcess
from tests.support.problems import check_problem

pytestmark = pytest.mark.timeout(120)

FOR_ALL = {"token", "hls_url", "node_id", "node_name", "expires_at", "room", "title", "user_id", "waiting"}
FOR_STUDENTS = FOR_ALL | {"name", "student"}

FOR_TEACHERS = FOR_ALL | {"rtmp_url", "rtmp_server", "stream_key", "class_code", "class_url"}


async def test_a_token_by_query_json_and_form(school: AirnodeProcess, client: Client):
    fields = {"user_type": "student", "user_id": "민아", "code": school["class_code"]}
    for way in ({"params": fields}, {"json": fields}, {"data": fields}):
        status, headers, body = await client.call("POST", "/api/token", **way)
        assert status == 200, (way, body)
        assert set(body) == FOR_STUDENTS
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
        await client.expect_problem(403, "forbidden", "POST", "/api/token", json=fields)


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
    await client.expect_problem(403, "forbidden", "POST", "/api/token", json=asked)
    await client.expect_problem(403, "forbidden", "POST", "/api/token", json={**asked, "secret": "wrong"})
    await client.expect_problem(
        403, "forbidden", "POST", "/api/token", json=asked, headers={"Authorization": "Bearer \xff"}
    )
    secret = school["teacher_secret"]
    await client.expect_problem(
        404, "not_found", "POST", "/api/token", json={**asked, "secret": secret, "room": "nothing"}
    )
    await client.expect_problem(404, "not_found", "POST", "/api/token", json={**asked, "secret": secret, "room": "\0"})


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
        ({**STUDENT, "code": ["a"]}, "code"),
    ],
)
async def test_a_wrong_field_is_named(client: Client, fields: dict, path: str):
    found = await client.expect_problem(400, "invalid_input", "POST", "/api/token", json=fields)
    assert [error["path"] for error in found["errors"]] == [path]
    assert all(error["message"] for error in found["errors"])


async def test_an_unprintable_name_is_refused_and_a_long_one_too(school: AirnodeProcess, client: Client):
    for name in ("a\x00b", "x" * 129):
        fields = {**STUDENT, "code": school["class_code"], "name": name}
        found = await client.expect_problem(400, "invalid_input", "POST", "/api/token", json=fields)
        assert found["errors"][0]["path"] == "name"


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"text"', b"null", b"\xff\xfe", b"[" * 5000, b'{"user_id": NaN}', b"1e999"]
)
async def test_a_body_that_is_not_a_json_object(client: Client, body: bytes):
    await client.expect_problem(
        400, "invalid_input", "POST", "/api/token", data=body, headers={"Content-Type": "application/json"}
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
    check_problem(status, headers, answer, "invalid_input")


async def test_a_body_that_is_too_large(client: Client):
    body = b'{"user_id": "' + b"x" * (2 << 20) + b'"}'
    await client.expect_problem(413, "too_large", "POST", "/api/token", data=io.BytesIO(body))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    await client.expect_problem(413, "too_large", "POST", "/api/token", data=b"&" * 50_000, headers=form)


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
        check_problem(status, headers, body, "method_not_allowed")
        assert status == 405
        assert allowed <= {each.strip() for each in headers["Allow"].split(",")}
    for path in ("/nothing", "/api", "/api/token/", "/api/rooms", "/%00", "/api/rooms/a/b"):
        await client.expect_problem(404, "not_found", "GET", path)


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
        check_problem(status, headers, body, "unauthenticated")
        assert headers["WWW-Authenticate"].startswith("Bearer")
    assert "expired" in (await client.call("GET", path, token=bad[0]))[2]["detail"]
    await client.expect_problem(403, "forbidden", "GET", "/api/rooms/stream", token=lesson.student)
    await client.expect_problem(403, "forbidden", "GET", "/api/rooms/stream/events", token=lesson.teacher)
    await client.expect_problem(403, "forbidden", "GET", "/api/rooms/stream", token=lesson.teacher)
    await client.expect_problem(401, "unauthenticated", "GET", path, token=school["teacher_secret"])
