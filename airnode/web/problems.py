"""Errors over HTTP: RFC 9457 ``application/problem+json``, rendered in one place."""

import math
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import orjson
import structlog
from aiohttp import web

from airnode.errors import AirnodeError, InvalidInput, NotFound, TooLarge

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class NotFoundPage:
    """The page for a person who opens an address without a route in a browser; programs get a problem document."""

    html: str
    headers: Mapping[str, str]


#: Key of applications with pages.
NOT_FOUND_PAGE = web.AppKey("not_found_page", NotFoundPage)

_BY_STATUS: dict[int, type[AirnodeError]] = {400: InvalidInput, 404: NotFound, 413: TooLarge}


def problem_response(error: AirnodeError, instance: str) -> web.Response:
    """Return the document of ``error``; ``instance`` is the request's id, as in the log."""
    body: dict[str, object] = {
        "type": f"urn:airnode:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail or error.title,
        "instance": instance,
        "code": error.code,
        **error.fields,
    }
    if error.errors:
        body["errors"] = [{"path": item.path, "message": item.message} for item in error.errors]
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_s is not None:
        body["retry_after_s"] = round(error.retry_after_s, 3)
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="airnode"'
    if isinstance(error, HttpRefusal) and error.allowed:
        headers["Allow"] = ", ".join(error.allowed)
    return web.Response(
        body=orjson.dumps(body), status=error.status, headers=headers, content_type="application/problem+json"
    )


def _is_wrong_address(request: web.Request) -> bool:
    """Return whether a person opened an address in a browser that no route has."""
    return request.match_info.http_exception is not None and "text/html" in request.headers.get("Accept", "")


def route_name(request: web.Request) -> str:
    """Return the route's pattern, never its path: paths may contain tokens."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(no route)"


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return the answer of ``handler``, or its error as a problem; a bug becomes a 500 with only an incident id."""
    try:
        return await handler(request)
    except AirnodeError as error:
        failure = error
    except web.HTTPException as error:
        if error.status < 400:
            raise
        failure = _from_http(error)
    except ConnectionError:
        raise
    except Exception as error:
        failure = AirnodeError("Something went wrong here; the log has more under this instance.", debug=repr(error))
        instance = secrets.token_hex(6)
        log.error("request_failed", instance=instance, route=route_name(request), exc_info=error)
        return problem_response(failure, instance)
    if failure.status == 404 and NOT_FOUND_PAGE in request.app and _is_wrong_address(request):
        page = request.app[NOT_FOUND_PAGE]
        return web.Response(text=page.html, status=404, content_type="text/html", charset="utf-8", headers=page.headers)
    instance = secrets.token_hex(6)
    log.debug(
        "request_refused",
        instance=instance,
        route=route_name(request),
        status=failure.status,
        code=failure.code,
        detail=failure.detail,
        debug=failure.debug,
    )
    return problem_response(failure, instance)


class HttpRefusal(AirnodeError):
    """An error of aiohttp without a class in our error tree (405, 408, 411, ...)."""

    def __init__(self, status: int, reason: str, allowed: Iterable[str] = ()) -> None:
        super().__init__(reason)
        self.status, self.title = status, reason
        self.code = reason.lower().replace(" ", "_")
        #: Methods for the Allow header (RFC 9110 section 10.2.1).
        self.allowed = sorted(allowed)


def _from_http(error: web.HTTPException) -> AirnodeError:
    allowed: set[str] = error.allowed_methods if isinstance(error, web.HTTPMethodNotAllowed) else set()
    if allowed == {"OPTIONS"}:  # only the preflight route, which takes any path
        return NotFound()
    known = _BY_STATUS.get(error.status)
    return known() if known is not None else HttpRefusal(error.status, error.reason, allowed)
