"""The OpenAPI 3.1 document, made from the routes themselves."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, TypeVar

import msgspec
from aiohttp import web

import airnode
from airnode.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

Handler = TypeVar("Handler", bound=Callable[..., Any])
_ATTRIBUTE = "__airnode_operation__"
#: Who may call an operation. ``query``: with a token as ``?jwt=`` only. ``cluster``: with the cluster token, or as an
#: admin or a teacher. ``speech``: with the speech token. ``join``: with the cluster token or the pipeline token, as the
#: access in the body needs it.
Auth = Literal["none", "token", "query", "teacher", "admin", "cluster", "node", "pipeline", "join", "speech"]
#: {status: title of the problem}; others have the words of HTTP.
_TITLES = {
    error.status: error.title
    for error in (
        InvalidInput,
        Unauthenticated,
        Forbidden,
        NotFound,
        Conflict,
        TooLarge,
        RateLimited,
        Unavailable,
    )
}
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")


class ProblemField(msgspec.Struct):
    """One field that is wrong."""

    path: str
    message: str


class Problem(msgspec.Struct, omit_defaults=True):
    """An error, RFC 9457.

    Attributes:
        detail: a sentence for people. code: the kind of the error, for programs.
        retry_after_s: seconds after which the request may be tried again.
        errors: the fields that are wrong.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    retry_after_s: float = 0.0
    errors: list[ProblemField] = []


@dataclass(frozen=True, slots=True)
class Operation:
    """The description of one route, for people and for clients.

    Attributes:
        query: struct whose fields are query parameters.
        body: struct of the JSON body (its fields are taken from the query too).
        returns: struct of the JSON answer, or a media type such as ``text/plain``.
        errors: statuses of the problem documents it may answer.
        auth: who may call it.
    """

    summary: str
    tag: str
    description: str = ""
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    returns: type[msgspec.Struct] | str = "application/json"
    status: int = 200
    errors: Sequence[int] = ()
    auth: Auth = "none"
    path_params: tuple[tuple[str, str], ...] = ()


def operation(**values: Any) -> Callable[[Handler], Handler]:
    """Return a decorator that attaches an :class:`Operation` to a handler."""

    def attach(handler: Handler) -> Handler:
        setattr(handler, _ATTRIBUTE, Operation(**values))
        return handler

    return attach


def operation_of(handler: object) -> Operation | None:
    """Return the operation attached to ``handler`` (also to a bound method)."""
    found = getattr(handler, _ATTRIBUTE, None)
    return found if isinstance(found, Operation) else None


def document(apps: Iterable[tuple[web.Application, str]]) -> dict[str, Any]:
    """Return the document for ``(application, server url)`` pairs; routes without an operation are left out."""
    paths: dict[str, dict[str, Any]] = {}
    kinds: set[type] = {Problem}
    for app, server_url in apps:
        for route in app.router.routes():
            found = operation_of(route.handler)
            if found is None or route.resource is None or route.method not in _METHODS:
                continue
            item = paths.setdefault(_path(route.resource.canonical), {"servers": [{"url": server_url}]})
            item[route.method.lower()] = _operation(found, route.method, route.resource.canonical, kinds)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "airnode",
            "version": airnode.__version__,
            "summary": "A self-hosted live classroom.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": _schemas(sorted(kinds, key=str)),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token or a secret."},
                "jwt": {"type": "apiKey", "in": "query", "name": "jwt", "description": "A token."},
            },
        },
    }


def _path(canonical: str) -> str:
    return re.sub(r"{(\w+):[^}]*}", r"{\1}", canonical)


def _operation(found: Operation, method: str, canonical: str, kinds: set[type]) -> dict[str, Any]:
    described = dict(found.path_params)
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "description": described.get(name, name),
        }
        for name in re.findall(r"{(\w+)", canonical)
    ]
    for struct in (found.query, found.body):
        parameters += _query_parameters(struct, optional=struct is found.body and found.query is not struct)
    made: dict[str, Any] = {
        "operationId": f"{method.lower()}_{re.sub(r'[^a-z0-9]+', '_', _path(canonical).lower()).strip('_')}",
        "summary": found.summary,
        "tags": [found.tag],
        "parameters": parameters,
        "responses": _responses(found, kinds),
    }
    if found.description:
        made["description"] = found.description
    if found.body is not None:
        kinds.add(found.body)
        made["requestBody"] = {"content": {"application/json": {"schema": _ref(found.body)}}}
    if found.auth != "none":
        made["security"] = [{"jwt": []}] if found.auth == "query" else [{"bearer": []}, {"jwt": []}]
    return made


def _query_parameters(struct: type[msgspec.Struct] | None, *, optional: bool) -> list[dict[str, Any]]:
    if struct is None:
        return []
    schema = msgspec.json.schema(struct)["$defs"][struct.__name__]
    required = () if optional else schema.get("required", ())
    _, described = _described(struct)
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        | ({"description": described[name]} if name in described else {})
        for name, field in schema["properties"].items()
        if "$ref" not in str(field)  # a nested struct can only be in a body
    ]


def _responses(found: Operation, kinds: set[type]) -> dict[str, Any]:
    done: dict[str, Any] = {"description": f"{HTTPStatus(found.status).phrase}."}
    if isinstance(found.returns, str):
        content: dict[str, Any] = {found.returns: {}}
    else:
        kinds.add(found.returns)
        content = {"application/json": {"schema": _ref(found.returns)}}
        done["description"] = _described(found.returns)[0] or done["description"]
    if found.status != HTTPStatus.NO_CONTENT:
        done["content"] = content
    responses: dict[str, Any] = {str(found.status): done}
    for status in found.errors:
        responses[str(status)] = {
            "description": f"{_TITLES.get(status) or HTTPStatus(status).phrase}.",
            "content": {"application/problem+json": {"schema": _ref(Problem)}},
        }
    return responses


def _schemas(kinds: Sequence[type]) -> dict[str, Any]:
    """Return the components of these structs and of those in them, with descriptions from their docstrings."""
    _, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for kind in {each for root in kinds for each in _structs(msgspec.inspect.type_info(root))}:
        text, fields = _described(kind)
        component = components[kind.__name__]
        if text:
            component["description"] = text
        for name, description in fields.items():
            component["properties"][name].setdefault("description", description)
    return components


def _structs(info: object) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs of a type, nested ones too."""
    if isinstance(info, msgspec.inspect.StructType):
        yield info.cls
        parts: Iterable[object] = (field.type for field in info.fields)
    else:
        names = ("type", "types", "item_type", "item_types", "key_type", "value_type")
        found = [getattr(info, name, ()) for name in names]
        parts = [part for each in found for part in (each if isinstance(each, tuple) else (each,))]
    for part in parts:
        if isinstance(part, msgspec.inspect.Type):
            yield from _structs(part)


def _described(struct: type[msgspec.Struct]) -> tuple[str, dict[str, str]]:
    """Return the description of a struct and {name in JSON: description} of its fields, from its docstring.

    Fields stand under ``Attributes:``, as ``field: text`` or ``field, field: text``; several may share a line.
    """
    text, _, attributes = inspect.cleandoc(struct.__doc__ or "").replace("``", "`").partition("\n\nAttributes:\n")
    names = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
    either = "|".join(names)
    pieces = re.split(rf"(?:^|(?<=[.;])) *((?:{either})(?:, (?:{either}))*): ", " ".join(attributes.split()))
    described = {}
    for listed, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        description = piece.strip().rstrip(";")
        for name in listed.split(", "):
            described[names[name]] = description[:1].upper() + description[1:]
    return " ".join(text.split()), described


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
