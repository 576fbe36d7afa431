from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from airnode.config.sections.http import HttpSection
from airnode.errors import NotFound
from airnode.web.apps import build_app
from airnode.web.static import add_pages

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[TestClient]:
    async def missing(request: web.Request) -> web.Response:
        raise NotFound("There is no such class.")

    def add(app: web.Application) -> None:
        app.router.add_get("/api/classes/none", missing)
        app.router.add_post("/api/token", missing)
        add_pages(app, {}, tmp_path)

    app = build_app(HttpSection(), [add], lambda: None, documents=lambda: [])
    async with TestClient(TestServer(app)) as found:
        yield found


async def test_a_person_at_a_wrong_address_gets_a_page_with_the_way_to_a_class(client: TestClient):
    async with client.get("/nonsense", headers=BROWSER) as response:
        text = await response.text()
        assert (response.status, response.content_type) == (404, "text/html")
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    for link in ('<a href="/">Join a class</a>', '<a href="/">수업 들어가기</a>'):
        assert link in text


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("/nonsense", {}, 404), ("/api/classes/none", BROWSER, 404), ("/api/token", BROWSER, 405)],
)
async def test_programs_and_endpoints_keep_their_problem(client: TestClient, path: str, headers: dict, status: int):
    async with client.get(path, headers=headers) as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")
