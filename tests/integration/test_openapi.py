"""The OpenAPI document against its specification and against the routes."""

import re
from pathlib import Path

import aiohttp
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from airnode.commands.openapi_doc import applications
from airnode.web.openapi import operation_of
from tests.support.node import AirnodeProcess

#: Routes for browsers, and Socket.IO's, whose messages docs/chat.md describes; all others must be described.
NOT_IN_THE_DOCUMENT = {
    "/",
    "/class",
    "/class/{code}",
    "/studio",
    "/admin",
    "/admin/{section}",
    "/api/docs",
    "/favicon.svg",
    "/assets/{name}",
    "/socket.io",
    "/socket.io/",
}


async def document(node: AirnodeProcess, session: aiohttp.ClientSession, port: str) -> dict:
    async with session.get(f"{node[port]}/openapi.json") as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        return await response.json()


@pytest.mark.parametrize("port", ["api_url", "media_url"])
async def test_the_document_is_valid_openapi_3_1(school: AirnodeProcess, session: aiohttp.ClientSession, port: str):
    found = await document(school, session, port)
    assert found["openapi"].startswith("3.1")
    validate(found, cls=OpenAPIV31SpecValidator)


async def test_both_ports_serve_the_same_document(school: AirnodeProcess, session: aiohttp.ClientSession):
    found = await document(school, session, "api_url")
    assert found == await document(school, session, "media_url")
    assert found["paths"]["/api/token"]["servers"] == [{"url": school["api_url"]}]
    assert found["paths"]["/v/{token}/{room}/{name}"]["servers"] == [{"url": school["media_url"]}]


async def test_every_route_is_described(tmp_path: Path, school: AirnodeProcess, session: aiohttp.ClientSession):
    described = {
        (method.upper(), path)
        for path, item in (await document(school, session, "api_url"))["paths"].items()
        for method in item
        if method != "servers"
    }
    for app in applications(tmp_path).values():
        for route in app.router.routes():
            assert route.resource is not None
            path = re.sub(r"{(\w+):[^}]*}", r"{\1}", route.resource.canonical)
            if path in NOT_IN_THE_DOCUMENT or route.method in ("HEAD", "OPTIONS"):
                continue
            assert operation_of(route.handler) is not None, path
            assert (route.method, path) in described


async def test_every_operation_is_complete(school: AirnodeProcess, session: aiohttp.ClientSession):
    found = await document(school, session, "api_url")
    seen = set()
    for path, item in found["paths"].items():
        for method, operation in item.items():
            if method == "servers":
                continue
            assert operation["summary"], path
            assert operation["operationId"] not in seen
            seen.add(operation["operationId"])
            names = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert names == set(re.findall(r"{(\w+)}", path))
            for parameter in operation["parameters"]:
                assert parameter["description"] != parameter["name"]
            if operation.get("security"):
                assert {"401", "403"} <= set(operation["responses"]), path
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert set(response["content"]) == {"application/problem+json"} or path.startswith("/health")


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("post", "/api/token", {"user_type", "user_id", "code", "secret", "room", "name", "avoid", "student"}),
        ("get", "/v/{token}/{room}/{name}", {"_HLS_msn", "_HLS_part", "_HLS_skip"}),
    ],
)
async def test_the_query_parameters_are_there(
    school: AirnodeProcess, session: aiohttp.ClientSession, method: str, path: str, names: set[str]
):
    operation = (await document(school, session, "api_url"))["paths"][path][method]
    queries = {each["name"]: each for each in operation["parameters"] if each["in"] == "query"}
    assert set(queries) == names
    assert not any(each["required"] for each in queries.values())


async def test_the_entry_takes_its_token_from_the_query_alone(school: AirnodeProcess, session: aiohttp.ClientSession):
    found = await document(school, session, "api_url")
    assert found["paths"]["/live/{room}/{name}"]["get"]["security"] == [{"jwt": []}]
    assert found["components"]["securitySchemes"]["jwt"]["in"] == "query"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v/x/{room}/index.m3u8", 401),
        ("/v/{token}/stream/index.m3u8", 403),
        ("/v/{token}/{room}/index.m3u8", 404),
        ("/live/{room}/index.m3u8?jwt=x", 401),
        ("/live/stream/index.m3u8?jwt={token}", 403),
        ("/live/{room}/index.m3u8?jwt={token}", 302),
    ],
)
async def test_media_answers_are_described(school: AirnodeProcess, client, lesson, path: str, status: int):
    url = school["media_url"] + path.format(room=lesson.room, token=lesson.student)
    async with client.session.get(url, allow_redirects=False) as response:
        assert response.status == status
        operation = client.contract.operation("GET", response.url.path)
        assert str(status) in operation["responses"]
        if status >= 400:
            body = await response.json(content_type="application/problem+json")
            client.contract.check("GET", response.url.path, status, response.content_type, body)


async def test_health_and_metrics_are_described(school: AirnodeProcess, client):
    assert (await client.call("GET", "/health"))[0] == 200
    for path in ("/health/liveness", "/health/readiness", "/metrics", "/openapi.json"):
        async with client.session.get(school["api_url"] + path) as response:
            client.contract.check("GET", path, response.status, response.content_type, None)
