"""Reading what a request says into a typed struct: query, JSON body and form alike."""

from typing import TypeVar

import msgspec
import orjson
from aiohttp import web

from airnode.errors import FieldError, InvalidInput

S = TypeVar("S", bound=msgspec.Struct)


async def read_input(request: web.Request, kind: type[S]) -> S:
    """Merge query and body (body wins) and convert to ``kind``; numbers may come as text.

    Raises:
        InvalidInput: (400) not JSON, not an object, or a field that is missing or wrong; names the field.
    """
    values: dict[str, object] = dict(request.query)
    if request.can_read_body:
        values.update(await _body(request))
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        what, _, where = text.partition(" - at `$")
        path = where.strip(".`") if where else _missing_field(text)
        raise InvalidInput(what, errors=[FieldError(path, what)]) from None


async def _body(request: web.Request) -> dict[str, object]:
    if request.content_type == "application/x-www-form-urlencoded":
        return {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    try:
        document = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The body is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise InvalidInput("The body must be a JSON object.")
    return document


def _missing_field(text: str) -> str:
    """The name in msgspec's "Object missing required field `user_id`"."""
    return text.split("`")[1] if text.count("`") >= 2 else ""


def json_response(value: object, *, status: int = 200) -> web.Response:
    """A struct, dataclass or plain value as JSON that is never cached."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
