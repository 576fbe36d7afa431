"""The OpenAPI 3.1 document, made from the routes themselves."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec
from aiohttp import web

import airnode

Handler = TypeVar("Handler", bound=Callable[..., Any])
_ATTRIBUTE = "__airnode_operation__"
#: Who may call an operation. ``query``: with a token as ``?jwt=`` only. ``cluster``: with the cluster token, or as an
#: admin or a teacher. ``join``: with the cluster token or the pipeline token, as the access in the body needs it.
Auth = Literal["none", "token", "query", "teacher", "admin", "cluster", "node", "pipeline", "join"]
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")


class ProblemField(msgspec.Struct):
    """One field that is wrong."""

    path: str
    message: str


class Problem(msgspec.Struct, omit_defaults=True):
    """An error, RFC 9457."""

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
    _, components = msgspec.json.schema_components(sorted(kinds, key=str), ref_template="#/components/schemas/{name}")
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
            "schemas": components,
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
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": {key: value for key, value in field.items() if key != "description"},
            "description": field.get("description", name),
        }
        for name, field in schema["properties"].items()
        if "$ref" not in str(field)  # a nested struct can only be in a body
    ]


def _responses(found: Operation, kinds: set[type]) -> dict[str, Any]:
    if isinstance(found.returns, str):
        content: dict[str, Any] = {found.returns: {}}
    else:
        kinds.add(found.returns)
        content = {"application/json": {"schema": _ref(found.returns)}}
    done = {"description": "Done."} if found.status == 204 else {"description": "Done.", "content": content}
    responses: dict[str, Any] = {str(found.status): done}
    for status in found.errors:
        responses[str(status)] = {
            "description": "Refused.",
            "content": {"application/problem+json": {"schema": _ref(Problem)}},
        }
    return responses


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
