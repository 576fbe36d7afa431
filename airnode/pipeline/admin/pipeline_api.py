"""The pipeline's HTTP API: for admins and their page, and for its roles on other machines."""

import math
import re
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
import structlog
from aiohttp import web

from airnode.errors import FieldError, InvalidInput, NotFound
from airnode.kernel.access import StoreUrls
from airnode.pipeline.access import PIPELINE_TOKEN
from airnode.pipeline.admin.overview import Overview
from airnode.pipeline.admin.status import PipelineStatus
from airnode.pipeline.cache.catalogue import Catalogue
from airnode.pipeline.cache.read_through import Read
from airnode.pipeline.cache.tables import CachedProduct, CachedUser
from airnode.web.clients import Clients
from airnode.web.credentials import Authorizer, Right
from airnode.web.inputs import json_response, read_input
from airnode.web.openapi import operation

log = structlog.get_logger(__name__)

R = TypeVar("R", CachedUser, CachedProduct)

_ID_MAX = 2**63 - 1
_ID = re.compile("[1-9][0-9]{0,18}")
_ID_WORDS = f"A whole number from 1 to {_ID_MAX}."
_LOOKED_UP = (
    "Out of the cache (`cache:{table}`), or else out of the database. `Cache-Status` (RFC 9211) says which: "
    "`airnode; hit` is the cache; `airnode; hit; ttl=…` is what this master read from the database a moment ago, and "
    "negative where that was more than 5 s ago and is being read anew; `airnode; fwd=miss` is the database, with "
    "`collapsed` where another request's statement was waited for. While the database is away, what was read in the "
    "last 5 min is served on. Needs `auth.admin_secret` or the cluster token."
)


ShortText = Annotated[str, msgspec.Meta(max_length=200)]


class PipelineJoin(msgspec.Struct):
    """A role of the pipeline, or a command, that wants to work on the master's stores.

    Attributes:
        role: the role, or the command. node_name: its name for people. version: the airnode that it runs.
    """

    role: ShortText
    node_name: ShortText
    version: ShortText


class PipelineStores(msgspec.Struct):
    """The addresses of the master's stores.

    Attributes:
        redis_url, postgres_url: with user and password; empty: the master does not run this store itself.
    """

    redis_url: str
    postgres_url: str


class PipelineApi:
    """The handlers.

    Args:
        urls: returns the addresses of the stores, for the host name with which a role reached this machine.
    """

    def __init__(
        self,
        overview: Overview,
        catalogue: Catalogue,
        authorizer: Authorizer,
        clients: Clients,
        urls: Callable[[str], StoreUrls],
    ) -> None:
        self._overview = overview
        self._catalogue = catalogue
        self._authorizer = authorizer
        self._clients = clients
        self._urls = urls

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/pipeline/status", self.status)
        app.router.add_get("/api/pipeline/users/{user_id}", self.user)
        app.router.add_get("/api/pipeline/products/{product_id}", self.product)
        app.router.add_post("/api/pipeline/join", self.join)

    @operation(
        summary="State of the data pipeline",
        tag="pipeline",
        description="What all producers published, what consumers inserted and have not inserted yet, the cache, the "
        "last dead letters, and the last hour by minute; at most a second old. While Redis or PostgreSQL does not "
        "answer, it is named in `missing`. Needs `auth.admin_secret` or the cluster token.",
        returns=PipelineStatus,
        errors=(401, 403, 429),
        auth="admin",
    )
    async def status(self, request: web.Request) -> web.Response:
        self._authorizer.require(request, Right.ADMIN)
        return json_response(await self._overview.status())

    @operation(
        summary="A customer of the pipeline",
        tag="pipeline",
        description=_LOOKED_UP.format(table="users"),
        path_params=(("user_id", _ID_WORDS),),
        returns=CachedUser,
        errors=(400, 401, 403, 404, 429, 503),
        auth="admin",
    )
    async def user(self, request: web.Request) -> web.Response:
        self._authorizer.require(request, Right.ADMIN)
        return _answer(await self._catalogue.user(_row_id(request, "user_id")), "There is no such user.")

    @operation(
        summary="A course of the pipeline",
        tag="pipeline",
        description=_LOOKED_UP.format(table="products"),
        path_params=(("product_id", _ID_WORDS),),
        returns=CachedProduct,
        errors=(400, 401, 403, 404, 429, 503),
        auth="admin",
    )
    async def product(self, request: web.Request) -> web.Response:
        self._authorizer.require(request, Right.ADMIN)
        return _answer(await self._catalogue.product(_row_id(request, "product_id")), "There is no such product.")

    @operation(
        summary="Join the pipeline (earlier versions)",
        tag="pipeline",
        description="For roles of earlier versions, with `cluster.pipeline_token`; `/cluster/join` with the access "
        "`pipeline` does the same. The answer holds passwords: use https across networks that others can read.",
        body=PipelineJoin,
        returns=PipelineStores,
        errors=(400, 401, 403, 408, 413, 429, 503),
        auth="pipeline",
    )
    async def join(self, request: web.Request) -> web.Response:
        """Return the addresses of the stores."""
        self._authorizer.require(request, PIPELINE_TOKEN)
        body = await read_input(request, PipelineJoin)
        urls = self._urls(self._clients.hostname(request))
        log.info(
            "role_joined",
            access="pipeline",
            roles=body.role,
            node_name=body.node_name,
            remote=self._clients.address(request),
            version=body.version,
        )
        return json_response(PipelineStores(urls.redis, urls.postgres))


def _row_id(request: web.Request, name: str) -> int:
    text = request.match_info[name]
    if not _ID.fullmatch(text) or int(text) > _ID_MAX:
        raise InvalidInput(f"{name}: {_ID_WORDS}", errors=[FieldError(name, _ID_WORDS)])
    return int(text)


def _answer(read: Read[R | None], none: str) -> web.Response:
    if read.value is None:
        raise NotFound(none)
    response = json_response(read.value)
    response.headers["Cache-Status"] = cache_status(read)
    return response


def cache_status(read: Read[R | None]) -> str:
    """Return the value of ``Cache-Status`` (RFC 9211); a stale value is a hit with a negative ``ttl``."""
    if not read.hit:
        return "airnode; fwd=miss; collapsed" if read.collapsed else "airnode; fwd=miss"
    return "airnode; hit" if read.ttl_s is None else f"airnode; hit; ttl={math.floor(read.ttl_s)}"
