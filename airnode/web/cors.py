"""Cross-origin reads: the pages come from the HTTP port, the media from another."""

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from airnode.web.problems import Handler

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Range",
    "Access-Control-Max-Age": "86400",
}


def cors_headers(allowed: Sequence[str], origin: str | None) -> dict[str, str]:
    """Headers for a request from ``origin``; only ``Vary`` when it may not read (or sent no Origin)."""
    if "*" in allowed:
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Date, Retry-After"}
    if origin is not None and origin in allowed:
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "Date, Retry-After",
            "Vary": "Origin",
        }
    return {"Vary": "Origin"}


def on_prepare(allowed: Sequence[str]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """A response-prepare signal that adds the headers, on errors too."""

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(cors_headers(allowed, request.headers.get("Origin")))

    return add


def preflight(allowed: Sequence[str]) -> Handler:
    """A handler for OPTIONS on any path."""

    async def handle(request: web.Request) -> web.StreamResponse:
        allowed_here = cors_headers(allowed, request.headers.get("Origin"))
        return web.Response(status=204, headers=_PREFLIGHT if "Access-Control-Allow-Origin" in allowed_here else {})

    return handle
