"""``/cluster/join``: roles on other machines get what their access declares; and the older ``/cluster/register``."""

import ipaddress
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiohttp import web

from airnode.cluster.access import NODE_ACCESS
from airnode.cluster.api_types import RegisterRequest, Registration
from airnode.cluster.join_types import JOIN_PATH, JoinAnswer, JoinRequest
from airnode.cluster.node_registry import NodeRegistry
from airnode.errors import FieldError, Forbidden, InvalidInput
from airnode.kernel.access import RemoteAccess, StoreUrls
from airnode.kernel.urls import url_host
from airnode.web.clients import Clients
from airnode.web.credentials import Authorizer, Right
from airnode.web.inputs import json_response, read_input
from airnode.web.openapi import operation

log = structlog.get_logger(__name__)

_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[?[0-9A-Fa-f:.]{2,45}\]?)\Z")
#: {key of the section ``cluster``: the right of those who know that token}.
_RIGHT_BY_TOKEN = {"token": Right.NODE, "pipeline_token": Right.PIPELINE}
_ERRORS = (400, 401, 403, 408, 413, 429, 503)


class JoinApi:
    """The handlers.

    Args:
        accesses: {name: what roles may ask for}.
        store_urls: returns the addresses of the stores for an access, and for a host under which this machine was
            reached.
        shared_values: returns {key: value} of the settings that an access takes from the master.
        jwt_secret: the key that signs viewers' tokens.
    """

    def __init__(
        self,
        *,
        accesses: Mapping[str, RemoteAccess],
        authorizer: Authorizer,
        registry: NodeRegistry,
        clients: Clients,
        store_urls: Callable[[RemoteAccess, str], StoreUrls],
        shared_values: Callable[[RemoteAccess], dict[str, Any]],
        jwt_secret: str,
    ) -> None:
        self._accesses = accesses
        self._authorizer = authorizer
        self._registry = registry
        self._clients = clients
        self._store_urls = store_urls
        self._shared_values = shared_values
        self._jwt_secret = jwt_secret

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post(JOIN_PATH, self.join)
        app.router.add_post("/cluster/register", self.register)

    @operation(
        summary="Join from another machine",
        tag="cluster",
        description="For roles without stores of their own, with the credential of the access that they ask for: "
        "`cluster.token` for `node` (slaves), `cluster.pipeline_token` for `pipeline` (cache-workers, producers and "
        "consumers). The answer holds secrets: use https across networks that others can read.",
        body=JoinRequest,
        returns=JoinAnswer,
        errors=_ERRORS,
        auth="node",
    )
    async def join(self, request: web.Request) -> web.Response:
        """Return what the access declares."""
        body = await read_input(request, JoinRequest)
        access = self._accesses.get(body.access)
        if access is None:
            raise Forbidden(f"This master has no access {body.access!r}: does it run an older airnode than this role?")
        self._authorizer.require(request, _RIGHT_BY_TOKEN[access.token])
        if access.is_node:
            require_node_id(body.node_id)
            await self._registry.welcome(body.node_id)
        _require_host(body.host)
        address = self._clients.address(request)
        log.info(
            "node_registered" if access.is_node else "role_joined",
            access=access.name,
            roles=",".join(body.roles),
            node_id=body.node_id,
            node_name=body.node_name,
            remote=address,
            version=body.version,
        )
        urls = self._store_urls(access, self._clients.hostname(request))
        return json_response(
            JoinAnswer(
                redis_url=urls.redis,
                postgres_url=urls.postgres,
                jwt_secret=self._jwt_secret if access.verifies_tokens else "",
                node_host=body.host or reachable_host(address),
                settings=self._shared_values(access),
            )
        )

    @operation(
        summary="Register a node",
        tag="cluster",
        description="As slaves of earlier versions do, with the cluster token; `/cluster/join` with the access `node` "
        "does the same. The answer holds secrets: use https across networks that others can read.",
        body=RegisterRequest,
        returns=Registration,
        errors=_ERRORS,
        auth="node",
    )
    async def register(self, request: web.Request) -> web.Response:
        """Return what a slave needs."""
        self._authorizer.require(request, Right.NODE)
        body = await read_input(request, RegisterRequest)
        if body.node_id:
            require_node_id(body.node_id)
        _require_host(body.host)
        node_id = body.node_id or f"node-{secrets.token_hex(4)}"
        await self._registry.welcome(node_id)
        address = self._clients.address(request)
        log.info("node_registered", node_id=node_id, node_name=body.node_name, remote=address, version=body.version)
        values = self._shared_values(NODE_ACCESS)
        return json_response(
            Registration(
                node_id=node_id,
                redis_url=self._store_urls(NODE_ACCESS, self._clients.hostname(request)).redis,
                jwt_secret=self._jwt_secret,
                heartbeat_s=values["cluster.heartbeat_s"],
                lease_s=values["cluster.lease_s"],
                node_host=body.host or reachable_host(address),
                recording_mode=values["recording.mode"],
                student_download=values["recording.student_download"],
            )
        )


def reachable_host(address: str) -> str:
    """Return the peer's address as a host in a URL; empty for this machine, which viewers reach as the master."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return "" if ip.is_loopback else url_host(str(ip))
        ip = ip.ipv4_mapped
    return "" if ip.is_loopback else str(ip)


def require_node_id(node_id: str, path: str = "node_id") -> None:
    """Raise InvalidInput (400) unless this can be a node's id. ``path`` is the field's, for the error."""
    _require(_NODE_ID.match(node_id), path, "1 to 64 letters, digits, . _ and -")


def _require_host(host: str) -> None:
    _require(not host or _HOST.match(host), "host", "a host name or an address")


def _require(valid: object, path: str, expected: str) -> None:
    if not valid:
        message = f"{path} must be {expected}."
        raise InvalidInput(message, errors=[FieldError(path, message)])
