import json

import msgspec
import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from airnode.web.openapi import document, operation, operation_of


class Ask(msgspec.Struct):
    """A request, sent to ``ask``.

    Attributes:
        name: whom it is about; empty: nobody. count: how often: each time
            it is answered.
    """

    name: str
    count: int = 1


class Answer(msgspec.Struct, rename={"notes": "_notes"}):
    """An answer.

    Attributes:
        asked, notes: as in the question; the ``notes`` are new.
    """

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
    assert [each["name"] for each in take["parameters"]] == ["_notes"]
    assert take["responses"]["204"] == {"description": "No Content."}


def test_docstrings_of_structs_describe_their_fields(made):
    schemas = made["components"]["schemas"]
    assert schemas["Ask"]["description"] == "A request, sent to `ask`."
    fields = {name: each["description"] for name, each in schemas["Ask"]["properties"].items()}
    assert fields == {
        "name": "Whom it is about; empty: nobody.",
        "count": "How often: each time it is answered.",
    }
    answer = schemas["Answer"]["properties"]
    assert answer["_notes"]["description"] == answer["asked"]["description"]
    assert answer["asked"]["$ref"] == "#/components/schemas/Ask"
    read = made["paths"]["/files/{name}"]["get"]
    queries = {each["name"]: each["description"] for each in read["parameters"] if each["in"] == "query"}
    assert queries == fields


def test_a_struct_without_a_docstring_has_no_description():
    class Bare(msgspec.Struct):
        value: int

    class BareApi:
        @operation(summary="Get", tag="t", query=Bare, returns=Bare)
        async def get(self, request: web.Request) -> web.Response:
            raise NotImplementedError

    app = web.Application()
    app.router.add_get("/", BareApi().get)
    found = document([(app, "http://a")])
    assert "description" not in found["components"]["schemas"]["Bare"]
    assert "description" not in found["paths"]["/"]["get"]["parameters"][0]


def test_answers_have_descriptions_of_their_own(made):
    ask = made["paths"]["/rooms/{room}/ask"]["post"]["responses"]
    assert {status: each["description"] for status, each in ask.items()} == {
        "201": "An answer.",
        "400": "Invalid input.",
        "503": "Service unavailable.",
    }
    read = made["paths"]["/files/{name}"]["get"]["responses"]
    assert read["200"]["description"] == "OK."
