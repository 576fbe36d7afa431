"""The pipeline's HTTP API, for the admin page."""

from collections.abc import Callable

from aiohttp import web

from airnode.pipeline.overview import Overview
from airnode.pipeline.status import PipelineStatus
from airnode.web.inputs import json_response
from airnode.web.openapi import operation


class PipelineApi:
    """The handlers.

    Args:
        require_admin: raises Unauthenticated or Forbidden (401, 403) unless the request is an admin's.
    """

    def __init__(self, overview: Overview, require_admin: Callable[[web.Request], None]) -> None:
        self._overview = overview
        self._require_admin = require_admin

    def add_routes(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/api/pipeline/status", self.status)

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
        self._require_admin(request)
        return json_response(await self._overview.status())
