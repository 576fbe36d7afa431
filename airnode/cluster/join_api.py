"""``/cluster/join``: roles on other machines get what their access declares; and the older ``/cluster/register``."""

from aiohttp import web

from airnode.cluster.access import CLUSTER_TOKEN
from airnode.cluster.access_issuer import AccessIssuer
from airnode.cluster.api_types import RegisterRequest, Registration
from airnode.cluster.join_types import JOIN_PATH, JoinAnswer, JoinRequest
from airnode.web.clients import Clients
from airnode.web.credentials import Authorizer, credential
from airnode.web.inputs import json_response, read_input
from airnode.web.openapi import operation

_ERRORS = (400, 401, 403, 408, 413, 429, 503)


class JoinApi:
    def __init__(self, issuer: AccessIssuer, authorizer: Authorizer, clients: Clients) -> None:
        self._issuer = issuer
        self._authorizer = authorizer
        self._clients = clients

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post(JOIN_PATH, self.join)
        app.router.add_post("/cluster/register", self.register)

    @operation(
        summary="Join from another machine",
        tag="cluster",
        description="For roles without stores of their own, with the join token of the access that they ask for: "
        "`cluster.token` for `node` (slaves), `cluster.pipeline_token` for `pipeline` (cache-workers, producers and "
        "consumers), or the one that another role declares. The answer holds secrets: use https across networks that "
        "others can read.",
        body=JoinRequest,
        returns=JoinAnswer,
        errors=_ERRORS,
        auth="join",
    )
    async def join(self, request: web.Request) -> web.Response:
        """Return the stores, the key and the settings that the access declares."""
        if not credential(request):
            self._authorizer.require(request, CLUSTER_TOKEN)
        body = await read_input(request, JoinRequest)
        # Only a sender with the cluster token learns that an access does not exist.
        self._authorizer.require(request, self._issuer.join_token(body.access))
        address, master_host = self._clients.address(request), self._clients.hostname(request)
        return json_response(await self._issuer.join(body, address=address, master_host=master_host))

    @operation(
        summary="Register a node (earlier versions)",
        tag="cluster",
        description="For slaves of earlier versions, with the cluster token; `/cluster/join` with the access `node` "
        "does the same. The answer holds secrets: use https across networks that others can read.",
        body=RegisterRequest,
        returns=Registration,
        errors=_ERRORS,
        auth="node",
    )
    async def register(self, request: web.Request) -> web.Response:
        """Return the stores, the key and the settings that a slave needs."""
        self._authorizer.require(request, CLUSTER_TOKEN)
        body = await read_input(request, RegisterRequest)
        address, master_host = self._clients.address(request), self._clients.hostname(request)
        return json_response(await self._issuer.register(body, address=address, master_host=master_host))
