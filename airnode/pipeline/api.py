"""The pipeline's HTTP API: for the admin page, and for its roles on other machines."""

from collections.abc import Callable
from typing import Protocol

import structlog
from aiohttp import web

from airnode.pipeline.joining import PATH, PipelineJoin, PipelineStores
from airnode.pipeline.overview import Overview
from airnode.pipeline.status import PipelineStatus
from airnode.runtime.sharing import PipelineUrls
from airnode.web.clients import Clients
from airnode.web.inputs import json_response, read_input
from airnode.web.openapi import operation

log = structlog.get_logger(__name__)


class Authority(Protocol):
    """Says who may; both raise Unauthenticated or Forbidden (401, 403), or RateLimited (429)."""

    def require_admin(self, request: web.Request) -> None:
        """An admin."""
        ...

    def require_pipeline(self, request: web.Request) -> None:
        """A role of the pipeline."""
        ...


class PipelineApi:
    """The handlers.

    Args:
        urls: addresses of the stores for a role that reached this machine under a host.
    """

    def __init__(
        self, overview: Overview, authority: Authority, clients: Clients, urls: Callable[[str], PipelineUrls]
    ) -> None:
        self._overview = overview
        self._authority = authority
        self._clients = clients
        self._urls = urls

    def add_routes(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/api/pipeline/status", self.status)
        app.router.add_post(PATH, self.join)

    @operation(
        summary="The data pipeline at a glance",
        tag="pipeline",
        description="What all producers and consumers made, landed and still have to land, the cache, the last dead "
        "letters, and the last hour by minute; at most a second old. Answers also while Redis or PostgreSQL is away, "
        "and says so in `missing`. Needs `auth.admin_secret` or the cluster token.",
        returns=PipelineStatus,
        errors=(401, 403, 429),
        auth="admin",
    )
    async def status(self, request: web.Request) -> web.Response:
        """See the operation."""
        self._authority.require_admin(request)
        return json_response(await self._overview.status())

    @operation(
        summary="Get to the pipeline's stores",
        tag="pipeline",
        description="For cache-workers, producers and consumers on other machines, with `cluster.pipeline_token`. The "
        "answer holds passwords: use https across networks that others can read.",
        body=PipelineJoin,
        returns=PipelineStores,
        errors=(400, 401, 403, 408, 413, 429, 503),
        auth="pipeline",
    )
    async def join(self, request: web.Request) -> web.Response:
        """Hand over the addresses."""
        self._authority.require_pipeline(request)
        asked = await read_input(request, PipelineJoin)
        urls = self._urls(self._clients.hostname(request))
        log.info(
            "pipeline_role_joined", role=asked.role, node_name=asked.node_name,
            remote=self._clients.address(request), version=asked.version,
        )  # fmt: skip
        return json_response(PipelineStores(urls.redis, urls.postgres))
