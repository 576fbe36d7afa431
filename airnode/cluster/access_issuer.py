"""Issues accesses: the stores, keys and settings that roles on other machines get when they join. No HTTP."""

import ipaddress
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from airnode.cluster.access import CLUSTER_TOKEN, NODE_ACCESS
from airnode.cluster.api_types import RegisterRequest, Registration
from airnode.cluster.join_types import JoinAnswer, JoinRequest
from airnode.errors import FieldError, Forbidden, InvalidInput
from airnode.kernel.access import JoinToken, RemoteAccess, StoreUrls
from airnode.kernel.urls import url_host

log = structlog.get_logger(__name__)

_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[?[0-9A-Fa-f:.]{2,45}\]?)\Z")


class NodeOrders(Protocol):
    """Stores the orders of admins for nodes."""

    async def clear_orders(self, node_id: str) -> None:
        """Clear the orders of a node that joins. Raises Unavailable (503) without Redis."""
        ...


class AccessIssuer:
    """Issues accesses. The caller has already checked the credential.

    Args:
        accesses: {name: what roles may ask for}.
        store_urls: returns the addresses of the stores for an access, and for the host under which the master was
            reached.
        shared_values: returns {key: value} of the settings that an access takes from the master.
        jwt_secret: the key that signs viewers' tokens.
    """

    def __init__(
        self,
        *,
        accesses: Mapping[str, RemoteAccess],
        node_orders: NodeOrders,
        store_urls: Callable[[RemoteAccess, str], StoreUrls],
        shared_values: Callable[[RemoteAccess], dict[str, Any]],
        jwt_secret: str,
    ) -> None:
        self._accesses = accesses
        self._node_orders = node_orders
        self._store_urls = store_urls
        self._shared_values = shared_values
        self._jwt_secret = jwt_secret

    def join_token(self, access: str) -> JoinToken:
        """Return the join token that this access needs; the cluster token if no role declares the access."""
        found = self._accesses.get(access)
        return CLUSTER_TOKEN if found is None else found.token

    def access(self, name: str) -> RemoteAccess:
        """Return the access of this name; raise Forbidden (403) if no role declares it."""
        found = self._accesses.get(name)
        if found is None:
            raise Forbidden(f"This master has no access {name!r}: does it run an older airnode than this role?")
        return found

    async def join(self, order: JoinRequest, *, address: str, master_host: str) -> JoinAnswer:
        """Return what the access declares, and clear earlier orders of a node that joins.

        Args:
            address: IP address of the process that joins, as the master sees it.
            master_host: host under which the process reached the master.

        Raises:
            Forbidden: (403) no role declares this access.
            InvalidInput: (400) the node's id or the host is not valid.
            Unavailable: (503) Redis does not answer.
        """
        access = self.access(order.access)
        _require_host(order.host)
        if access.is_node:
            require_node_id(order.node_id)
            await self._node_orders.clear_orders(order.node_id)
        log.info(
            "node_registered" if access.is_node else "role_joined",
            access=access.name,
            roles=",".join(order.roles),
            node_id=order.node_id,
            node_name=order.node_name,
            remote=address,
            version=order.version,
        )
        urls = self._store_urls(access, master_host)
        return JoinAnswer(
            redis_url=urls.redis,
            postgres_url=urls.postgres,
            jwt_secret=self._jwt_secret if access.verifies_tokens else "",
            node_host=order.host or reachable_host(address),
            settings=self._shared_values(access),
        )

    async def register(self, order: RegisterRequest, *, address: str, master_host: str) -> Registration:
        """Return what a slave of an earlier version needs. A slave without an id gets a new one.

        Raises:
            InvalidInput: (400) the node's id or the host is not valid.
            Unavailable: (503) Redis does not answer.
        """
        if order.node_id:
            require_node_id(order.node_id)
        _require_host(order.host)
        node_id = order.node_id or f"node-{secrets.token_hex(4)}"
        await self._node_orders.clear_orders(node_id)
        log.info("node_registered", node_id=node_id, node_name=order.node_name, remote=address, version=order.version)
        values = self._shared_values(NODE_ACCESS)
        return Registration(
            node_id=node_id,
            redis_url=self._store_urls(NODE_ACCESS, master_host).redis,
            jwt_secret=self._jwt_secret,
            heartbeat_s=values["cluster.heartbeat_s"],
            lease_s=values["cluster.lease_s"],
            node_host=order.host or reachable_host(address),
            recording_mode=values["recording.mode"],
            student_download=values["recording.student_download"],
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
    """Raise InvalidInput (400) unless this has the form of a node's id; ``path`` names the field in the error."""
    _require(_NODE_ID.match(node_id), path, "1 to 64 letters, digits, . _ and -")


def _require_host(host: str) -> None:
    _require(not host or _HOST.match(host), "host", "a host name or an address")


def _require(valid: object, path: str, expected: str) -> None:
    if not valid:
        message = f"{path} must be {expected}."
        raise InvalidInput(message, errors=[FieldError(path, message)])
