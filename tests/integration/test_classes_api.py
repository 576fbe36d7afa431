"""Classes over HTTP: create, list, renew a stream key."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.integration.conftest import Client, Lesson
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess
from tests.support.problems import check_problem
from tests.support.rtmp import RtmpPublisher
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)


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
        await client.expect_problem(403, "forbidden", "POST", "/api/classes", token=credential, json={"title": "x"})
        await client.expect_problem(403, "forbidden", "GET", "/api/classes", token=credential)
        path = f"/api/rooms/{lesson.room}/stream-key"
        await client.expect_problem(403, "forbidden", "POST", path, token=credential)


async def test_a_request_without_a_credential_is_unauthenticated(client: Client, lesson: Lesson):
    for method, path, fields in (
        ("GET", "/api/classes", None),
        ("POST", "/api/classes", {"title": "x"}),
        ("POST", f"/api/rooms/{lesson.room}/stream-key", None),
    ):
        status, headers, body = await client.call(method, path, json=fields)
        assert status == 401
        check_problem(status, headers, body, "unauthenticated")
        assert headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_room_is_created_once_and_needs_a_valid_name(school: AirnodeProcess, client: Client, lesson: Lesson):
    token = school["teacher_secret"]
    again = {"title": "x", "room": lesson.room}
    await client.expect_problem(409, "conflict", "POST", "/api/classes", token=token, json=again)
    for room in ("Upper", "a/b", "-a", "a" * 64, "a b", "ㄱ", "a\n", "..", "a\0"):
        fields = {"title": "x", "room": room}
        found = await client.expect_problem(400, "invalid_input", "POST", "/api/classes", token=token, json=fields)
        assert found["errors"][0]["path"] == "room"
    for title in ("", "   ", "x" * 121, "a\nb"):
        found = await client.expect_problem(
            400, "invalid_input", "POST", "/api/classes", token=token, json={"title": title}
        )
        assert found["errors"][0]["path"] == "title"


async def test_a_room_that_is_created_concurrently_is_created_once(
    school: AirnodeProcess, client: Client, lesson: Lesson
):
    fields = {"title": "x", "room": f"{lesson.room}-race"}
    answers = await asyncio.gather(
        *(client.call("POST", "/api/classes", token=school["teacher_secret"], json=fields) for _ in range(8))
    )
    assert sorted(status for status, _, _ in answers) == [201] + [409] * 7


async def test_a_class_is_renamed_archived_and_restored(school: AirnodeProcess, client: Client, lesson: Lesson):
    path, secret = f"/api/classes/{lesson.room}", school["teacher_secret"]

    async def listed(archived: bool) -> list[dict]:
        query = "?archived=true" if archived else ""
        _, _, found = await client.call("GET", f"/api/classes{query}", token=secret)
        return [each for each in found["classes"] if each["room"] == lesson.room]

    status, _, changed = await client.call("POST", path, token=lesson.teacher, json={"title": " Optics "})
    assert (status, changed["title"], changed["archived_at"]) == (200, "Optics", None)
    assert await listed(False) == [changed]
    status, _, archived = await client.call("POST", path, token=secret, json={"archived": True})
    assert status == 200
    assert archived["archived_at"] >= archived["created_at"] > 0
    assert (await listed(False), await listed(True)) == ([], [archived])
    status, _ = await client.token(user_type="student", user_id="s2", code=lesson.code)
    assert status == 403
    await client.expect_problem(404, "not_found", "POST", path, token=secret, json={"archived": True})
    await client.expect_problem(
        409, "conflict", "POST", "/api/classes", token=secret, json={"title": "x", "room": lesson.room}
    )
    status, _, back = await client.call("POST", path, token=secret, json={"archived": False, "title": "Optics II"})
    assert (status, back["title"], back["class_code"]) == (200, "Optics II", lesson.code)
    assert (await listed(False), await listed(True)) == ([back], [])
    assert (await client.token(user_type="student", user_id="s2", code=lesson.code))[0] == 200
    default = await client.expect_problem(
        409, "conflict", "POST", "/api/classes/stream", token=secret, json={"archived": True}
    )
    assert "cannot be archived" in default["detail"]
    for title in ("", " ", "x" * 121, "a\nb"):
        found = await client.expect_problem(400, "invalid_input", "POST", path, token=secret, json={"title": title})
        assert found["errors"][0]["path"] == "title"
    for token in (lesson.student, "wrong"):
        await client.expect_problem(403, "forbidden", "POST", path, token=token, json={"title": "x"})
    await client.expect_problem(
        403, "forbidden", "POST", "/api/classes/stream", token=lesson.teacher, json={"title": "x"}
    )


async def test_the_teacher_key_of_a_class_runs_that_class_and_no_other(
    school: AirnodeProcess, client: Client, lesson: Lesson
):
    path, secret = f"/api/classes/{lesson.room}/teacher-key", school["teacher_secret"]

    async def opened(key: str, room: str = "") -> tuple[int, dict]:
        return await client.token(user_type="teacher", user_id="k", name="Kim", secret=key, room=room)

    keys = [(await client.call("POST", path, token=secret))[2]["teacher_key"] for _ in range(2)]
    assert (await opened(keys[0]))[0] == 403
    status, grant = await opened(keys[1])
    assert (status, grant["room"], grant["own_class"], grant["name"]) == (200, lesson.room, True, "Kim")
    assert (await opened(keys[1], "stream"))[0] == 403
    own, _, listed = await client.call("GET", "/api/classes", token=grant["token"])
    assert (own, [each["room"] for each in listed["classes"]]) == (200, [lesson.room])
    assert listed["classes"][0]["has_teacher_key"]
    for method, where, fields in (
        ("POST", "/api/classes", {"title": "x"}),
        ("POST", f"/api/classes/{lesson.room}", {"archived": True}),
        ("POST", path, None),
        ("DELETE", path, None),
        ("POST", "/api/rooms/stream/stream-key", None),
        ("GET", "/api/rooms/stream/record", None),
    ):
        await client.expect_problem(403, "forbidden", method, where, token=grant["token"], json=fields)
    for method, where in (("GET", f"/api/rooms/{lesson.room}/stream-key"), ("GET", f"/api/rooms/{lesson.room}/record")):
        assert (await client.call(method, where, token=grant["token"]))[0] == 200
    assert (await client.call("DELETE", path, token=secret))[0] == 204
    assert (await opened(keys[1]))[0] == 403


@pytest.mark.ffmpeg
async def test_a_renewed_stream_key(school: AirnodeProcess, client: Client, lesson: Lesson, clip: Path):
    path = f"/api/rooms/{lesson.room}/stream-key"
    publisher = await Publisher.of_clip(lesson.rtmp_url, clip).start()
    try:

        async def live() -> bool:
            return (await client.call("GET", f"/api/rooms/{lesson.room}", token=lesson.student))[2]["state"] == "live"

        await eventually(live, what="the class is live")
        secret, change = school["teacher_secret"], {"archived": True, "title": "Another title"}
        await client.expect_problem(409, "conflict", "POST", f"/api/classes/{lesson.room}", token=secret, json=change)
        _, _, listed = await client.call("GET", "/api/classes", token=lesson.teacher)
        assert next(each["title"] for each in listed["classes"] if each["room"] == lesson.room) == lesson.room
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
    await client.expect_problem(404, "not_found", "POST", "/api/rooms/none/stream-key", token=school["teacher_secret"])
    await client.expect_problem(404, "not_found", "POST", "/api/rooms/%00/stream-key", token=school["teacher_secret"])
    await client.expect_problem(403, "forbidden", "POST", "/api/rooms/stream/stream-key", token=lesson.teacher)


async def test_the_lowest_delay_is_set_by_the_teacher_and_read_from_tokens(client: Client, lesson: Lesson):
    async def granted() -> bool:
        fields = {"user_type": "student", "user_id": "mina", "code": lesson.code}
        _, _, grant = await client.call("POST", "/api/token", json=fields)
        return grant.get("lowest_delay", False)

    path = f"/api/rooms/{lesson.room}/settings"
    assert not await granted()
    for wanted in (True, True, False):
        status, _, answer = await client.call("POST", path, token=lesson.teacher, json={"lowest_delay": wanted})
        assert (status, answer) == (200, {"lowest_delay": wanted})
        assert await granted() is wanted
    body = {"lowest_delay": True}
    for token in (lesson.student, ""):
        status, _, _ = await client.call("POST", path, token=token, json=body)
        assert status in (401, 403)
    await client.expect_problem(403, "forbidden", "POST", "/api/rooms/stream/settings", token=lesson.teacher, json=body)
    await client.expect_problem(
        400, "invalid_input", "POST", path, token=lesson.teacher, json={"lowest_delay": "perhaps"}
    )
    assert not await granted()


async def last_refusal(node: AirnodeProcess) -> str:
    """Return the newest line about a connection that ended."""
    return [line for line in node.log.splitlines() if "rtmp_connection_ended" in line][-1]
