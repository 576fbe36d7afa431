from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from airnode.web.inputs import BODY_TIMEOUT_S, json_response, read_input
from airnode.web.problems import problems

JSON_IN_FORM = '{"recording": true}'


class Order(msgspec.Struct):
    recording: bool


@pytest.fixture
async def client() -> AsyncIterator[TestClient]:
    async def handle(request: web.Request) -> web.Response:
        return json_response(await read_input(request, Order))

    app = web.Application(middlewares=[problems])
    app[BODY_TIMEOUT_S] = 5.0
    app.router.add_post("/", handle)
    async with TestClient(TestServer(app)) as found:
        yield found


def headers(kind: str, **more: str) -> dict[str, str]:
    return {"Content-Type": kind, **more}


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (JSON_IN_FORM, headers("application/json")),
        (" \n" + JSON_IN_FORM, headers(FORM, Authorization="Bearer token")),
        ("recording=true", headers(FORM)),
        ("recording=true", headers(FORM, Authorization="Bearer token")),
    ],
)
async def test_json_and_forms_are_read(client: TestClient, body: str, sent: dict[str, str]):
    async with client.post("/", data=body, headers=sent) as response:
        assert (response.status, await response.json()) == (200, {"recording": True})


async def test_json_that_a_foreign_form_could_send_is_refused_with_what_to_do(client: TestClient):
    async with client.post("/", data=JSON_IN_FORM, headers=headers(FORM)) as response:
        assert response.status == 400
        assert "send Content-Type: application/json" in (await response.json())["detail"]
