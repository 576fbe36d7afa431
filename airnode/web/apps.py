"""Builds the application of a port, with the parts that all ports have in common."""

from collections.abc import Awaitable, Callable, Sequence

import orjson
from aiohttp import web

from airnode.config.sections.http import HttpSection
from airnode.errors import AirnodeError
from airnode.web import openapi
from airnode.web.inputs import BODY_TIMEOUT_S
from airnode.web.openapi import operation
from airnode.web.problems import Handler, problems

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Range",
    "Access-Control-Max-Age": "86400",
}
Documents = Callable[[], Sequence[tuple[web.Application, str]]]


def build_app(
    http: HttpSection,
    adders: Sequence[Callable[[web.Application], None]],
    gate: Callable[[], None],
    documents: Documents,
) -> web.Application:
    """Return an application with problem documents, CORS, the gate of the node's start, and the routes of ``adders``.

    Args:
        gate: raises while only the health endpoints are open.
        documents: returns all applications of the node with their base URLs; called for each OpenAPI document.
    """

    @web.middleware
    async def gated(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            gate()
        except AirnodeError:
            if not _always_open(request.path):
                raise
        return await handler(request)

    app = web.Application(middlewares=[problems, gated], client_max_size=http.max_body_bytes)
    app[BODY_TIMEOUT_S] = http.request_timeout_s
    app.on_response_prepare.append(_add_cors_headers(http.allowed_origins))
    app.on_response_prepare.append(_never_sniffed)
    for add in adders:
        add(app)
    app.router.add_get("/openapi.json", _openapi(documents))
    app.router.add_route("OPTIONS", "/{path:.*}", _preflight(http.allowed_origins))
    return app


async def _never_sniffed(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"


def _always_open(path: str) -> bool:
    return path == "/metrics" or path == "/health" or path.startswith("/health/")


def _openapi(documents: Documents) -> Handler:
    made: list[bytes] = []

    @operation(summary="This document", tag="meta")
    async def handle(request: web.Request) -> web.StreamResponse:
        if not made:
            made.append(orjson.dumps(openapi.document(documents()), option=orjson.OPT_INDENT_2))
        return web.Response(body=made[0], content_type="application/json")

    return handle


# -- cross-origin reads: the pages come from the HTTP port, the media from another ----------------------------------


def cors_headers(allowed: Sequence[str], origin: str | None) -> dict[str, str]:
    """Return the headers for a request from ``origin``; only ``Vary`` when it may not read (or sent no Origin)."""
    if "*" in allowed:
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Date, Retry-After"}
    if origin is not None and origin in allowed:
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "Date, Retry-After",
            "Vary": "Origin",
        }
    return {"Vary": "Origin"}


def _add_cors_headers(allowed: Sequence[str]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return a response-prepare signal that adds the headers, on errors too."""

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(cors_headers(allowed, request.headers.get("Origin")))

    return add


def _preflight(allowed: Sequence[str]) -> Handler:
    """Return a handler for OPTIONS on any path."""

    async def handle(request: web.Request) -> web.StreamResponse:
        allowed_here = cors_headers(allowed, request.headers.get("Origin"))
        return web.Response(status=204, headers=_PREFLIGHT if "Access-Control-Allow-Origin" in allowed_here else {})

    return handle
