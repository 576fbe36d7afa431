"""Reads a request into a typed struct: from its query, JSON body or form."""

import asyncio
import hashlib
from typing import TypeVar

import msgspec
import orjson
from aiohttp import web

from airnode.errors import FieldError, InvalidInput

S = TypeVar("S", bound=msgspec.Struct)


#: Key of applications: seconds within which a request's body must arrive.
BODY_TIMEOUT_S = web.AppKey("body_timeout_s", float)


async def read_input(request: web.Request, kind: type[S]) -> S:
    """Return query and body, merged (the body wins), as a ``kind``; numbers may be text.

    Raises:
        InvalidInput: (400) not JSON, not an object, or a field that is missing or wrong; names the field.
        HTTPRequestTimeout, HTTPRequestEntityTooLarge: (408, 413) the body is too slow or too large.
    """
    values: dict[str, object] = dict(request.query)
    if request.can_read_body:
        try:
            async with asyncio.timeout(request.app[BODY_TIMEOUT_S]):
                values.update(await _body(request))
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        what, _, where = text.partition(" - at `$")
        path = where.strip(".`") if where else _missing_field(text)
        raise InvalidInput(what, errors=[FieldError(path, what)]) from None


async def _body(request: web.Request) -> dict[str, object]:
    if request.content_type == "application/x-www-form-urlencoded" and not await _is_json_in_form(request):
        try:
            return {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
        except (LookupError, ValueError) as error:  # an unknown charset, or bytes that are invalid in it
            raise InvalidInput(f"The body is not a form: {error}.") from None
    try:
        document = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The body is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise InvalidInput("The body must be a JSON object.")
    return document


async def _is_json_in_form(request: web.Request) -> bool:
    """Return whether a body is JSON although its type is that of a form, as ``curl -d '{...}'`` sends it.

    It is read as JSON only if the request has an ``Authorization`` header. A form on another site can make a browser
    send such a body, also with cookies, but never with that header.

    Raises:
        InvalidInput: (400) it is JSON and has no such header.
    """
    if not (await request.read()).lstrip().startswith(b"{"):
        return False
    if "Authorization" not in request.headers:
        raise InvalidInput(
            "The body is JSON, and its type says that it is a form: send Content-Type: application/json."
        )
    return True


def _missing_field(text: str) -> str:
    """Return the name in msgspec's "Object missing required field `user_id`"."""
    return text.split("`")[1] if text.count("`") >= 2 else ""


def unless_known(request: web.Request, response: web.Response) -> web.Response:
    """Return the response with an ETag, or 304 without a body if the client sent that one (RFC 9110, 13.1.2)."""
    tag = hashlib.blake2b(bytes(response.body), digest_size=16).hexdigest() if isinstance(response.body, bytes) else ""
    known = request.if_none_match or ()
    if any(each.value in (tag, "*") for each in known):
        response = web.Response(status=304, headers={"Cache-Control": "no-store"})
    response.etag = tag
    return response


def json_response(value: object, *, status: int = 200) -> web.Response:
    """Return a response with a struct, dataclass or plain value as JSON that is never cached."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
