import json

import msgspec
import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from airnode.web.openapi import document, operation, operation_of


class Ask(msgspec.Struct):
    """A request."""

    name: str
    count: int = 1


class Answer(msgspec.Struct):
    """An answer."""

    asked: Ask
    notes: list[str] = []


class Api:
    @operation(
        summary="Ask",
        tag="t",
        description="Long.",
        body=Ask,
        returns=Answer,
        status=201,
        errors=(400, 503),
        auth="teacher",
        path_params=(("room", "The room."),),
    )
    async def ask(self, request: web.Request) -> web.Response:
        raise NotImplementedError

    @operation(summary="Take", tag="t", body=Answer, status=204)
    async def take(self, request: web.Request) -> web.Response:
        raise NotImplementedError

    @operation(summary="Read", tag="t", query=Ask, returns="text/plain")
    async def read(self, request: web.Request) -> web.Response:
        raise NotImplementedError

    async def hidden(self, request: web.Request) -> web.Response:
        raise NotImplementedError


@pytest.fixture
def made() -> dict:
    api, app, other = Api(), web.Application(), web.Application()
    app.router.add_post("/rooms/{room}/ask", api.ask)
    app.router.add_post("/take", api.take)
    app.router.add_get("/hidden", api.hidden)
    app.router.add_route("OPTIONS", "/{path:.*}", api.read)
    other.router.add_get(r"/files/{name:[a-z.]+}", api.read)
    return document([(app, "http://a:1"), (other, "http://a:2")])


def test_it_is_valid_and_can_be_written(made):
    validate(made, cls=OpenAPIV31SpecValidator)
    json.dumps(made)


def test_only_described_routes_are_in_it(made):
    assert {path: set(item) for path, item in made["paths"].items()} == {
        "/rooms/{room}/ask": {"servers", "post"},
        "/take": {"servers", "post"},
        "/files/{name}": {"servers", "get"},
    }
    assert made["paths"]["/files/{name}"]["servers"] == [{"url": "http://a:2"}]


def test_parameters_come_from_the_path_and_the_structs(made):
    def parameters(path, method):
        return {(each["name"], each["in"]): each["required"] for each in made["paths"][path][method]["parameters"]}

    assert parameters("/files/{name}", "get") == {
        ("name", "path"): True,
        ("name", "query"): True,
        ("count", "query"): False,
    }
    assert parameters("/rooms/{room}/ask", "post") == {
        ("room", "path"): True,
        ("name", "query"): False,
        ("count", "query"): False,
    }


def test_answers_bodies_and_security(made):
    ask = made["paths"]["/rooms/{room}/ask"]["post"]
    assert ask["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Ask"}
    assert set(ask["responses"]) == {"201", "400", "503"}
    assert set(ask["responses"]["400"]["content"]) == {"application/problem+json"}
    assert ask["security"] == [{"bearer": []}, {"jwt": []}]
    read = made["paths"]["/files/{name}"]["get"]
    assert "security" not in read
    assert list(read["responses"]["200"]["content"]) == ["text/plain"]
    assert set(made["components"]["schemas"]) >= {"Ask", "Answer", "Problem", "ProblemField"}


def test_an_operation_is_found_on_a_bound_method():
    found = operation_of(Api().ask)
    assert found is not None
    assert found.summary == "Ask"
    assert operation_of(Api().hidden) is None


def test_a_structure_is_no_query_parameter(made):
    take = made["paths"]["/take"]["post"]
    assert [each["name"] for each in take["parameters"]] == ["notes"]
    assert take["responses"]["204"] == {"description": "Done."}
