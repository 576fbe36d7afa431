"""Students of a class: their signed identity, and how they are called."""

import asyncio

import aiohttp
import jwt
import pytest

from tests.support.node import AirnodeProcess

pytestmark = pytest.mark.timeout(120)


async def grant(school: AirnodeProcess, session: aiohttp.ClientSession, **fields: str) -> tuple[int, dict]:
    """Return the status and the body of a token request."""
    body = {"user_type": "student", "user_id": "u-1", "code": school["class_code"], **fields}
    async with session.post(f"{school['api_url']}/api/token", json=body) as response:
        return response.status, await response.json()


def browser() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def test_a_browser_is_the_same_student_whatever_it_sends(school: AirnodeProcess):
    async with browser() as first, browser() as second:
        _, one = await grant(school, first, student="new", name="Mina")
        _, again = await grant(school, first, student="new", user_id="other", name="Someone else")
        _, other = await grant(school, second, student="new", name="Mina")
        assert one["user_id"] == again["user_id"] != other["user_id"]
        assert jwt.decode(one["token"], options={"verify_signature": False})["sub"] == one["user_id"]
        (cookie,) = first.cookie_jar
        assert (cookie.key, cookie["httponly"], cookie["samesite"]) == ("airnode_student", True, "Lax")
        _, taken = await grant(school, second, user_id=one["user_id"])
        assert taken["user_id"] == other["user_id"]


async def test_an_app_is_the_same_student_by_what_it_stored(school: AirnodeProcess):
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as app:
        _, one = await grant(school, app, student="new", name="App")
        _, again = await grant(school, app, student=one["student"])
        assert again["user_id"] == one["user_id"]
        status, problem = await grant(school, app, user_id=one["user_id"])
        assert (status, problem["code"]) == (403, "forbidden")
        assert "student" in problem["detail"]
        _, forged = await grant(school, app, student=one["student"][:-2] + "xx", user_id="u-7")
        assert forged["user_id"] == "u-7"


async def test_nobody_takes_the_id_of_another(school: AirnodeProcess):
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as app:
        _, mina = await grant(school, app, user_id="own-mina")
        _, thief = await grant(school, app, user_id="own-mina")
        _, again = await grant(school, app, user_id="own-mina", student=mina["student"])
        assert mina["user_id"] == again["user_id"] == "own-mina"
        assert thief["user_id"].startswith("st_")
        assert (mina["name"], thief["name"]) == ("own-mina", "own-mina (2)")
        claims = jwt.decode(thief["token"], options={"verify_signature": False})
        assert claims["sub"] == thief["user_id"]
        assert "own-mina" not in claims.get("also", [])
        present = {"Authorization": f"Bearer {mina['token']}"}
        body = {"user_type": "student", "user_id": "own-mina", "code": school["class_code"]}
        async with app.post(f"{school['api_url']}/api/token", json=body, headers=present) as response:
            assert (await response.json())["user_id"] == "own-mina"


async def test_two_of_one_name_are_told_apart_and_keep_their_numbers(school: AirnodeProcess):
    async with browser() as first, browser() as second, browser() as third:
        names = []
        for session, name in (
            (first, "민수"),
            (second, "민수"),
            (third, "민 수"),
            (second, "민수 (2)"),
            (first, "민수"),
        ):
            status, body = await grant(school, session, student="new", name=name)
            assert status == 200, body
            names.append(body["name"])
        assert names == ["민수", "민수 (2)", "민 수 (3)", "민수 (2)", "민수"]
        _, renamed = await grant(school, first, student="new", name="민호")
        _, free = await grant(school, third, student="new", name="민수")
        assert (renamed["name"], free["name"]) == ("민호", "민수 (3)")


async def test_many_of_one_name_at_once_all_get_their_own_number(school: AirnodeProcess):
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as app:
        asked = [grant(school, app, student="new", name="Crowd") for _ in range(20)]
        names = {body["name"] for _, body in await asyncio.gather(*asked)}
    assert names == {"Crowd", *(f"Crowd ({number})" for number in range(2, 21))}


async def test_no_student_is_called_like_the_teacher(school: AirnodeProcess):
    async with browser() as session:
        teacher = {"user_type": "teacher", "user_id": "t", "secret": school["teacher_secret"], "name": "Haneul Park"}
        async with session.post(f"{school['api_url']}/api/token", json=teacher) as response:
            assert (await response.json())["name"] == "Haneul Park"
        for name in ("Haneul Park", "HANEUL  PARK", "Hаneul Pаrk", "haneulpark", "선생님", "Teacher", "김선생님"):
            status, problem = await grant(school, session, name=name)
            assert (status, problem["code"]) == (400, "name_reserved"), name
            assert problem["errors"][0]["path"] == "name"
        for name in ("a\u202eb", "\u3164", "x" * 41):
            status, problem = await grant(school, session, name=name)
            assert (status, problem["code"]) == (400, "invalid_input"), name
        status, unnamed = await grant(school, session, user_id="선생님")
        assert (status, unnamed["name"].partition(" ")[0]) == (200, "Student")
